package step

import (
	"context"
	"fmt"

	"github.com/vosbed/vosbed/harness/scenario"
)

// start starts loads in the background.
func (r *Runner) start(_ context.Context, st scenario.Step, _ int) error {
	for _, name := range st.Start {
		spec, err := r.load(name, nil)
		if err != nil {
			return err
		}
		if _, err := r.Lab.StartLoad(spec); err != nil {
			return err
		}
	}
	return nil
}

// stop ends background loads and waits for their last records.
func (r *Runner) stop(ctx context.Context, st scenario.Step, _ int) error {
	for _, name := range st.Stop {
		a := r.Lab.Load(name)
		if a == nil {
			return fmt.Errorf("load %s does not run", name)
		}
		if err := a.Stop(ctx); err != nil {
			return err
		}
	}
	return nil
}

// run runs a load until it is done.
func (r *Runner) run(ctx context.Context, st scenario.Step, _ int) error {
	return r.foreground(ctx, st.Run, nil)
}

func (r *Runner) foreground(ctx context.Context, name string, labels map[string]string) error {
	spec, err := r.load(name, labels)
	if err != nil {
		return err
	}
	a, err := r.Lab.StartLoad(spec)
	if err != nil {
		return err
	}
	return a.Wait(ctx)
}
