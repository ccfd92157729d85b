package step

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vosbed/vosbed/harness/scenario"
)

// interleave runs loads in turn, so that whatever else the machine does falls on
// all alike. Each turn has another order: A B, B A, ... or A B C, B C A, ...
func (r *Runner) interleave(ctx context.Context, st scenario.Step, _ int) error {
	in := st.Interleave
	loads := in.Loads()
	for i := range in.Pairs {
		first := i % len(loads)
		order := slices.Concat(loads[first:], loads[:first])
		labels := map[string]string{"pair": strconv.Itoa(i + 1)}
		for _, name := range order {
			if err := r.foreground(ctx, name, labels); err != nil {
				return err
			}
		}
		r.Progress.Note(r.Lab.Now(), fmt.Sprintf("turn %d of %d: %s", i+1, in.Pairs, r.turn(loads)))
	}
	return nil
}

// turn says what the loads measured last.
func (r *Runner) turn(loads []string) string {
	var parts []string
	for _, name := range loads {
		spec := r.Scenario.Loads[name]
		if v, ok := r.Lab.LastSample(name, spec.Metric); ok {
			parts = append(parts, fmt.Sprintf("%s %.0f", name, v))
		}
	}
	return strings.Join(parts, ", ")
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
