package step

import (
	"context"
	"fmt"

	"github.com/vosbed/vosbed/harness/lab"
	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/harness/scenario"
)

func (r *Runner) fault(ctx context.Context, st scenario.Step, _ int) error {
	f := *st.Fault
	node, role, err := r.resolve(ctx, f.Target)
	if err != nil {
		return err
	}
	in, err := r.Lab.Inject(ctx, f, node)
	if err != nil {
		return err
	}
	in.Role = role
	r.Lab.RecordAt(in.At, observe.KindFault, node, f.Label(), r.describe(in))
	return nil
}

// describe names the fault by its label, which keeps apart, say, the kill of a
// server and that of an appliance.
func (r *Runner) describe(in *lab.Injected) observe.Fault {
	return observe.Fault{Kind: in.Fault.Label(), Target: in.Node, Role: in.Role, Server: r.serverID(in.Node)}
}

func (r *Runner) heal(ctx context.Context, st scenario.Step, _ int) error {
	in := r.Lab.Fault(st.Heal)
	if in == nil {
		return fmt.Errorf("fault %q has not happened", st.Heal)
	}
	return r.healOne(ctx, in)
}

func (r *Runner) healOne(ctx context.Context, in *lab.Injected) error {
	r.Lab.Record(observe.KindHeal, in.Node, in.Fault.Label(), r.describe(in))
	return r.Lab.Heal(ctx, in)
}

// HealAll undoes every fault that is still in force.
func (r *Runner) HealAll(ctx context.Context) error {
	for _, in := range r.Lab.Open() {
		if err := r.healOne(ctx, in); err != nil {
			return err
		}
	}
	return nil
}
