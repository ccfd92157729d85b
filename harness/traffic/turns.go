package traffic

import (
	"context"
	"errors"
	"time"
)

// backlog is how many turns wait for a flow that is behind; it misses those beyond.
const backlog = 64

// errServerEnded reports a session that its server, and not its client, ended.
var errServerEnded = errors.New("the server ended the session")

// drive gives the flows their turns by plan until ctx ends, tick n to flow n mod N:
// whatever becomes of one flow delays no other. A flow without a session has no turn.
func (s *stream) drive(ctx context.Context, watchers []*watcher) {
	n := len(watchers)
	p := pacer{start: monotonic(), rate: float64(n) * float64(time.Second) / float64(s.period)}
	s.pace(ctx, p, func(tick int, due int64) { watchers[tick%n].turn(due) })
}

// turn hands over a turn.
func (w *watcher) turn(due int64) {
	if !w.sending.Load() {
		return
	}
	select {
	case w.turns <- due:
	default:
		w.missed.Add(1)
	}
}

// eachTurn calls send at each of the flow's turns, with its intended time, until send
// fails, ended says that the session is over (nil = it never does) or ctx ends.
func (w *watcher) eachTurn(ctx context.Context, ended <-chan error, send func(due int64) error) error {
	w.forget() // one that came while the last session ended
	w.sending.Store(true)
	defer w.forget()
	for {
		select {
		case due := <-w.turns:
			w.s.late.note(due)
			if err := send(due); err != nil {
				return err
			}
		case err := <-ended:
			return errors.Join(errServerEnded, err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// forget takes no turns any more and drops those that a session left.
func (w *watcher) forget() {
	w.sending.Store(false)
	for {
		select {
		case <-w.turns:
		default:
			return
		}
	}
}

// publish calls send with the numbers 0, 1, 2... at the flow's turns until the session
// ends. send returns how many bytes it wrote.
func (w *watcher) publish(ctx context.Context, ended <-chan error, send func(n int) (int, error)) error {
	w.accepted()
	n := 0
	return w.eachTurn(ctx, ended, func(int64) error {
		bytes, err := send(n)
		if err != nil {
			return err
		}
		n++
		w.wrote(bytes)
		return nil
	})
}
