package ha_test

import (
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/ha"
	"github.com/vosbed/vosbed/appliance/lb"
)

// passive is a started node without ping nodes beside an owner, at the time it
// returns.
func passive(t *testing.T) (*ha.Machine, time.Duration) {
	t.Helper()
	m := ha.New(ha.Config{Node: "b", Seat: lb.Secondary, Paired: true, Paths: []string{"svc", "sync"}, Timers: timers(), Lease: true, Announce: true})
	m.Step(ha.Start{}, 0)
	now := timers().Init
	m.Step(ha.Heartbeat{Peer: owner()}, now)
	return m, now
}

func owner() ha.State {
	return ha.State{Node: "a", Role: lb.Active, Term: 1, Serviceable: true, PingAge: ha.NoPing, Dead: timers().Dead}
}

// takes steps the machine each millisecond until it owns, and returns how long it took
// and the actions of that step.
func takes(m *ha.Machine, now, limit time.Duration, also func(time.Duration)) (time.Duration, []ha.Action) {
	for d := time.Millisecond; d < limit; d += time.Millisecond {
		also(now + d)
		if out := m.Step(ha.Tick{}, now+d); m.Owns() {
			return d, out
		}
	}
	return limit, nil
}

// What was held back on one path and delivered on another proves no life.
func TestOldHeartbeatsDoNotKeepADeadPeerAlive(t *testing.T) {
	m, now := passive(t)
	took, _ := takes(m, now, 5*time.Second, func(at time.Duration) {
		m.Step(ha.Heartbeat{Path: 1, Peer: owner(), Old: true}, at)
	})
	if took > timers().Dead+timers().Heartbeat {
		t.Errorf("took after %v", took)
	}
}

// The peer's lease is bounded by its own dead time, not by this node's.
func TestPatienceIsThePeersToo(t *testing.T) {
	m, now := passive(t)
	slow := owner()
	slow.Dead = 2 * time.Second
	now += timers().Heartbeat
	m.Step(ha.Heartbeat{Peer: slow}, now)
	if took, _ := takes(m, now, 5*time.Second, func(time.Duration) {}); took != slow.Dead {
		t.Errorf("took after %v of silence, the peer may serve for %v", took, slow.Dead)
	}
}

// A node may freeze between any two actions of a take-over: until its word has left,
// the lease is the one that its last heartbeat stands for.
func TestLeaseOfATakeOverWaitsForTheHeartbeat(t *testing.T) {
	m, now := passive(t)
	beat := now
	_, out := takes(m, now, time.Second, func(at time.Duration) {
		if m.Wake() == at {
			beat = at
		}
	})
	told := false
	for _, a := range out {
		told = told || a.Do == ha.SendHeartbeat
		if a.Do == ha.RenewLease && !told && a.Deadline > beat+timers().Lease {
			t.Errorf("a lease until %v before the first word; the last heartbeat left at %v", a.Deadline, beat)
		}
	}
	if !told || out[len(out)-2].Do != ha.RenewLease {
		t.Errorf("the whole lease must follow the heartbeat: %v", out)
	}
}
