// Package step does what a scenario says: one function per kind of step. Steps
// act on the lab and record what they did; they judge nothing.
package step

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vosbed/vosbed/harness/lab"
	"github.com/vosbed/vosbed/harness/lab/watch"
	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/harness/scenario"
	"github.com/vosbed/vosbed/harness/topo"
	"github.com/vosbed/vosbed/harness/traffic"
)

// MetricFailed is a Sample per run of 0, or 1 for each step that failed.
const MetricFailed = "failed_steps"

// Progress is told what happens, as it happens.
type Progress interface {
	// Begin announces a step in words at a time of the run; depth 1 is inside a
	// trials step.
	Begin(at time.Duration, depth int, what string)
	// Note adds a remark, such as the outcome of a trial.
	Note(at time.Duration, text string)
}

// Runner runs steps in a lab.
type Runner struct {
	Lab      *lab.Lab
	Poller   *lab.Poller
	Watch    *watch.Watch // nil = not watching
	Scenario *scenario.Scenario
	Rand     *rand.Rand
	Progress Progress
	plays    atomic.Int64 // players run so far
	shots    atomic.Int64 // pictures taken so far

	// mu guards what follows and Rand: steps may run in parallel.
	mu     sync.Mutex
	skip   map[string]int     // first client address of each load
	last   map[string]float64 // values of sample steps with delta
	admins map[string]string  // faults of admin steps in force, by real server
}

// kind runs one step.
type kind func(*Runner, context.Context, scenario.Step, int) error

// kinds is the table of steps, by key.
func kinds() map[string]kind {
	return map[string]kind{
		"start":       (*Runner).start,
		"stop":        (*Runner).stop,
		"run":         (*Runner).run,
		"wait":        (*Runner).wait,
		"until":       (*Runner).until,
		"fault":       (*Runner).fault,
		"heal":        (*Runner).heal,
		"admin":       (*Runner).admin,
		"pair":        (*Runner).pair,
		"restart":     (*Runner).restart,
		"kill-daemon": (*Runner).killDaemon,
		"persistence": (*Runner).persistence,
		"trials":      (*Runner).trials,
		"interleave":  (*Runner).interleave,
		"sample":      (*Runner).sample,
		"ledger":      (*Runner).ledger,
		"arp":         (*Runner).arp,
		"forget":      (*Runner).forget,
		"carried":     (*Runner).carried,
		"parallel":    (*Runner).parallel,
		"play":        (*Runner).play,
		"browser":     (*Runner).browser,
		"password":    (*Runner).password,
	}
}

// Kinds returns the keys of all steps, sorted.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds())) }

// Run does the steps in order and stops at the first that fails.
func (r *Runner) Run(ctx context.Context, steps []scenario.Step, depth int) error {
	for _, st := range steps {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := r.one(ctx, st, depth); err != nil {
			return err
		}
	}
	return nil
}

func (r *Runner) one(ctx context.Context, st scenario.Step, depth int) error {
	name, what := st.Name, Words(st)
	if name == "" {
		name = st.Kind()
	}
	r.Progress.Begin(r.Lab.Now(), depth, what)
	r.Lab.Record(observe.KindStep, "", name, observe.Span{What: what})
	err := kinds()[st.Kind()](r, ctx, st, depth)
	span := observe.Span{What: what, End: true}
	if err != nil {
		span.Err = err.Error()
	}
	r.Lab.Record(observe.KindStep, "", name, span)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// resolve turns a selector into a node. The role is what it was chosen by.
func (r *Runner) resolve(ctx context.Context, sel string) (node, role string, err error) {
	head, tail, _ := strings.Cut(strings.TrimSuffix(sel, ")"), "(")
	switch {
	case tail == "":
		return sel, "", nil
	case head == "role":
		node, err = r.byRole(ctx, tail)
		return node, tail, err
	}
	f := r.Lab.Fault(tail)
	if f == nil {
		return "", "", fmt.Errorf("fault %q has not happened", tail)
	}
	if head == "target" {
		return f.Node, "", nil
	}
	for _, m := range r.Lab.Plan().OfKind(topo.KindAppliance) {
		if m.Name != f.Node {
			return m.Name, "", nil
		}
	}
	return "", "", fmt.Errorf("%s has no peer", f.Node)
}

// roleTime bounds the wait for exactly one node in a role.
const roleTime = 30 * time.Second

func (r *Runner) byRole(ctx context.Context, role string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, roleTime)
	defer cancel()
	for {
		latest, news := r.Poller.Latest()
		var found []string
		for name, s := range latest {
			if has := s.Status["role"]; has == role || role == "active" && has == "standalone" {
				found = append(found, name)
			}
		}
		if len(found) == 1 {
			return found[0], nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			slices.Sort(found)
			return "", fmt.Errorf("there is not exactly one %s appliance, but %v", role, found)
		}
	}
}

// load returns a load's spec, ready to run.
func (r *Runner) load(name string, labels map[string]string) (traffic.Spec, error) {
	s := r.Scenario.Loads[name]
	s.Name = name
	s.Labels = maps.Clone(s.Labels)
	for k, v := range labels {
		if s.Labels == nil {
			s.Labels = map[string]string{}
		}
		s.Labels[k] = v
	}
	return r.Lab.Prepare(s, r.clientsBefore(name))
}

// clientsBefore is how many client addresses of its node a load leaves to others.
func (r *Runner) clientsBefore(load string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.skip == nil {
		r.skip = map[string]int{}
		next := map[string]int{}
		for _, n := range slices.Sorted(maps.Keys(r.Scenario.Loads)) {
			l := r.Scenario.Loads[n]
			r.skip[n] = next[l.From]
			next[l.From] += l.Clients
		}
	}
	return r.skip[load]
}

// serverID is the marker id of a simulated server, 0 for other nodes.
func (r *Runner) serverID(node string) uint16 {
	if m := r.Lab.Plan().Node(node); m != nil && m.Kind == topo.KindSimVOS {
		return uint16(m.ID)
	}
	return 0
}
