package step

import (
	"context"
	"fmt"
	"time"

	"github.com/vosbed/vosbed/harness/lab"
	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/harness/scenario"
	"github.com/vosbed/vosbed/harness/topo"
)

func (r *Runner) wait(ctx context.Context, st scenario.Step, _ int) error {
	return sleep(ctx, st.Wait)
}

// until waits for a condition on the appliances' status. Only readings asked for
// after the step began count.
func (r *Runner) until(ctx context.Context, st scenario.Step, _ int) error {
	u := st.Until
	x, err := scenario.ParseExpr(u.Expr)
	if err != nil {
		return err
	}
	node := u.Node
	if node != "" && node != "all" {
		if node, _, err = r.resolve(ctx, node); err != nil {
			return err
		}
	}
	begin := r.Lab.Now()
	ctx, cancel := context.WithTimeout(ctx, u.Within)
	defer cancel()
	for {
		latest, news := r.Poller.Latest()
		ok, why := r.holds(x, node, begin, latest)
		if ok {
			r.took(*u, r.Lab.Now()-begin)
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return fmt.Errorf("did not come true within %s (%s)", u.Within, why)
		}
	}
}

func (r *Runner) took(u scenario.Until, d time.Duration) {
	if u.Metric != "" {
		r.Lab.Record(observe.KindSample, "", "", observe.Sample{Metric: u.Metric, Labels: u.Labels, Value: float64(d) / 1e6, Unit: "ms"})
	}
}

// holds checks the expression on one node, on any (""), or on "all".
func (r *Runner) holds(x *scenario.Expr, node string, since time.Duration, latest map[string]lab.Seen) (ok bool, why string) {
	why = "no appliance answered"
	good := 0
	for name, s := range latest {
		if s.At < since || (node != "" && node != "all" && node != name) {
			continue
		}
		ok, err := x.Holds(s.Status)
		switch {
		case err != nil:
			why = err.Error()
		case !ok:
			why = fmt.Sprintf("%s answers, role %v, reason %q", name, s.Status["role"], reason(s.Status))
		case node != "all":
			return true, ""
		default:
			good++
		}
	}
	return node == "all" && good == len(r.Lab.Plan().OfKind(topo.KindAppliance)), why
}

func reason(status map[string]any) any {
	pair, _ := status["pair"].(map[string]any)
	return pair["reason"]
}
