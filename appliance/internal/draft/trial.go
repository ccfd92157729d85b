package draft

import (
	"context"
	"time"

	"github.com/vosbed/vosbed/appliance/lb"
)

// trial is what is in force until a time, and what comes back then.
type trial struct {
	former   lb.Config
	text     []byte // of it, as it is kept
	revision string // of what is in force
	until    time.Time
	within   time.Duration // how long it was to be, 0 = not known
	author   string
}

// resume lets a trial that was kept go on. Its end is a time of the wall clock; from now
// on it is measured. A clock that was set back, as one without a battery at start, does
// not make it longer than it was to be.
func (t *trial) resume(now time.Time) {
	left := t.until.Sub(now)
	if t.within > 0 {
		left = min(left, t.within)
	}
	t.until = now.Add(left).UTC()
}

// follow lets a trial of the node's own settings go on while the peer changes what both
// share: what comes back is the node's former part, beside the peer's. It reports whether
// what is in force is such a one.
func (s *Store) follow(current lb.Config, revision string) bool {
	t := s.trial
	tried := t.former
	tried.Node = current.Node
	if s.opts.Tools.Revision(tried) != t.revision {
		return false
	}
	former := current
	former.Node = t.former.Node
	text, err := s.opts.Tools.Encode(former)
	if err != nil {
		return false
	}
	t.former, t.text, t.revision = clone(former), text, revision
	s.saveOrLog()
	return true
}

// retry is the pause after a configuration could not be put back.
const retry = 5 * time.Second

// Keep ends a trial: what is in force stays. [ErrNoTrial] if there is none.
func (s *Store) Keep(author string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refresh()
	if s.trial == nil {
		return ErrNoTrial
	}
	before := s.trial
	s.trial = nil
	if err := s.save(); err != nil {
		s.trial = before
		return err
	}
	s.opts.Logger.Info("the configuration on trial is kept", "user", author)
	s.wake()
	return nil
}

// Undo ends a trial: what was in force before comes back now. [ErrNoTrial] if there is
// none; after another error the trial goes on.
func (s *Store) Undo(ctx context.Context, author string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refresh()
	if s.trial == nil {
		return ErrNoTrial
	}
	return s.goBack(ctx, "user", author)
}

// goBack puts the former configuration in force. It is called with the lock held.
func (s *Store) goBack(ctx context.Context, why ...any) error {
	if err := s.opts.Apply(ctx, s.trial.former); err != nil {
		return err
	}
	s.opts.Logger.InfoContext(ctx, "the configuration before the trial is in force again", why...)
	s.trial = nil
	s.saveOrLog()
	s.wake()
	return nil
}

// Run ends trials whose time is over, until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	for {
		timer := time.NewTimer(s.due())
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-s.woken:
			timer.Stop()
		case <-timer.C:
			s.expire(ctx)
		}
	}
}

// never is how long to wait for nothing.
const never = 24 * time.Hour

// due is the time until the trial ends.
func (s *Store) due() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trial == nil {
		return never
	}
	return max(0, s.trial.until.Sub(s.opts.Now()))
}

// expire goes back if the time is over; if that fails, the trial goes on a little.
func (s *Store) expire(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refresh()
	if s.trial == nil || s.opts.Now().Before(s.trial.until) {
		return
	}
	if err := s.goBack(ctx, "reason", "nobody kept it in time"); err != nil {
		s.opts.Logger.ErrorContext(ctx, "the configuration before the trial cannot be put back, trying again", "err", err)
		s.trial.until = s.opts.Now().Add(retry).UTC()
	}
}

func (s *Store) wake() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// Glance tells how much is pending, by whom it was changed last, and until when a trial
// lasts (zero = none). It waits for nobody: ok is false while the draft is being changed.
func (s *Store) Glance() (changes int, author string, trial time.Time, ok bool) {
	if !s.mu.TryLock() {
		return 0, "", trial, false
	}
	defer s.mu.Unlock()
	if s.trial != nil {
		trial = s.trial.until
	}
	if s.draft == nil {
		return 0, "", trial, true
	}
	var latest Change
	for _, c := range s.draft.changes {
		if !c.At.Before(latest.At) {
			latest = c
		}
	}
	return len(s.draft.changes), latest.Author, trial, true
}
