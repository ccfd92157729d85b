package sentinel_test

import (
	"flag"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/lb"
)

var soak = flag.Duration("soak", 2*time.Second, "how long TestNoFalseFailoverUnderLoad lasts")

// TestNoFalseFailoverUnderLoad keeps every core busy, in the process that plays the
// main daemon: the pair must not move. The timers are the default ones: a virtual machine
// may itself stop for longer than the fast lease.
func TestNoFalseFailoverUnderLoad(t *testing.T) {
	l := newLab(t, defaultTimers())
	a, b := l.pair()
	if s := a.handle.State(); !s.RealTime {
		t.Logf("the sentinels are not real-time: %s", s.RealTimeNo)
	}
	before := a.handle.State().Term
	var end atomic.Bool
	done := make(chan int)
	for range 2 * runtime.NumCPU() {
		go func() {
			n := 0
			for !end.Load() {
				n += len(make([]byte, 4096)) // work for the collector too
			}
			done <- n
		}()
	}
	stalled := longestStall(*soak)
	end.Store(true)
	for range 2 * runtime.NumCPU() {
		<-done
	}
	l.until("reports", func() bool { return a.handle.State().Term > 0 })
	sa, sb := a.handle.State(), b.handle.State()
	moved := sa.Role != lb.Active || sb.Role != lb.Passive || sa.Term != before
	switch {
	case moved && stalled > l.timers.Lease-l.timers.Heartbeat:
		t.Skipf("the machine stood still for %v: that is a failure, and no false one", stalled)
	case moved:
		t.Errorf("the pair moved under load: %+v %+v", sa, sb)
	}
}

// longestStall is how long this process has not run at a stretch within d.
func longestStall(d time.Duration) (longest time.Duration) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for last := began; last.Sub(began) < d; {
		<-tick.C
		now := time.Now()
		longest, last = max(longest, now.Sub(last)), now
	}
	return longest
}
