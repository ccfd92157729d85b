package sentinel_test

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/sentinel"
	"github.com/vosbed/vosbed/appliance/lb"
)

func TestKilledOwnerIsReplaced(t *testing.T) {
	l := newLab(t, defaultTimers())
	a, b := l.pair()
	l.claims()
	began := time.Now()
	a.kill()
	l.claimed(b)
	t.Logf("killed to claimed: %v", time.Since(began))
	if a.lease.held() {
		t.Error("the lease must have run out at a before b took")
	}
	l.until("the peer has the addresses and the lease", func() bool { return b.owns() && b.lease.held() })
	// The killed node comes back, finds the owner and removes what was left.
	if !a.owns() {
		t.Error("a kill must leave the addresses in place")
	}
	a.start()
	l.until("a sees the owner", func() bool {
		s := a.handle.State()
		return s.Role == lb.Passive && s.PeerAlive && s.PeerRole == lb.Active
	})
	if a.owns() || !b.owns() {
		t.Error("a returning node takes nothing and removes what it finds")
	}
}

func TestFrozenOwnerIsReplacedAndStaysQuiet(t *testing.T) {
	l := newLab(t, defaultTimers())
	a, b := l.pair()
	l.claims()
	a.signal(unix.SIGSTOP)
	t.Logf("frozen to claimed: %v", l.claimed(b))
	if a.lease.held() {
		t.Error("the frozen owner's lease must have run out before the peer took")
	}
	l.claims()
	a.signal(unix.SIGCONT)
	l.until("the thawed node is passive", func() bool { return a.is(lb.Passive)() && !a.owns() })
	l.until("the thawed node sees the owner", func() bool { return a.handle.State().PeerRole == lb.Active })
	if l.claimedBy(a) {
		t.Error("the thawed node announced itself")
	}
	// The claim is heard before the owner's report arrives.
	l.until("the owner goes on undisturbed", func() bool { return b.is(lb.Active)() && b.owns() })
}

func TestCutLinkMovesAtOnce(t *testing.T) {
	l := newLab(t, defaultTimers())
	a, b := l.pair()
	l.claims()
	l.must(l.sw.Do(func() error { return down("port0") }))
	t.Logf("cut to claimed: %v", l.claimed(b))
	l.until("the reports", func() bool { return a.is(lb.Passive)() && b.is(lb.Active)() })
	// At once, and not after Dead.
	if a.why() != "the service link lost carrier" || b.why() != "the peer yields" {
		t.Errorf("the addresses moved because: %s; %s", a.why(), b.why())
	}
}

// TestLinkBounceRestoresAddresses: the kernel drops IPv6 addresses with the carrier.
func TestLinkBounceRestoresAddresses(t *testing.T) {
	l := newLab(t, defaultTimers())
	a, b := l.pair()
	b.kill()
	l.until("the peer is dead", func() bool { return !a.handle.State().PeerAlive })
	l.must(a.ns.Do(func() error { return down("svc0") }))
	l.until("isolated", a.is(lb.Passive))
	l.must(a.ns.Do(func() error { return up("svc0") }))
	l.until("serves again", func() bool { return a.is(lb.Active)() && a.owns() && a.lease.held() })
	l.claimed(a)
}

func TestBlackHoleIsFoundByThePingNode(t *testing.T) {
	l := newLab(t, defaultTimers())
	a, b := l.pair()
	l.claims()
	// The port goes on to have carrier and forwards nothing.
	l.must(l.sw.Do(func() error { return isolate("port0") }))
	t.Logf("black hole to claimed: %v", l.claimed(b))
	l.until("the report", b.is(lb.Active))
	if b.why() != "the peer yields" {
		t.Errorf("the addresses moved because: %s", b.why())
	}
	l.until("the old owner has let go", func() bool { return a.is(lb.Passive)() && !a.owns() && !a.lease.held() })
}

// TestConflictIsHealed: the survivor announces at once, and again when the other has
// let go: neighbours may have learned the other's address last. In between it is the only
// one that hears: its first announcements pass, the last ones cannot be mistaken for them.
func TestConflictIsHealed(t *testing.T) {
	l := newLab(t, defaultTimers())
	a, b := l.pair()
	l.must(a.ns.Do(func() error { return deafen("sync0", "10.9.9.1") }))
	l.must(b.ns.Do(func() error { return deafen("sync0", "10.9.9.2") }))
	l.must(l.sw.Do(func() error { return mute(true) }))
	l.until("both own", func() bool { return a.is(lb.Active)() && b.is(lb.Active)() })
	l.hush()
	l.must(b.ns.Do(func() error { return undeafen("sync0", "10.9.9.2") }))
	t.Logf("conflict to claimed: %v", l.claimed(b))
	l.hush()
	if !a.owns() || !b.owns() {
		t.Fatal("the conflict is over too early")
	}
	l.must(a.ns.Do(func() error { return undeafen("sync0", "10.9.9.1") }))
	healed := l.until("healed", func() bool { return a.is(lb.Passive)() && b.is(lb.Active)() && !a.owns() })
	t.Logf("conflict healed in %v", healed)
	l.claimed(b)
}

