package simvos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/vosbed/vosbed/simvos/control"
)

// reopenPause is the time between two attempts to bind a port again that
// something else has taken while the service was refused.
const reopenPause = 100 * time.Millisecond

// States of a service, in control.Service.State.
const (
	stateListening = "listening"
	stateRefused   = "refused"
)

// endpoint is an open listener. Serve runs it until ctx ends and leaves it
// closed.
type endpoint interface {
	Addr() net.Addr
	Serve(ctx context.Context) error
}

// service is one listener that can be closed and opened again.
type service struct {
	name string
	open func() (endpoint, error)

	owner *services
	now   endpoint // used by run only
	seen  control.Service
}

// services is the set of a node's services and their states.
type services struct {
	all []*service

	mu      sync.Mutex
	changed chan struct{}
}

// openAll opens each service in order; after an error all are closed again.
func (s *services) openAll(all []*service) error {
	s.changed = make(chan struct{})
	for _, one := range all {
		e, err := one.open()
		if err != nil {
			s.closeAll()
			return fmt.Errorf("open service %s: %w", one.name, err)
		}
		one.owner, one.now = s, e
		s.add(one)
		one.publish(stateListening)
	}
	return nil
}

// add makes an open service visible.
func (s *services) add(one *service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, one)
}

// closeAll closes services that never ran, by serving for no time.
func (s *services) closeAll() {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for _, one := range s.all {
		_ = one.now.Serve(ended)
	}
}

// list returns the present states.
func (s *services) list() []control.Service {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]control.Service, 0, len(s.all))
	for _, one := range s.all {
		out = append(out, one.seen)
	}
	return out
}

// settle waits until every service is refused exactly if the board says so.
func (s *services) settle(ctx context.Context, b *control.FaultBoard) error {
	for {
		s.mu.Lock()
		changed, settled := s.changed, s.follows(b)
		s.mu.Unlock()
		if settled {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *services) follows(b *control.FaultBoard) bool {
	for _, one := range s.all {
		if b.Has(control.Refuse, one.name) != (one.seen.State == stateRefused) {
			return false
		}
	}
	return true
}

// publish records the state and wakes those who wait for it.
func (s *service) publish(state string) {
	s.owner.mu.Lock()
	defer s.owner.mu.Unlock()
	s.seen.Name, s.seen.State = s.name, state
	if s.now != nil {
		s.seen.Network, s.seen.Addr = s.now.Addr().Network(), s.now.Addr().String()
	}
	close(s.owner.changed)
	s.owner.changed = make(chan struct{})
}

// run serves until ctx ends, and closes and opens the service as the faults
// come and go.
func (s *service) run(ctx context.Context, n *Node) error {
	for ctx.Err() == nil {
		if s.now == nil && !s.reopen(ctx, n) {
			break
		}
		if err := s.serveUntilRefused(ctx, n); err != nil {
			return fmt.Errorf("service %s: %w", s.name, err)
		}
		s.now = nil
	}
	return s.release()
}

// release closes an endpoint that was opened but not served.
func (s *service) release() error {
	if s.now == nil {
		return nil
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	return s.now.Serve(ended)
}

// serveUntilRefused serves until ctx ends or a Refuse fault arrives.
func (s *service) serveUntilRefused(ctx context.Context, n *Node) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.now.Serve(ctx) }()
	for {
		changed := n.faults.Changed()
		if n.faults.Has(control.Refuse, s.name) {
			cancel()
			return <-done
		}
		select {
		case err := <-done:
			if err == nil && ctx.Err() == nil {
				err = errors.New("stopped on its own")
			}
			return err
		case <-changed:
		}
	}
}

// reopen waits out the fault and binds again; false when ctx ended first.
func (s *service) reopen(ctx context.Context, n *Node) bool {
	s.publish(stateRefused)
	for {
		changed := n.faults.Changed()
		if !n.faults.Has(control.Refuse, s.name) {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
	for {
		e, err := s.open()
		if err == nil {
			s.now = e
			s.publish(stateListening)
			return true
		}
		n.log.WarnContext(ctx, "cannot open the service again, will retry", "service", s.name, "err", err)
		if !pause(ctx, reopenPause) {
			return false
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
