// Package reconcile is the one loop of the appliance: whenever an input changed it
// computes the whole plan and hands each actuator its part, in a fixed order. It is
// level-triggered and coalescing: ten changes at once cost one pass.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/plan"
)

// Actuator is one thing that can be set to a desired state. The order of the
// actuators given to New is the order in which they are set: what serves comes
// before what announces it.
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
	p := plan.Compute(l.opts.Inputs())
	failed := map[string]error{}
	for _, a := range l.opts.Actuators {
		err := a.Set(ctx, p)
		if err == nil || errors.Is(err, context.Canceled) {
			continue
		}
		failed[a.Name] = fmt.Errorf("set %s: %w", a.Name, err)
		l.opts.Logger.ErrorContext(ctx, "actuator failed, retrying", "actuator", a.Name, "err", err, "retry", retry)
	}
	if l.opts.Applied != nil {
		l.opts.Applied(p, failed)
	}
	if len(failed) > 0 {
		return earliest(l.now().Add(retry), p.Wake), min(2*retry, retryMost)
	}
	return p.Wake, retryFirst
}

func earliest(a, b time.Time) time.Time {
	if b.IsZero() || a.Before(b) {
		return a
	}
	return b
}
