package control

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Kind names a way in which a simulated server can misbehave.
type Kind string

// The faults that simvos can show.
const (
	// Unhealthy: /admin/status answers another body (default "Degraded") and,
	// if asked, another HTTP status.
	Unhealthy Kind = "unhealthy"
	// Hang: /admin/status accepts the request and never answers.
	Hang Kind = "hang"
	// Slow: /admin/status answers after DelayMS milliseconds.
	Slow Kind = "slow"
	// Refuse: listeners are closed and running sessions cut, for one service
	// or for all. TCP clients meet a reset, UDP clients "port unreachable".
	Refuse Kind = "refuse"
	// MediaDead: the status stays as it is, but no media leaves the server:
	// no RTP, RTMP, TS, and no probe replies.
	MediaDead Kind = "media-dead"
	// WrongSource: UDP leaves from the real server's own address (RIP) and not
	// from the address that the client used, which is how a wildcard-bound
	// server behaves behind Direct Routing.
	WrongSource Kind = "wrong-source"
)

// Kinds returns all fault kinds in alphabetical order.
func Kinds() []Kind {
	return []Kind{Hang, MediaDead, Refuse, Slow, Unhealthy, WrongSource}
}

// Defaults of the fields that a Fault may leave out.
const (
	DefaultUnhealthyBody = "Degraded"
	DefaultSlowMS        = 3000
)

// ErrFault reports a fault that cannot be set.
var ErrFault = errors.New("fault cannot be set")

// Fault is one misbehaviour. Kind and Service together identify it: setting it
// again replaces it.
type Fault struct {
	Kind Kind `json:"kind"`
	// Service limits the fault to one service (see [Services]); empty means all
	// to which the kind applies.
	Service string `json:"service,omitempty"`
	// Body is the text that an unhealthy server answers.
	Body string `json:"body,omitempty"`
	// HTTPStatus is the status code of an unhealthy server; 0 means 200.
	HTTPStatus int `json:"http_status,omitempty"`
	// DelayMS is the delay of a slow server in milliseconds.
	DelayMS int64 `json:"delay_ms,omitempty"`
}

// Delay is DelayMS as a duration.
func (f Fault) Delay() time.Duration { return time.Duration(f.DelayMS) * time.Millisecond }

// Normalize fills in the defaults of f and checks it.
func (f Fault) Normalize() (Fault, error) {
	if !slices.Contains(Kinds(), f.Kind) {
		return f, fmt.Errorf("%w: unknown kind %q, want one of %v", ErrFault, f.Kind, Kinds())
	}
	if f.Service != "" && !slices.Contains(Services(), f.Service) {
		return f, fmt.Errorf("%w: unknown service %q, want one of %v", ErrFault, f.Service, Services())
	}
	if f.HTTPStatus != 0 && (f.HTTPStatus < 200 || f.HTTPStatus > 599) {
		return f, fmt.Errorf("%w: http_status %d is not between 200 and 599", ErrFault, f.HTTPStatus)
	}
	if f.DelayMS < 0 {
		return f, fmt.Errorf("%w: delay_ms %d is negative", ErrFault, f.DelayMS)
	}
	if f.Kind == Unhealthy && f.Body == "" {
		f.Body = DefaultUnhealthyBody
	}
	if f.Kind == Slow && f.DelayMS == 0 {
		f.DelayMS = DefaultSlowMS
	}
	return f, nil
}

// FaultBoard is the set of faults that are active on one node. Reading it
// costs one atomic load, so the packet loops may ask for every packet. The
// zero value is an empty board.
type FaultBoard struct {
	mu      sync.Mutex
	active  atomic.Pointer[[]Fault]
	changed chan struct{}
}

// Set adds f, or replaces the fault of the same kind and service.
func (b *FaultBoard) Set(f Fault) error {
	f, err := f.Normalize()
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	same := func(g Fault) bool { return g.Kind == f.Kind && g.Service == f.Service }
	b.publish(append(slices.DeleteFunc(b.List(), same), f))
	return nil
}

// Clear removes every fault of the given kinds; without kinds, every fault.
func (b *FaultBoard) Clear(kinds ...Kind) {
	b.mu.Lock()
	defer b.mu.Unlock()
	gone := func(f Fault) bool { return len(kinds) == 0 || slices.Contains(kinds, f.Kind) }
	b.publish(slices.DeleteFunc(b.List(), gone))
}

// List returns the active faults, ordered by kind and service. The caller owns
// the slice.
func (b *FaultBoard) List() []Fault {
	if p := b.active.Load(); p != nil {
		return slices.Clone(*p)
	}
	return nil
}

// Active returns the fault of that kind that applies to the service: one for
// that very service before one for all.
func (b *FaultBoard) Active(k Kind, service string) (Fault, bool) {
	p := b.active.Load()
	if p == nil {
		return Fault{}, false
	}
	var found Fault
	for _, f := range *p {
		if f.Kind == k && (f.Service == service || (f.Service == "" && found.Kind == "")) {
			found = f
		}
	}
	return found, found.Kind != ""
}

// Has reports whether a fault of that kind applies to the service.
func (b *FaultBoard) Has(k Kind, service string) bool {
	_, ok := b.Active(k, service)
	return ok
}

// Changed returns a channel that is closed at the next change of the board.
// Take the channel first and look at the board after, so that no change is
// missed.
func (b *FaultBoard) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return b.changed
}

// publish makes faults the active set and wakes those who wait; b.mu is held.
func (b *FaultBoard) publish(faults []Fault) {
	slices.SortFunc(faults, func(x, y Fault) int {
		return cmp.Or(cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.Service, y.Service))
	})
	b.active.Store(&faults)
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}
