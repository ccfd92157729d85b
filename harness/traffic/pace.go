package traffic

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// longestNap bounds one sleep of a pacer, so that it notices the end of its
// context.
const longestNap = int64(50 * time.Millisecond)

// monotonic is CLOCK_MONOTONIC in nanoseconds: one clock for all processes of
// the host. On Linux it cannot fail.
func monotonic() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}

// realtime is CLOCK_REALTIME in nanoseconds, the clock of kernel time stamps.
func realtime() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_REALTIME, &ts)
	return ts.Nano()
}

// sleepUntil returns at that time of CLOCK_MONOTONIC, or a little later.
func sleepUntil(due int64) {
	ts := unix.NsecToTimespec(due)
	for errors.Is(unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &ts, nil), unix.EINTR) {
	}
}

// pacer calls tick number n at start + n/rate, by absolute deadlines: a late
// tick is made up for at once and never shifts those after it.
type pacer struct {
	start int64 // CLOCK_MONOTONIC, ns
	rate  float64
	count int // number of ticks, 0 = until ctx ends
}

// due is the intended time of tick n.
func (p pacer) due(n int) int64 { return p.start + int64(float64(n)*1e9/p.rate) }

// run paces on a thread of its own, which dies with the goroutine because its
// scheduling was changed: call it as "go p.run" or from a goroutine that ends
// with it. tick must not block for long: those after it come late, though they keep
// their due times.
func (p pacer) run(ctx context.Context, tick func(n int, due int64)) {
	runtime.LockOSThread()
	urgent()
	for n := 0; p.count == 0 || n < p.count; n++ {
		due := p.due(n)
		for now := monotonic(); now < due; now = monotonic() {
			sleepUntil(min(due, now+longestNap))
			if ctx.Err() != nil {
				return
			}
		}
		if ctx.Err() != nil {
			return
		}
		tick(n, due)
	}
}

// pace runs a pacer until its ticks are over or ctx ends, and emits every second how
// late what it started was. tick hands its work over: it must not wait for anybody,
// as every flow of the load would wait with it.
func (a *agent) pace(ctx context.Context, p pacer, tick func(n int, due int64)) {
	threads(8)
	reporting, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { every(reporting, time.Second, a.reportLateness) })
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.run(ctx, tick)
	}()
	<-done
	stop()
	wg.Wait()
}

// metricLate is how late a load began what it had planned, the p99 of one second in
// milliseconds, by load. It is not the probe's lateness (observe.MetricPacerLate),
// which makes every verdict with a noise floor inconclusive: a late load of requests
// speaks for what it measures itself alone. An expectation on such a metric can name
// it as its floor.
const metricLate = "send_late_ms"

// lateness gathers how late a load's sendings were.
type lateness struct {
	mu sync.Mutex
	ns []int64
}

// note takes down that what was due then begins now.
func (l *lateness) note(due int64) {
	late := max(monotonic()-due, 0)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ns = append(l.ns, late)
}

// take returns the p99 since the last call; false when nothing was sent.
func (l *lateness) take() (p99 time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ns) == 0 {
		return 0, false
	}
	slices.Sort(l.ns)
	p99 = time.Duration(l.ns[min(len(l.ns)*99/100, len(l.ns)-1)])
	l.ns = l.ns[:0]
	return p99, true
}

func (a *agent) reportLateness() {
	if p99, ok := a.late.take(); ok {
		a.sample(metricLate, p99.Seconds()*1000, "ms", map[string]string{"load": a.Name})
	}
}

// urgent makes the calling thread wake up on time: timers without slack and, if
// the kernel allows, real-time scheduling. Without the latter pacing is merely
// worse, which the lateness that is measured shows.
func urgent() {
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 5}
	_ = unix.SchedSetAttr(0, &attr, 0)
}

// every calls f once per interval until ctx ends and once more then. It is for
// reporting, not for pacing.
func every(ctx context.Context, interval time.Duration, f func()) {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			f()
		case <-ctx.Done():
			f()
			return
		}
	}
}

// wait returns false when ctx ends before d is over.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// threads makes sure that a thread which returns from a system call finds a
// free processor of the Go scheduler: without spare ones a paced thread waits
// for the garbage collector or for another goroutine.
func threads(n int) {
	if runtime.GOMAXPROCS(0) < n {
		runtime.GOMAXPROCS(n)
	}
}

// errSource explains why a client address cannot be used.
func errSource(source string, err error) error {
	return fmt.Errorf("use client address %s (the lab routes the pool to lo of this node): %w", source, err)
}
