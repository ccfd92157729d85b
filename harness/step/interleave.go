package step

import (
	"context"
	"fmt"
	"strconv"

	"github.com/vosbed/vosbed/harness/scenario"
)

// interleave runs two loads in turn, so that whatever else the machine does falls
// on both alike. The order alternates: A B, B A, A B, ...
func (r *Runner) interleave(ctx context.Context, st scenario.Step, _ int) error {
	in := st.Interleave
	for i := range in.Pairs {
		order := []string{in.A, in.B}
		if i%2 == 1 {
			order = []string{in.B, in.A}
		}
		labels := map[string]string{"pair": strconv.Itoa(i + 1)}
		for _, name := range order {
			if err := r.foreground(ctx, name, labels); err != nil {
				return err
			}
		}
		r.Progress.Note(r.Lab.Now(), fmt.Sprintf("pair %d of %d done", i+1, in.Pairs))
	}
	return nil
}

// parallel does steps at once and waits for all.
func (r *Runner) parallel(ctx context.Context, st scenario.Step, depth int) error {
	errs := make(chan error, len(st.Parallel))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, sub := range st.Parallel {
		go func() { errs <- r.one(ctx, sub, depth+1) }()
	}
	var first error
	for range st.Parallel {
		if err := <-errs; err != nil && first == nil {
			first = err
			cancel()
		}
	}
	return first
}