func TestPlannedSwitchover(t *testing.T) {
	l := newLab(t, defaultTimers())
	a, b := l.pair()
	l.claims()
	l.must(b.handle.Command(t.Context(), sentinel.TakeOver))
	t.Logf("command to claimed: %v", l.claimed(b))
	l.until("the report", b.is(lb.Active))
	if b.why() != "planned switchover" {
		t.Errorf("the addresses moved because: %s", b.why())
	}
	l.until("the roles are swapped", func() bool { return a.is(lb.Passive)() && b.is(lb.Active)() && !a.owns() && b.owns() })
	if err := a.handle.Command(t.Context(), sentinel.Release); err == nil {
		t.Error("a passive node has nothing to release: the command must be refused")
	}
	l.must(b.handle.Command(t.Context(), sentinel.Release))
	l.until("the roles are swapped back", func() bool { return a.is(lb.Active)() && b.is(lb.Passive)() })
}

func TestRestartWithinTheLeaseResumes(t *testing.T) {
	l := newLab(t, longLease())
	a, b := l.pair()
	a.restart()
	l.until("it resumed", func() bool {
		s := a.handle.State()
		return s.Role == lb.Active && s.Reason == "restarted within the lease" && s.PeerAlive && s.LeaseHeld
	})
	l.until("the peer saw the new life", func() bool { return b.handle.State().PeerAlive })
	if !b.is(lb.Passive)() || b.owns() || !a.owns() || !a.lease.held() {
		t.Error("the owner must have stayed the owner")
	}
}

// TestRestartAfterHandoverTakesNothing: the lease of a planned switchover runs on, but
// it is nobody's.
func TestRestartAfterHandoverTakesNothing(t *testing.T) {
	l := newLab(t, longLease())
	a, b := l.pair()
	l.must(a.handle.Command(t.Context(), sentinel.Release))
	l.until("the peer has the addresses", func() bool { return b.is(lb.Active)() && b.owns() && a.is(lb.Passive)() && !a.owns() })
	if !a.lease.held() {
		t.Fatal("the lease must run out by itself")
	}
	l.hush()
	a.restart()
	l.until("it sees the owner", func() bool {
		s := a.handle.State()
		return s.Reason == "started: waiting for the peer" && s.PeerRole == lb.Active
	})
	if a.owns() || l.claimedBy(a) || a.lease.held() {
		t.Error("it took back what it had handed over")
	}
}

func TestStalledMainFallsSilent(t *testing.T) {
	l := newLab(t, defaultTimers())
	a, b := l.pair()
	a.quiet.Store(true)
	l.until("the peer took", b.is(lb.Active))
	l.until("the stalled node let go", func() bool { return !a.owns() && !a.lease.held() })
	l.until("the peer hears nothing", func() bool { return !b.handle.State().PeerAlive })
	a.quiet.Store(false)
	l.until("it returns passive", func() bool { return b.handle.State().PeerAlive && a.is(lb.Passive)() })
}

func TestWrongKeyIsCounted(t *testing.T) {
	l := newLab(t, defaultTimers())
	a, b := l.nodes[0], l.nodes[1]
	b.secret = 'x'
	a.start()
	b.start()
	l.until("both serve, as neither hears the other", func() bool { return a.is(lb.Active)() && b.is(lb.Active)() })
	l.until("the rejects are counted", func() bool {
		s := a.handle.State()
		return s.Paths[0].Rejected > 0 && s.Paths[1].Rejected > 0 && !s.PeerAlive
	})
}

// TestShortTimers reports takeover times at 30 ms / 150 ms; the scenario failover-fast
// measures 10 ms / 30 ms, which a busy test machine cannot hold.
func TestShortTimers(t *testing.T) {
	ms := time.Millisecond
	l := newLab(t, lb.HATimers{Heartbeat: 30 * ms, Dead: 150 * ms, Lease: 125 * ms, Init: 300 * ms, HoldDown: time.Second})
	l.pair()
	var times []string
	for range 5 {
		// With such timers a stalled machine moves them by itself.
		a, b := l.nodes[0], l.nodes[1]
		l.until("one owner", func() bool {
			if b.is(lb.Active)() {
				a, b = b, a
			}
			sa, sb := a.handle.State(), b.handle.State()
			return sa.Role == lb.Active && sb.Role == lb.Passive && sb.PeerAlive && len(sb.Pings) > 0 && sb.Pings[0].Up
		})
		l.claims()
		began := time.Now()
		a.kill()
		l.claimed(b)
		times = append(times, fmt.Sprint(time.Since(began)))
		a.start()
	}
	t.Logf("killed to claimed: %v", times)
}
