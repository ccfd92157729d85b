package health

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
)

// script answers checks by target and records when they came.
type script struct {
	mu    sync.Mutex
	fail  map[netip.Addr]string
	delay time.Duration
	short bool // it is this host that fails
	at    []time.Duration
	start time.Time
	most  int
	now   int
}

func newScript() *script { return &script{fail: map[netip.Addr]string{}, start: time.Now()} }

func (s *script) check(ctx context.Context, p plan.Probe) finding {
	s.mu.Lock()
	s.at = append(s.at, time.Since(s.start))
	s.now++
	s.most = max(s.most, s.now)
	delay := s.delay
	s.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now--
	failed := s.fail[p.Target]
	return finding{lb.Verdict{At: time.Now(), OK: failed == "", Failed: failed}, s.short}
}

func (s *script) set(addr netip.Addr, failed string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail[addr], s.short = failed, false
}

// times returns and forgets when checks came.
func (s *script) times() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.at
	s.at = nil
	return at
}

func addrOf(i int) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, byte(i >> 8), byte(i)}) }

func probeOf(i int) plan.Probe {
	return plan.Probe{
		ID: lb.RealID{Service: "s", Real: fmt.Sprintf("r%d", i)}, Target: addrOf(i), Port: 8443,
		Check: lb.HealthCheck{
			Kind: lb.CheckConnect, Port: 8443, Fall: 2, Rise: 2,
			Interval: 5 * time.Second, Fast: time.Second, Timeout: 3 * time.Second,
		},
	}
}

// start runs an engine with s until the test ends.
func start(t *testing.T, s *script, concurrency int) *Engine {
	t.Helper()
	e := New(Options{Concurrency: concurrency})
	e.check = s.check
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return e
}

func set(t *testing.T, e *Engine, probes ...plan.Probe) {
	t.Helper()
	if err := e.Set(t.Context(), probes); err != nil {
		t.Fatal(err)
	}
}

func changed(e *Engine) bool {
	select {
	case <-e.Changes():
		return true
	default:
		return false
	}
}

func TestTimeline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		e := start(t, s, 0)
		p := probeOf(1)
		s.set(p.Target, "refused")
		set(t, e, p)
		if h := e.Snapshot()[p.ID]; h.Up || h.Last.Failed != "not checked yet" {
			t.Fatalf("before the first check: %+v", h)
		}
		synctest.Wait()
		if h := e.Snapshot()[p.ID]; h.Up || h.Last.Failed != "refused" || !changed(e) {
			t.Fatalf("after a failure: %+v", h)
		}
		s.set(p.Target, "")
		<-time.After(5 * time.Second)
		synctest.Wait()
		if h := e.Snapshot()[p.ID]; !h.Up || time.Since(h.Since) != 0 || !changed(e) {
			t.Fatalf("the first success is enough: %+v", h)
		}
		<-time.After(4 * time.Second)
		s.set(p.Target, "degraded")
		<-time.After(time.Second)
		synctest.Wait()
		if !e.Up()[p.ID] {
			t.Fatal("one failure is not enough")
		}
		<-time.After(time.Second)
		synctest.Wait()
		if e.Up()[p.ID] || !changed(e) {
			t.Fatal("two failures are enough, the second after the fast period")
		}
		want := []time.Duration{0, 5 * time.Second, 10 * time.Second, 11 * time.Second}
		if diff := cmp.Diff(want, s.times()); diff != "" {
			t.Fatalf("checks (-want +got):\n%s", diff)
		}
	})
}

// TestReasonsAloneMoveNothing: only edges are told, whatever a server says.
func TestReasonsAloneMoveNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		e := start(t, s, 0)
		p := probeOf(1)
		s.set(p.Target, "reason 0")
		set(t, e, p)
		synctest.Wait()
		told := 0
		look := func() {
			<-time.After(5 * time.Second)
			synctest.Wait()
			if changed(e) {
				told++
			}
		}
		for i := range 10 {
			look()
			s.set(p.Target, fmt.Sprint("reason ", i+1))
		}
		if last := e.Snapshot()[p.ID].Last.Failed; told != 1 || last != "reason 9" {
			t.Fatalf("told %d times, want once for the first verdict; last %q", told, last)
		}
		s.set(p.Target, "")
		look() // up
		s.set(p.Target, "reason 11")
		look() // failing
		look() // down
		s.set(p.Target, "reason 12")
		look()
		look()
		if told != 4 {
			t.Fatalf("told %d times, want 4: first verdict, up, failing, down", told)
		}
	})
}

