package appliance

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/internal/draft"
	"github.com/vosbed/vosbed/appliance/internal/events"
	"github.com/vosbed/vosbed/appliance/internal/feed"
	"github.com/vosbed/vosbed/appliance/internal/health"
	"github.com/vosbed/vosbed/appliance/internal/links"
	"github.com/vosbed/vosbed/appliance/internal/logbook"
	"github.com/vosbed/vosbed/appliance/internal/override"
	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/internal/proxy"
	"github.com/vosbed/vosbed/appliance/internal/rates"
	"github.com/vosbed/vosbed/appliance/internal/reconcile"
	"github.com/vosbed/vosbed/appliance/internal/stats"
	"github.com/vosbed/vosbed/appliance/internal/stick"
	"github.com/vosbed/vosbed/appliance/internal/system"
	"github.com/vosbed/vosbed/appliance/lb"
)

// Appliance is one load balancer. New builds it, Run runs it once.
type Appliance struct {
	opts     Options
	log      *slog.Logger
	settings *settings
	facts    *facts
	engine   engine
	table    *stick.Table
	proxy    *proxy.Proxy
	health   *health.Engine
	blind    *blindness
	pair     *pair
	loop     *reconcile.Loop
	draft    *draft.Store
	pairing  *pairing
	shared   *shared
	farewell *farewell
	stats    *stats.Ring
	system   *system.Actuator
	book     *logbook.Book
	access   *access
	events   *feed.Feed[events.Event]
	rates    *rates.Tracker

	ready   chan struct{}
	applied atomic.Pointer[applied]
	status  atomic.Pointer[lb.Status]
	changed chan struct{} // capacity 1: publish the status again
}

// applied is the outcome of the latest pass of the loop.
type applied struct {
	plan   plan.Plan
	failed map[string]error
}

// New builds an appliance and starts nothing. An error is a [*ConfigError] where the
// configuration is to blame. What it acquired is released when it
// fails.
func New(opts Options) (*Appliance, error) {
	opts = opts.withDefaults()
	if err := opts.prepare(); err != nil {
		return nil, err
	}
	book := logbook.New(opts.Logger.Handler())
	opts.Logger = slog.New(book)
	settings, cfg, err := openSettings(opts)
	if err != nil {
		return nil, err
	}
	overrides, err := override.Open(filepath.Join(opts.StateDir, "overrides.json"), cfg.Node.Name)
	if err != nil {
		return nil, err
	}
	sources := &facts{overrides: overrides}
	sources.setConfig(cfg, config.Revision(cfg))
	eng, err := openEngine(opts, sources.peers)
	if err != nil {
		return nil, err
	}
	blind := &blindness{}
	a := &Appliance{
		opts: opts, log: opts.Logger, book: book, settings: settings, engine: eng, table: stick.New(stick.Options{}), blind: blind,
		health: health.New(health.Options{Logger: opts.Logger, Blind: blind.now, DialVIA: eng.dialVIA}),
		events: newEvents(), rates: rates.New(rateEvery, ratesKept),
		ready: make(chan struct{}), changed: make(chan struct{}, 1),
	}
	a.proxy = proxy.New(proxy.Options{Logger: opts.Logger, Table: a.table})
	sources.health, a.facts = a.health.Snapshot, sources
	if err = a.openOffice(); err != nil {
		return nil, errors.Join(err, a.engine.Close(), a.proxy.Close())
	}
	cfg = a.dismissedBefore(cfg)
	sources.setConfig(cfg, config.Revision(cfg))
	if a.pair, err = newPair(a, cfg); err != nil {
		return nil, errors.Join(&ConfigError{err}, a.engine.Close(), a.proxy.Close())
	}
	a.loop = a.newLoop(cfg)
	return a, nil
}

// newLoop lists the actuators: what serves comes before what announces it.
func (a *Appliance) newLoop(cfg lb.Config) *reconcile.Loop {
	beat := 100 * time.Millisecond
	if cfg.Cluster.Paired {
		beat = min(beat, cfg.Cluster.Timers.Heartbeat)
	}
	return reconcile.New(reconcile.Options{
		Inputs: a.facts.inputs,
		Actuators: []reconcile.Actuator{
			{Name: "local configuration", Set: func(_ context.Context, p plan.Plan) error { a.setSystem(p.System); return nil }},
			{Name: "data plane", Set: func(ctx context.Context, p plan.Plan) error { return a.engine.Set(ctx, p.L4) }},
			{Name: "proxy", Set: func(ctx context.Context, p plan.Plan) error { return a.proxy.Set(ctx, p.L7) }},
			{Name: "health checks", Set: func(ctx context.Context, p plan.Plan) error { return a.health.Set(ctx, p.Probes) }},
			{Name: "virtual addresses", Set: func(ctx context.Context, p plan.Plan) error { return a.pair.set(ctx, p.VIPs) }},
		},
		Applied: a.onApplied,
		Alive:   a.pair.alive,
		Beat:    beat,
		Logger:  a.log,
	})
}

func (a *Appliance) onApplied(p plan.Plan, failed map[string]error) {
	first := a.applied.Swap(&applied{p, failed}) == nil
	if first {
		close(a.ready)
	}
	a.publish()
}

// Ready is closed after the first pass: everything has been programmed once.
func (a *Appliance) Ready() <-chan struct{} { return a.ready }

// Status returns the latest picture.
func (a *Appliance) Status() lb.Status {
	if s := a.status.Load(); s != nil {
		return *s
	}
	return lb.Status{}
}

// Run runs the appliance until ctx ends; cancellation is not an error. The active
// node of a pair first gives the VIPs to its peer, if that is ready: everything goes
// on working until it has them. The kernel state of layer 4 stays: it outlives the
// daemon.
func (a *Appliance) Run(ctx context.Context) error {
	if err := a.look(); err != nil {
		return errors.Join(err, a.close())
	}
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	tasks, err := a.tasks(work)
	if err != nil {
		return errors.Join(err, a.close())
	}
	tasks = append(tasks, task{"orderly stop", func(work context.Context) error {
		defer stop()
		select {
		case <-ctx.Done():
			a.pair.handOver(work)
		case <-work.Done():
		}
		return nil
	}})
	return errors.Join(runTasks(work, tasks), a.close())
}

func (a *Appliance) close() error {
	return errors.Join(a.proxy.Close(), a.engine.Close())
}

// look reads the node's interfaces.
func (a *Appliance) look() error {
	found, err := links.List()
	if err != nil {
		return err
	}
	a.facts.setLinks(found)
	return nil
}

// watchLinks keeps the facts about interfaces fresh.
func (a *Appliance) watchLinks(ctx context.Context) error {
	return links.Watch(ctx, func() {
		if err := a.look(); err != nil {
			a.log.WarnContext(ctx, "interfaces not read, will look again", "err", err)
			return
		}
		a.loop.Dirty()
	})
}

// watchHealth turns edges of health checks into passes.
func (a *Appliance) watchHealth(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.health.Changes():
			a.loop.Dirty()
		}
	}
}
