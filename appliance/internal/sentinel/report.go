package sentinel

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/peer"
)

// errForeign is a datagram from another source than the peer's end of the path.
var errForeign = errors.New("datagram from another address than the peer's")

// Times of what is said about rejects: how long one counts as a problem, and how long
// its kind must have been quiet to be news again. Strangers can cause them.
const (
	rejectLasts = 10 * time.Second
	rejectQuiet = time.Minute
)

// rejects are the datagrams of one path that were not taken for the peer's.
type rejects struct {
	count uint64
	seen  map[error]time.Duration // when last, by reason; only reasons in rejectText
}

// rejectText says what it means that datagrams are rejected for a reason, "" = nothing
// that an operator could mend.
func rejectText(reason error) string {
	switch {
	case errors.Is(reason, peer.ErrKey):
		return "heartbeats with another key arrive on path %s: the pairing secrets differ, give both nodes the same file and reload them"
	case errors.Is(reason, peer.ErrReflected):
		return "heartbeats with this node's own name arrive on path %s: give each node of the pair a name of its own (node.name)"
	case errors.Is(reason, errForeign):
		return "datagrams from another address than the peer's arrive on path %s: make the path's addresses agree on both nodes (node.heartbeat), or find out who else sends there"
	case errors.Is(reason, peer.ErrMalformed):
		return "datagrams that are no heartbeats of this version arrive on path %s: update the older node, or find out who else sends there"
	}
	return ""
}

// rejected counts a datagram. The first one for a reason is told, and later ones when
// there have been none for a while.
func (l *loop) rejected(i int, reason error) {
	r := &l.reject[i]
	r.count++
	text := rejectText(reason)
	if text == "" {
		return
	}
	t := now()
	if last, ok := r.seen[reason]; !ok || t-last >= rejectQuiet {
		l.warn(fmt.Sprintf(text, l.cfg.Node.Paths[i].Name))
	}
	if r.seen == nil {
		r.seen = map[error]time.Duration{}
	}
	r.seen[reason] = t
}

// problems are what an operator must know about the pair, besides what the machine says.
func (l *loop) problems(t time.Duration) []string {
	var out []string
	if l.noLease != "" {
		out = append(out, fmt.Sprintf("this node does not serve, because the kernel's lease in %s cannot be opened (%s): restart lbd, and see that --bpffs is a bpffs",
			l.cfg.LeaseDir, l.noLease))
	}
	if l.former != nil {
		out = append(out, "the peer has not been heard with the new pairing secret, so the former one is in use too: give the peer the same file and reload it")
	}
	for i, r := range l.reject {
		for _, reason := range [...]error{peer.ErrKey, peer.ErrReflected, errForeign, peer.ErrMalformed} {
			if last, ok := r.seen[reason]; ok && t-last < rejectLasts {
				out = append(out, fmt.Sprintf(rejectText(reason), l.cfg.Node.Paths[i].Name))
			}
		}
	}
	return out
}

// report sends the state to the main daemon.
func (l *loop) report(t time.Duration) {
	l.nextReport = t + reportEvery
	_ = l.openedLease() // the first failure was noted
	s := l.machine.Status(t)
	if s.Role != l.role || l.since.IsZero() {
		l.role, l.since = s.Role, time.Now()
	}
	s.Since = l.since
	s.RealTime = l.realTime == nil
	if l.realTime != nil {
		s.RealTimeNo = l.realTime.Error()
	}
	for i := range min(len(s.Paths), len(l.reject)) {
		s.Paths[i].Rejected = l.reject[i].count
	}
	s.Problems = append(l.problems(t), s.Problems...)
	l.tell(message{State: &s})
	if l.agreed && l.cfg.Generation > 0 {
		l.tell(message{Agreed: l.cfg.Generation})
	}
}

func (l *loop) try(what string, err error) {
	if err != nil {
		l.note(what, err)
	}
}

func (l *loop) note(text string, err error) {
	n := &note{Text: text}
	if err != nil {
		n.Err = err.Error()
	}
	l.tell(message{Note: n})
}

// warn is for what is wrong with the pair, not with this process.
func (l *loop) warn(text string) { l.tell(message{Note: &note{Text: text, Warn: true}}) }

// tell never waits: a main daemon that does not read loses words, not addresses.
func (l *loop) tell(m message) {
	b, err := encode(m)
	if err != nil {
		return
	}
	_ = unix.Sendto(l.conn, b, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, nil)
}
