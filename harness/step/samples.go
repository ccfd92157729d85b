package step

import (
	"context"
	"fmt"

	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/harness/scenario"
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
	v, err := x.Number(m)
	if err != nil {
		return err
	}
	r.Lab.Record(observe.KindStatus, node, "", raw)
	r.Lab.Record(observe.KindSample, node, "", observe.Sample{Metric: s.Metric, Labels: s.Labels, Value: v, Unit: s.Unit})
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
	r.Lab.Record(observe.KindSample, l.Node, "", observe.Sample{Metric: l.Metric, Labels: l.Labels, Value: v, Unit: l.Unit})
	return nil
}
