// Package health checks real servers: one engine for layer 4 and layer 7, so that
// two services cannot disagree about one server (design decision 4).
//
// A check sends what the configuration says and judges status and body. Its
// [lb.Verdict] says what was sent, what came back, which assertion failed, how long
// each part took and which certificate was shown. Certificates are recorded, not
// verified: VOS ships its own. Every check uses a connection of its own.
//
// The engine is a source of facts: [Engine.Set] tells it what to check,
// [Engine.Up] and [Engine.Snapshot] what it found, [Engine.Changes] when to look.
package health

import (
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
)

// historyLen bounds the verdicts kept per server.
const historyLen = 20

// defaultConcurrency bounds checks in flight. It is generous, as servers that hang
// must not delay the checks of those that do not.
const defaultConcurrency = 512

// Options are the engine's seams. The zero value works.
type Options struct {
	Logger *slog.Logger // nil = discard
	// Dial opens TCP connections; nil = a plain net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// DialVIA opens a TCP connection to vip:port on the server rip, whoever else has
	// the VIP. nil = checks through the VIP are not made.
	DialVIA func(ctx context.Context, vip, rip netip.Addr, port uint16) (net.Conn, error)
	// Ping sends one ICMP echo and returns when its reply has come; nil = a raw
	// socket.
	Ping func(ctx context.Context, addr netip.Addr) error
	// Blind tells since when this node cannot see the service network at all (its
	// ping nodes are silent), if so; nil = it always can. Failures of a blind node
	// say nothing about servers and do not count, unless some server has answered
	// meanwhile: then only the ping nodes are gone.
	Blind func() (since time.Time, blind bool)
	// Concurrency bounds the checks in flight; 0 = 512.
	Concurrency int
}

// Engine runs checks. Make one with New.
type Engine struct {
	log     *slog.Logger
	check   func(context.Context, plan.Probe) finding
	slots   chan struct{}
	wake    chan struct{}
	changes chan struct{}

	seesNot func() (since time.Time, blind bool)

	mu      sync.Mutex
	watches map[lb.RealID]*watch
	lastOK  time.Time // of any server
}

// watch is one probe with its state. The probe never changes; a changed probe is
// another watch.
type watch struct {
	probe  plan.Probe
	state  rise
	health lb.Health
}

// New returns an engine that checks nothing yet.
func New(o Options) *Engine {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Concurrency <= 0 {
		o.Concurrency = defaultConcurrency
	}
	return &Engine{
		log:     o.Logger,
		check:   newProber(o).check,
		slots:   make(chan struct{}, o.Concurrency),
		wake:    make(chan struct{}, 1),
		changes: make(chan struct{}, 1),
		watches: make(map[lb.RealID]*watch),
		seesNot: o.Blind,
	}
}

// Set replaces what is checked; it may be called before, during and after Run. A
// probe that is equal to the present one keeps state, history and schedule. One
// that was changed but has the same target keeps its state and is checked at once,
// so that editing a check takes no healthy server out. The error is always nil.
func (e *Engine) Set(_ context.Context, probes []plan.Probe) error {
	e.mu.Lock()
	next := make(map[lb.RealID]*watch, len(probes))
	changed := false
	for _, p := range probes {
		old := e.watches[p.ID]
		if old != nil && reflect.DeepEqual(old.probe, p) {
			next[p.ID] = old
			continue
		}
		next[p.ID] = newWatch(p, old)
		changed = true
	}
	changed = changed || len(next) != len(e.watches)
	e.watches = next
	e.mu.Unlock()
	if changed {
		poke(e.wake)
		poke(e.changes)
	}
	return nil
}

// newWatch carries over what an earlier probe of the same target found.
func newWatch(p plan.Probe, old *watch) *watch {
	w := &watch{probe: p}
	w.health = lb.Health{Since: time.Now(), Last: lb.Verdict{Failed: "not checked yet", Target: p.Check.Target(p.Target)}}
	if old != nil && old.probe.Target == p.Target {
		w.state, w.health = old.state, old.health
		w.state.streak = 0
	}
	if fixed, up := fixedState(p.Check.Kind); fixed {
		w.setFixed(up)
	}
	return w
}

// fixedState reports whether a kind of check never checks, and what it says then.
func fixedState(k lb.CheckKind) (fixed, up bool) {
	return k == lb.CheckOn || k == lb.CheckOff, k == lb.CheckOn
}