func TestUnchangedProbesKeepStateHistoryAndSchedule(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		e := start(t, s, 0)
		set(t, e, probeOf(1))
		<-time.After(12 * time.Second)
		synctest.Wait()
		before := e.Snapshot()[probeOf(1).ID]
		for changed(e) {
		}
		set(t, e, probeOf(1))
		if changed(e) {
			t.Fatal("an equal Set is not a change")
		}
		s.times()
		set(t, e, probeOf(1), probeOf(2))
		synctest.Wait()
		if diff := cmp.Diff(before, e.Snapshot()[probeOf(1).ID]); diff != "" || len(before.History) != 3 {
			t.Fatalf("after adding another (-before +after):\n%s", diff)
		}
		<-time.After(4 * time.Second)
		synctest.Wait()
		want := []time.Duration{12 * time.Second, 15 * time.Second}
		if diff := cmp.Diff(want, s.times()); diff != "" {
			t.Fatalf("checks (-want +got):\n%s", diff)
		}
		set(t, e)
		<-time.After(time.Minute)
		if at := s.times(); len(at) != 0 || len(e.Snapshot()) != 0 {
			t.Fatalf("a removed probe was checked at %v", at)
		}
	})
}

func TestChangedProbes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		e := start(t, s, 0)
		p := probeOf(1)
		set(t, e, p)
		synctest.Wait()
		<-time.After(time.Second)
		s.times()

		edited := p
		edited.Check.Interval = 7 * time.Second
		set(t, e, edited)
		if !e.Up()[p.ID] {
			t.Fatal("an edited check took a healthy server out")
		}
		synctest.Wait()
		if diff := cmp.Diff([]time.Duration{time.Second}, s.times()); diff != "" {
			t.Fatalf("an edited check is made at once (-want +got):\n%s", diff)
		}
		moved := edited
		moved.Target = addrOf(9)
		s.set(moved.Target, "refused")
		set(t, e, moved)
		if e.Up()[p.ID] {
			t.Fatal("another server does not inherit the state")
		}

		on, off := p, probeOf(2)
		on.Check.Kind, off.Check.Kind = lb.CheckOn, lb.CheckOff
		set(t, e, on, off)
		s.times()
		<-time.After(time.Minute)
		if up := e.Up(); !up[on.ID] || up[off.ID] || len(s.times()) != 0 {
			t.Fatalf("on and off: %v", up)
		}
	})
}

func TestHistoryIsBoundedAndSnapshotsDoNotChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		e := start(t, s, 0)
		p := probeOf(1)
		set(t, e, p)
		<-time.After(50 * 5 * time.Second)
		synctest.Wait()
		old := e.Snapshot()[p.ID]
		first := old.History[0]
		if len(old.History) != historyLen {
			t.Fatalf("%d verdicts, want %d", len(old.History), historyLen)
		}
		<-time.After(5 * time.Second)
		synctest.Wait()
		if diff := cmp.Diff(first, old.History[0]); diff != "" {
			t.Fatalf("the snapshot changed:\n%s", diff)
		}
	})
}

func TestConcurrencyIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		s.delay = 100 * time.Millisecond
		e := start(t, s, 8)
		var probes []plan.Probe
		for i := range 400 {
			probes = append(probes, probeOf(i))
		}
		set(t, e, probes...)
		<-time.After(5 * time.Second)
		synctest.Wait()
		if s.most != 8 {
			t.Fatalf("%d checks at once, want 8", s.most)
		}
		for id, up := range e.Up() {
			if !up {
				t.Fatalf("%v was not checked", id)
			}
		}
	})
}

func TestJitterSpreadsAndStaysInBounds(t *testing.T) {
	t.Parallel()
	distinct := map[time.Duration]bool{}
	for range 200 {
		d := jittered(5*time.Second, 0.1)
		if d < 4500*time.Millisecond || d > 5500*time.Millisecond {
			t.Fatalf("%v is out of bounds", d)
		}
		distinct[d] = true
	}
	if len(distinct) < 100 {
		t.Fatalf("only %d distinct periods", len(distinct))
	}
	if d := jittered(5*time.Second, 0); d != 5*time.Second {
		t.Fatalf("no jitter gave %v", d)
	}
}
