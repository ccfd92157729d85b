package ha_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vosbed/vosbed/appliance/lb"
)

// watchdog checks, millisecond by millisecond, what must hold whatever happened before.
type watchdog struct {
	s          *sim
	connected  time.Duration // both run and hear each other, without loss, since
	well       time.Duration // and both can use the service network, since
	both, none time.Duration // serving, for so long
	alike      time.Duration // both in the same role, for so long
}

func (w *watchdog) step(t *rapid.T, lossless bool) {
	a, b := w.s.nodes[0], w.s.nodes[1]
	up := a.running && b.running && !a.frozen && !b.frozen && !a.badKey && !b.badKey && lossless
	count(&w.connected, up && (w.s.pathWorks(0, 1, 0) || w.s.sync))
	count(&w.well, up && a.svc == "ok" && b.svc == "ok" && a.pingOK && b.pingOK && !a.closed && !b.closed)
	servesA, servesB := w.s.serves(0), w.s.serves(1)
	count(&w.both, servesA && servesB)
	count(&w.none, !servesA && !servesB)
	if w.s.broken != "" {
		t.Fatalf("%s\n%s", w.s.broken, w.s.log.String())
	}
	// One beat to be heard, one to let go.
	if limit := 2*timers().Heartbeat + 10*time.Millisecond; min(w.both, w.connected) > limit {
		t.Fatalf("both served for %v with the peer in hearing\n%s", limit, w.s.log.String())
	}
	// A vacancy is filled after Init at the latest, and looking takes Dead before it.
	limit := timers().Init + 2*timers().Dead + 2*timers().Heartbeat
	if min(w.none, w.well) > limit {
		t.Fatalf("nobody served for %v though all was well\n%s", limit, w.s.log.String())
	}
	count(&w.alike, a.m.Role() == b.m.Role())
	if min(w.well, w.alike) > limit {
		t.Fatalf("both are %v for %v\n%s", a.m.Role(), limit, w.s.log.String())
	}
}

func count(d *time.Duration, on bool) {
	if !on {
		*d = 0
		return
	}
	*d += time.Millisecond
}

func (w *watchdog) run(t *rapid.T, d time.Duration, lossless bool) {
	for range d / time.Millisecond {
		w.s.run(time.Millisecond)
		w.step(t, lossless)
	}
}

// TestPairUnderRandomFaults plays random faults with random loss and checks that
// a connected pair has exactly one owner within its bounds, always.
func TestPairUnderRandomFaults(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSim()
		w := &watchdog{s: s}
		lossless := rapid.Bool().Draw(t, "lossless")
		if !lossless {
			r := rand.New(rand.NewPCG(1, rapid.Uint64().Draw(t, "seed")))
			s.drop = func() bool { return r.Float64() < 0.2 }
		}
		s.nodes[0].cfg.Failback = rapid.Bool().Draw(t, "failback")
		for i := range s.nodes {
			s.start(i)
		}
		for range rapid.IntRange(1, 12).Draw(t, "faults") {
			fault(t, s)
			w.run(t, time.Duration(rapid.IntRange(1, 900).Draw(t, "ms"))*time.Millisecond, lossless)
		}
		heal(s)
		w.run(t, 4*time.Second, true)
		if s.serving != "a" && s.serving != "b" {
			t.Fatalf("healed, yet %s serves\n%s", s.serving, s.log.String())
		}
	})
}

func fault(t *rapid.T, s *sim) {
	i := rapid.IntRange(0, 1).Draw(t, "node")
	n := s.nodes[i]
	switch kind := rapid.SampledFrom([]string{
		"crash", "freeze", "cut", "hole", "ok", "sync", "ping", "key", "takeover", "release", "synced", "stall", "timers", "slept", "flush", "lease",
	}).Draw(t, "fault"); {
	case kind == "crash" && n.running:
		n.running = false
	case !n.running:
		s.start(i)
	case kind == "freeze":
		n.frozen = !n.frozen
	case n.frozen:
		n.frozen = false
	case kind == "sync":
		s.sync = !s.sync
	case kind == "ping":
		n.pingOK = !n.pingOK
	case kind == "key":
		n.badKey = !n.badKey
	case kind == "cut", kind == "hole", kind == "ok":
		_ = s.nodeCommand([]string{n.name, "svc", kind})
	case kind == "synced":
		_ = s.nodeCommand([]string{n.name, "synced", rapid.SampledFrom([]string{"yes", "no"}).Draw(t, "synced")})
	case kind == "stall":
		_ = s.nodeCommand([]string{n.name, "stall"})
		_ = s.nodeCommand([]string{n.name, "unstall"})
	case kind == "timers":
		_ = s.nodeCommand([]string{n.name, "set", "timers", rapid.SampledFrom([]string{"fast", "default"}).Draw(t, "timers")})
		_ = s.nodeCommand([]string{n.name, "reconfigure"})
	case kind == "flush":
		n.flush = rapid.SampledFrom([]string{"ok", "behind", "silent"}).Draw(t, "flush")
	case kind == "lease":
		_ = s.nodeCommand([]string{n.name, "lease", rapid.SampledFrom([]string{"open", "missing"}).Draw(t, "lease")})
	case kind == "slept":
		_ = s.nodeCommand([]string{n.name, "slept"})
	case kind == "takeover", kind == "release":
		_ = s.nodeCommand([]string{n.name, kind})
	}
}

func heal(s *sim) {
	s.sync, s.drop = true, func() bool { return false }
	for i, n := range s.nodes {
		n.badKey, n.pingOK, n.frozen = false, true, false
		if !n.running {
			s.start(i)
		}
		_ = s.nodeCommand([]string{n.name, "svc", "ok"})
		_ = s.nodeCommand([]string{n.name, "synced", "yes"})
		_ = s.nodeCommand([]string{n.name, "lease", "open"})
	}
}

// TestRolesStayApart: after a clean start the pair has its primary active and
// keeps it for as long as nothing happens.
func TestRolesStayApart(t *testing.T) {
	s := newSim()
	s.start(0)
	s.start(1)
	s.run(time.Minute)
	if a, b := s.nodes[0].m.Role(), s.nodes[1].m.Role(); a != lb.Active || b != lb.Passive {
		t.Fatalf("a is %v, b is %v", a, b)
	}
	if n := s.nodes[0].announced; n != 1 {
		t.Fatalf("announced %d times", n)
	}
}
