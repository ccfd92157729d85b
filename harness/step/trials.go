package step

import (
	"context"
	"fmt"
	"time"

	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/harness/scenario"
)

// trials repeats steps, each time at a random phase.
func (r *Runner) trials(ctx context.Context, st scenario.Step, depth int) error {
	t := st.Trials
	for i := range t.Count {
		r.Lab.SetTrial(i + 1)
		err := r.trial(ctx, t, i+1, depth)
		r.Lab.SetTrial(0)
		if err != nil {
			return fmt.Errorf("trial %d: %w", i+1, err)
		}
	}
	return nil
}

func (r *Runner) trial(ctx context.Context, t *scenario.Trials, n, depth int) error {
	phase := r.phase(t.Phase)
	if err := sleep(ctx, t.Settle+phase); err != nil {
		return err
	}
	r.Lab.Record(observe.KindEvent, "", "trial:"+t.Name, observe.Note{Text: fmt.Sprintf("trial %d of %d, phase %s", n, t.Count, phase)})
	begin := r.Lab.Now()
	if err := r.Run(ctx, t.Steps, depth+1); err != nil {
		return err
	}
	r.Progress.Note(r.Lab.Now(), fmt.Sprintf("%s trial %d of %d: %s", t.Name, n, t.Count, r.outcome(begin)))
	return nil
}

// phase draws a time below limit.
func (r *Runner) phase(limit time.Duration) time.Duration {
	if limit <= 0 {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Duration(r.Rand.Int64N(int64(limit)))
}

// outcome says what probes saw since begin, as far as it is known by now.
func (r *Runner) outcome(begin time.Duration) string {
	worst, n := r.Lab.WorstGap(begin)
	if n == 0 {
		return fmt.Sprintf("no outage, %.1f s", (r.Lab.Now() - begin).Seconds())
	}
	return fmt.Sprintf("outage %.0f ms, %.1f s", float64(worst)/1e6, (r.Lab.Now() - begin).Seconds())
}
