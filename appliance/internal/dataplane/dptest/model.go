package dptest

import (
	"time"

	"github.com/vosbed/vosbed/appliance/internal/dataplane/memory"
)

// Model is the reference model as a bench, with a clock of its own.
type Model struct {
	*memory.Plane
	now time.Time
}

// NewModel returns an empty model.
func NewModel() *Model {
	m := &Model{now: time.Unix(1000, 0)}
	m.Plane = memory.New(memory.Options{Now: func() time.Time { return m.now }})
	return m
}

// Ingress decides on the abstract packet; the frame is not looked at.
func (m *Model) Ingress(p memory.Packet, _ []byte) (memory.Verdict, error) {
	return m.Plane.Ingress(p), nil
}

// Egress is Ingress for the other way.
func (m *Model) Egress(p memory.Packet, _ []byte) (memory.Verdict, error) {
	return m.Plane.Egress(p), nil
}

// Age moves the clock.
func (m *Model) Age(d time.Duration) error { m.now = m.now.Add(d); return nil }

// Lease gives or takes the lease.
func (m *Model) Lease(held bool) { m.SetLease(held) }

// Sweep removes what is idle.
func (m *Model) Sweep() error { m.Plane.Sweep(); return nil }

// Restart does nothing: the model declares no adoption.
func (m *Model) Restart() error { return nil }
