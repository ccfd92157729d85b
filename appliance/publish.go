package appliance

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/status"
	"github.com/vosbed/vosbed/appliance/lb"
)

// refresh is how often counters are read for Status.
const refresh = 200 * time.Millisecond

// publish asks for a new picture; it never blocks.
func (a *Appliance) publish() {
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

// publishLoop builds a picture on every change and every refresh.
func (a *Appliance) publishLoop(ctx context.Context) error {
	tick := time.NewTicker(refresh)
	defer tick.Stop()
	for {
		a.build(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-a.changed:
		case <-tick.C:
		}
	}
}

func (a *Appliance) build(ctx context.Context) {
	done := a.applied.Load()
	if done == nil {
		return
	}
	cfg, revision := a.facts.current()
	f := status.Facts{
		Config: cfg, Revision: revision, Plan: done.plan, Failed: done.failed,
		Health: a.health.Snapshot(), Overrides: a.facts.overrides.All(),
		Pair: a.pair.shown(), Counters: map[string]lb.ServiceCounters{}, Notes: a.notes(),
		At: time.Now(), CertificateEnd: a.access.end(),
	}
	a.readEngine(ctx, &f)
	a.readProxy(&f)
	before := a.status.Load()
	f.Pending = a.pending(before)
	s := status.Build(f)
	a.status.Store(&s)
	a.tell(before, s)
}

// notes are the problems of the parts that no fact tells of.
func (a *Appliance) notes() []string {
	cfg, _ := a.facts.current()
	return slices.Concat(a.settings.problems(), a.shared.problems(), a.systemProblems(), a.farewell.problems(cfg), a.access.problems())
}

// readProxy adds what layer 7 knows.
func (a *Appliance) readProxy(f *status.Facts) {
	counters, table := a.proxy.Counters(), a.table.Stats()
	maps.Copy(f.Counters, counters.Services)
	f.Proxy = lb.ProxyStatus{
		Sessions: counters.Sessions, Capacity: counters.Capacity, Refused: counters.Refused,
		Entries: table.Entries, EntryCapacity: table.Capacity, Evicted: table.Evicted,
	}
}

// readEngine adds what layer 4 knows; a failing reading leaves the counts empty.
func (a *Appliance) readEngine(ctx context.Context, f *status.Facts) {
	f.Dataplane.Engine, f.Dataplane.Why = a.engine.describe()
	counters, err := a.engine.Counters(ctx)
	if err != nil {
		a.log.WarnContext(ctx, "layer 4 counters not read", "err", err)
		return
	}
	f.Dataplane.Drops, f.MACs = counters.Drops, counters.MACs
	f.Dataplane.Flows, f.Dataplane.FlowCapacity = counters.Flows, counters.FlowCapacity
	f.Dataplane.Entries, f.Dataplane.EntryCapacity = counters.Entries, counters.EntryCapacity
	maps.Copy(f.Counters, counters.Services)
	if a.engine.conflicts == nil {
		return
	}
	found, err := a.engine.conflicts.Conflicts(ctx)
	if err != nil {
		a.log.WarnContext(ctx, "foreign claims to VIPs not read", "err", err)
		return
	}
	f.Conflicts = found
}
