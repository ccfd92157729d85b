// Package reconcile is the one loop of the appliance: whenever an input changed it
// computes the whole plan and hands each actuator its part, in a fixed order. It is
// level-triggered and coalescing: ten changes at once cost one pass.
//
// # Announcing what is served
//
// The last actuator announces the addresses that the others serve. It never gets one
// that nothing answers for:
//
//   - An address is given to it for the first time in a pass in which all the others
//     have succeeded. Those that fail later take nothing back: the kernel goes on with
//     what it had.
//   - An actuator that has failed for some addresses only says so by a [plan.UnservedError]:
//     these are withheld, or taken back, and the others are not.
//   - While all that is wanted is withheld from the start, the last actuator is not set
//     at all: a node that serves nothing does not stand for election either.
//   - Addresses that are no longer wanted are taken back before the others change.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/plan"
)

// Actuator is one thing that can be set to a desired state. The order of the
// actuators given to New is the order in which they are set: what serves comes
// before what announces it, which is the last.
type Actuator struct {
	Name string
	Set  func(ctx context.Context, p plan.Plan) error
}

// Options are what a loop needs. Inputs is called in the loop's goroutine before
// each pass. Applied is called after each pass with the plan and the actuators'
// errors by name. Alive, if set, is called every Beat from the loop itself: it stops
// when an actuator hangs, which is the point.
type Options struct {
	Inputs    func() plan.Inputs
	Actuators []Actuator
	Applied   func(p plan.Plan, failed map[string]error)
	Alive     func()
	Beat      time.Duration
	Logger    *slog.Logger
}

// Retry bounds: a failing actuator is tried again, the others proceed.
const (
	retryFirst = 100 * time.Millisecond
	retryMost  = 5 * time.Second
)

// Loop runs passes. Make one with New.
type Loop struct {
	opts  Options
	dirty chan struct{}
	// now is the clock that judges deadlines; tests run under synctest.
	now func() time.Time
	// announced is what the last actuator was given, if it was given anything.
	announced []plan.VIP
	told      bool
}

// New returns a loop that has not started.
func New(opts Options) *Loop {
	if opts.Beat <= 0 {
		opts.Beat = 100 * time.Millisecond
	}
	return &Loop{opts: opts, dirty: make(chan struct{}, 1), now: time.Now}
}

// Dirty says that an input changed. It never blocks and may be called by anybody.
func (l *Loop) Dirty() {
	select {
	case l.dirty <- struct{}{}:
	default:
	}
}

// Run makes passes until ctx ends; cancellation is not an error.
func (l *Loop) Run(ctx context.Context) error {
	beat := time.NewTicker(l.opts.Beat)
	defer beat.Stop()
	retry := retryFirst
	next := time.Now() // the first pass is due at once
	for {
		if !next.IsZero() && !l.now().Before(next) {
			next, retry = l.pass(ctx, retry)
		}
		if l.opts.Alive != nil {
			l.opts.Alive()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-l.dirty:
			next = l.now()
		case <-beat.C:
		}
	}
}

// pass computes and sets once. It returns when the next pass is due by itself
// (zero = only when dirty) and the retry delay to use after another failure.
func (l *Loop) pass(ctx context.Context, retry time.Duration) (time.Time, time.Duration) {
	t := turn{l, plan.Compute(l.opts.Inputs()), retry, map[string]error{}}
	if n := len(l.opts.Actuators); n > 0 {
		t.all(ctx, l.opts.Actuators[:n-1], l.opts.Actuators[n-1])
	}
	if l.opts.Applied != nil {
		l.opts.Applied(t.plan, t.failed)
	}
	if len(t.failed) > 0 {
		return earliest(l.now().Add(retry), t.plan.Wake), min(2*retry, retryMost)
	}
	return t.plan.Wake, retryFirst
}

// turn is one pass.
type turn struct {
	*Loop
	plan   plan.Plan
	retry  time.Duration
	failed map[string]error
}

func (t turn) all(ctx context.Context, servers []Actuator, announcer Actuator) {
	if kept := keep(t.announced, t.plan.VIPs); len(kept) < len(t.announced) {
		t.announce(ctx, announcer, kept)
	}
	vips := t.plan.VIPs
	for _, a := range servers {
		if err := t.set(ctx, a, t.plan); err != nil {
			vips = answered(vips, t.announced, err)
		}
	}
	if !t.told && len(vips) == 0 && len(t.plan.VIPs) > 0 {
		return
	}
	t.announce(ctx, announcer, vips)
}

func (t turn) announce(ctx context.Context, announcer Actuator, vips []plan.VIP) {
	p := t.plan
	p.VIPs = vips
	t.announced, t.told = vips, true
	_ = t.set(ctx, announcer, p)
}

// set reports a failure, but not that the daemon ends.
func (t turn) set(ctx context.Context, a Actuator, p plan.Plan) error {
	err := a.Set(ctx, p)
	if err != nil && !errors.Is(err, context.Canceled) {
		t.failed[a.Name] = fmt.Errorf("set %s: %w", a.Name, err)
		t.opts.Logger.ErrorContext(ctx, "actuator failed, retrying", "actuator", a.Name, "err", err, "retry", t.retry)
	}
	return err
}

// answered are the addresses that may be announced although an actuator has failed.
func answered(vips, announced []plan.VIP, err error) []plan.VIP {
	var some *plan.UnservedError
	if !errors.As(err, &some) {
		return keep(vips, announced)
	}
	return slices.DeleteFunc(slices.Clone(vips), func(v plan.VIP) bool { return slices.Contains(some.Addrs, v.Addr) })
}

// keep returns those that are in both lists, in the first one's order.
func keep(vips, in []plan.VIP) []plan.VIP {
	return slices.DeleteFunc(slices.Clone(vips), func(v plan.VIP) bool { return !slices.Contains(in, v) })
}

func earliest(a, b time.Time) time.Time {
	if b.IsZero() || a.Before(b) {
		return a
	}
	return b
}
