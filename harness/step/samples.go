package step

import (
	"context"
	"fmt"
	"strconv"

	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/harness/scenario"
	"github.com/vosbed/vosbed/harness/topo"
)

// sample records the value of an expression over an appliance's present status.
func (r *Runner) sample(ctx context.Context, st scenario.Step, _ int) error {
	s := *st.Sample
	if s.Node == "" {
		s.Node = "role(active)"
	}
	rem, node, err := r.remote(ctx, s.Node)
	if err != nil {
		return err
	}
	x, err := scenario.ParseExpr(s.Expr)
	if err != nil {
		return err
	}
	raw, err := rem.Status(ctx)
	if err != nil {
		return err
	}
	m, err := scenario.StatusMap(raw)
	if err != nil {
		return err
	}
	entries, err := rem.Persistence(ctx)
	if err != nil {
		return err
	}
	m["persistence"] = entries
	m["delivered"] = r.Lab.Delivered()
	v, err := x.Number(m)
	if err != nil {
		return err
	}
	r.Lab.Record(observe.KindStatus, node, "", raw)
	r.record(node, observe.Sample{Metric: s.Metric, Labels: s.Labels, Value: v, Unit: s.Unit}, s.Delta)
	return nil
}

// record records a sample, or its difference from the one before at that node: then
// the first of a metric only sets the beginning.
func (r *Runner) record(node string, s observe.Sample, delta bool) {
	if delta {
		before, known := r.remember(node+" "+s.Metric, s.Value)
		if !known {
			return
		}
		s.Value -= before
	}
	r.Lab.Record(observe.KindSample, node, "", s)
}

// remember keeps a value and returns the one before.
func (r *Runner) remember(key string, v float64) (before float64, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.last = map[string]float64{}
	}
	before, known = r.last[key]
	r.last[key] = v
	return before, known
}

// carried records the share of probe packets that reached real servers past the
// appliances since the last step of this kind, from 0 to 1, by family. A family
// without any has no sample: an expectation on it is broken, not passed.
func (r *Runner) carried(_ context.Context, st scenario.Step, _ int) error {
	past, all := map[int]uint64{}, map[int]uint64{}
	for c, n := range r.Watch.Carried() {
		all[c.Family] += n
		if m := r.Lab.Plan().Node(c.Node); m == nil || m.Kind != topo.KindAppliance {
			past[c.Family] += n
		}
	}
	for family, n := range all {
		r.Lab.Record(observe.KindSample, "", "", observe.Sample{
			Metric: st.Carried, Labels: map[string]string{"family": strconv.Itoa(family)}, Value: float64(past[family]) / float64(n),
		})
	}
	return nil
}

// ledger records the value of an expression over what a simulated server saw.
func (r *Runner) ledger(ctx context.Context, st scenario.Step, _ int) error {
	l := *st.Ledger
	status, err := r.Lab.Ledger(ctx, l.Node)
	if err != nil {
		return err
	}
	m, err := scenario.StatusMap(status)
	if err != nil {
		return err
	}
	x, err := scenario.ParseFreeExpr(l.Expr)
	if err != nil {
		return err
	}
	v, err := x.Number(map[string]any{"self": m})
	if err != nil {
		return fmt.Errorf("ledger of %s: %w", l.Node, err)
	}
	r.record(l.Node, observe.Sample{Metric: l.Metric, Labels: l.Labels, Value: v, Unit: l.Unit}, l.Delta)
	return nil
}