func (w *watch) setFixed(up bool) {
	if w.state.up != up {
		w.health.Since = time.Now()
	}
	w.state = rise{up: up, seen: w.state.seen || up}
	w.health.Up = up
	w.health.Last = lb.Verdict{At: time.Now(), OK: up}
	if !up {
		w.health.Last.Failed = "the check is off, so the server counts as down"
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Changes receives a value after a server went up or down, was checked for the first
// time, began or ceased to fail, or Set changed something. That the reason of a failure
// changed is in Snapshot alone: a server that says something else each time would set
// everything in motion each time. It has capacity 1: look at everything.
func (e *Engine) Changes() <-chan struct{} { return e.changes }

// Up returns the state of every server that is checked.
func (e *Engine) Up() map[lb.RealID]bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	up := make(map[lb.RealID]bool, len(e.watches))
	for id, w := range e.watches {
		up[id] = w.health.Up
	}
	return up
}

// Snapshot returns what is known of every server that is checked. The caller must
// not write to the histories.
func (e *Engine) Snapshot() map[lb.RealID]lb.Health {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make(map[lb.RealID]lb.Health, len(e.watches))
	for id, w := range e.watches {
		all[id] = w.health
	}
	return all
}

// Run checks until ctx ends; cancellation is not an error. All its goroutines have
// ended when it returns.
func (e *Engine) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	running := make(map[*watch]context.CancelFunc)
	defer func() {
		for _, stop := range running {
			stop()
		}
	}()
	for {
		e.adjust(ctx, &wg, running)
		select {
		case <-ctx.Done():
			return nil
		case <-e.wake:
		}
	}
}

// adjust stops the watches that are gone and starts those that are new.
func (e *Engine) adjust(ctx context.Context, wg *sync.WaitGroup, running map[*watch]context.CancelFunc) {
	e.mu.Lock()
	wanted := make(map[*watch]bool, len(e.watches))
	for w := range maps.Values(e.watches) {
		if fixed, _ := fixedState(w.probe.Check.Kind); !fixed {
			wanted[w] = true
		}
	}
	e.mu.Unlock()
	for w, stop := range running {
		if !wanted[w] {
			stop()
			delete(running, w)
		}
	}
	for w := range wanted {
		if running[w] != nil {
			continue
		}
		watchCtx, stop := context.WithCancel(ctx)
		running[w] = stop
		wg.Go(func() { e.follow(watchCtx, w) })
	}
}

// follow checks one server again and again.
func (e *Engine) follow(ctx context.Context, w *watch) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		select {
		case <-ctx.Done():
			return
		case e.slots <- struct{}{}:
		}
		start := time.Now()
		found := e.check(ctx, w.probe)
		<-e.slots
		if ctx.Err() != nil {
			return // the verdict is of our leaving, not of the server
		}
		period := e.record(w, found)
		timer.Reset(max(0, time.Until(start.Add(jittered(period, w.probe.Check.Jitter)))))
	}
}

// jittered moves d by a random part of at most fraction, either way.
func jittered(d time.Duration, fraction float64) time.Duration {
	return d + time.Duration((2*rand.Float64()-1)*fraction*float64(d))
}

// record takes what a check found and returns the period until the next one.
func (e *Engine) record(w *watch, f finding) time.Duration {
	e.mu.Lock()
	c := w.probe.Check
	before := w.health
	if f.OK {
		e.lastOK = f.At
	}
	flipped := e.counts(f) && w.state.observe(f.OK, c.Fall, c.Rise)
	if flipped {
		w.health.Up, w.health.Since = w.state.up, time.Now()
	}
	w.health.Last = f.Verdict
	if f.short && before.Last.At.IsZero() {
		w.health.Last.At = time.Time{} // nothing was learnt: the server is still not checked
	}
	w.health.History = appendVerdict(before.History, f.Verdict)
	edge := flipped || f.OK != before.Last.OK || w.health.Last.At.IsZero() != before.Last.At.IsZero()
	period := c.Interval
	if w.state.changing() && c.Fast > 0 {
		period = c.Fast
	}
	current := e.watches[w.probe.ID] == w
	e.mu.Unlock()
	if !current {
		return period
	}
	if flipped {
		e.announce(w.probe, f.Verdict)
	}
	if edge {
		poke(e.changes)
	}
	return period
}

// counts reports whether a finding says something about the server. It is called with
// the lock held.
func (e *Engine) counts(f finding) bool { return f.OK || !f.short && !e.blind() }

// blind reports whether a failure says nothing about the server. It is called with
// the lock held.
func (e *Engine) blind() bool {
	if e.seesNot == nil {
		return false
	}
	since, blind := e.seesNot()
	return blind && !e.lastOK.After(since)
}

// appendVerdict returns a new slice, as the old one may be in a snapshot.
func appendVerdict(history []lb.Verdict, v lb.Verdict) []lb.Verdict {
	keep := history[max(0, len(history)-historyLen+1):]
	return append(slices.Clip(slices.Clone(keep)), v)
}

func (e *Engine) announce(p plan.Probe, v lb.Verdict) {
	if v.OK {
		e.log.Info("real server up", "service", p.ID.Service, "real", p.ID.Real, "target", v.Target, "total", v.Total)
		return
	}
	e.log.Warn("real server down", "service", p.ID.Service, "real", p.ID.Real, "target", v.Target, "failed", v.Failed)
}
