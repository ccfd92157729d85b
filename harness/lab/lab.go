// Package lab builds a planned topology for real: one anonymous network namespace
// per node, virtual cables and switches between them, and the programs of the
// nodes as child processes. Nothing is named outside the process, so nothing is
// left when it dies; files live in the run directory only.
package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/harness/topo"
	"github.com/vosbed/vosbed/internal/netns"
)

// ErrCannot reports that this machine cannot build the lab: not root, or the
// kernel lacks a feature.
var ErrCannot = errors.New("the lab cannot be built here")

// Options say where a lab lives and what it runs.
type Options struct {
	Dir  string // run directory, exists
	Bin  string // folder of lbd and simvos
	Self string // the vosbed binary, for agents
	// Configs holds the configuration file of each appliance, written by name.
	Configs   map[string][]byte
	Dataplane string // engine asked of lbd, "" = auto
	// Image is the disk that appliances boot, "" = they are processes. Configs are
	// then the seeds of the machines.
	Image   string
	Secrets map[string]string
	Epoch   int64 // start of the run on CLOCK_MONOTONIC, ns
	History *observe.Writer
	Logger  *slog.Logger
}

// Lab is a topology that stands.
type Lab struct {
	plan   *topo.Plan
	opt    Options
	driver driver // of the appliances
	sw     *netns.NS
	nodes  map[string]*Node
	mu     sync.Mutex
	trial  int
	agents map[string]*Agent
	wires  map[string][]func() error
	faults map[string]*Injected
	mounts []string
	gaps   []observe.Gap
	values map[string]map[string]float64 // last value of samples, by load and metric
	bulk   map[string]float64            // bytes delivered, by load

	browserMu sync.Mutex // guards browsers, and is held while one opens
	browsers  map[string]*browsing
}

// WorstGap returns the longest hole of a probe that began after since or lasted
// beyond it, and how many there were.
func (l *Lab) WorstGap(since time.Duration) (worst time.Duration, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range l.gaps {
		if g.To > since {
			worst = max(worst, g.Outage)
			n++
		}
	}
	return worst, n
}

// Node is one machine of the lab.
type Node struct {
	*topo.Machine
	lab  *Lab
	ns   *netns.NS
	dir  string
	mu   sync.Mutex
	proc *Process
}

// Now is the time on the run's clock.
func (l *Lab) Now() time.Duration { return Monotonic() - time.Duration(l.opt.Epoch) }

// Monotonic reads CLOCK_MONOTONIC, which all processes of a run share.
func Monotonic() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // cannot fail for this clock
	return time.Duration(ts.Nano())
}

// Build makes the namespaces and links of plan. Close undoes it.
func Build(plan *topo.Plan, opt Options) (*Lab, error) {
	l := &Lab{
		plan: plan, opt: opt, nodes: map[string]*Node{}, agents: map[string]*Agent{},
		wires: map[string][]func() error{}, faults: map[string]*Injected{},
		values: map[string]map[string]float64{}, bulk: map[string]float64{},
		browsers: map[string]*browsing{}, driver: processes{},
	}
	if opt.Image != "" {
		l.driver = &machines{image: opt.Image, plan: plan, seeds: opt.Configs, tokens: map[string]api.Token{}}
	}
	if err := l.build(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Lab) build() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: not root: run as root, for example with sudo", ErrCannot)
	}
	sw, err := netns.New()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCannot, err)
	}
	l.sw = sw
	if err := switchSysctls(sw); err != nil {
		return err
	}
	if err := l.eachNode(l.addNode); err != nil {
		return err
	}
	return l.wire()
}

// builders is how many nodes are worked on at a time: making a namespace and
// writing its sysctls mostly waits for the kernel.
const builders = 4

// eachNode does work for every planned node, several at a time.
func (l *Lab) eachNode(work func(*topo.Machine) error) error {
	slots := make(chan struct{}, builders)
	errs := make([]error, len(l.plan.Nodes))
	var wg sync.WaitGroup
	for i, m := range l.plan.Nodes {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := work(m); err != nil {
				errs[i] = fmt.Errorf("node %s: %w", m.Name, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (l *Lab) addNode(m *topo.Machine) error {
	ns, err := netns.New()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCannot, err)
	}
	n := &Node{Machine: m, lab: l, ns: ns, dir: filepath.Join(l.opt.Dir, "nodes", m.Name)}
	l.mu.Lock()
	l.nodes[m.Name] = n
	l.mu.Unlock()
	if err := os.MkdirAll(n.dir, 0o755); err != nil {
		return fmt.Errorf("make the node's folder: %w", err)
	}
	return nodeSysctls(ns, m.Kind)
}

// Node returns the node of that name, or nil.
func (l *Lab) Node(name string) *Node { return l.nodes[name] }

// Plan returns the topology.
func (l *Lab) Plan() *topo.Plan { return l.plan }

// Path returns where a file of the run directory is.
func (l *Lab) Path(name string) string { return filepath.Join(l.opt.Dir, name) }

// NS returns the node's network namespace.
func (n *Node) NS() *netns.NS { return n.ns }

// Namespaces returns the descriptor of every node's namespace in this process,
// for `vosbed shell`.
func (l *Lab) Namespaces() map[string]int {
	out := map[string]int{"switch": l.sw.Fd()}
	for name, n := range l.nodes {
		out[name] = n.ns.Fd()
	}
	return out
}

// Start starts the programs of all nodes and waits until each is ready.
func (l *Lab) Start(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Join(l.opt.Dir, "logs"), 0o755); err != nil {
		return fmt.Errorf("make the log folder: %w", err)
	}
	var wg sync.WaitGroup
	errs := make([]error, len(l.plan.Nodes))
	for i, m := range l.plan.Nodes {
		wg.Go(func() {
			if err := l.StartNode(ctx, m.Name); err != nil {
				errs[i] = fmt.Errorf("start %s: %w", m.Name, err)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return l.driver.join(ctx, l)
}

// StartNode starts the program of one node, if its kind has one.
func (l *Lab) StartNode(ctx context.Context, name string) error {
	n := l.nodes[name]
	switch n.Kind {
	case topo.KindSimVOS:
		return l.startSimVOS(ctx, n)
	case topo.KindAppliance:
		return l.driver.start(ctx, l, n)
	case topo.KindHAProxy:
		return l.startHAProxy(ctx, n)
	}
	return nil
}

// SetTrial tags the records that follow with the number of a trial, 0 = none.
func (l *Lab) SetTrial(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trial = n
}

// Record appends a record of value v, now.
func (l *Lab) Record(kind observe.Kind, node, name string, v any) {
	l.RecordAt(l.Now(), kind, node, name, v)
}

// RecordAt appends a record of value v at a time of the run.
func (l *Lab) RecordAt(t time.Duration, kind observe.Kind, node, name string, v any) {
	r, err := observe.New(t, kind, name, v)
	if err != nil {
		l.opt.Logger.Error("record is lost", "kind", string(kind), "err", err)
		return
	}
	r.Node = node
	l.append(r)
}

func (l *Lab) append(r observe.Record) {
	l.mu.Lock()
	if r.Trial == 0 {
		r.Trial = l.trial
	}
	if r.Kind == observe.KindGap {
		if g, err := observe.Decode[observe.Gap](r); err == nil {
			l.gaps = append(l.gaps, g)
		}
	}
	if r.Kind == observe.KindSample {
		l.sampled(r)
	}
	l.mu.Unlock()
	if err := l.opt.History.Append(r); err != nil && !errors.Is(err, observe.ErrFull) {
		l.opt.Logger.Error("history is not written", "err", err)
	}
}

// sampled keeps what loads measured; l.mu is held.
func (l *Lab) sampled(r observe.Record) {
	s, err := observe.Decode[observe.Sample](r)
	if err != nil || r.Name == "" {
		return
	}
	if l.values[r.Name] == nil {
		l.values[r.Name] = map[string]float64{}
	}
	l.values[r.Name][s.Metric] = s.Value
	if s.Metric == "bulk_bytes" {
		l.bulk[r.Name] += s.Value
	}
}

// LastSample returns the last value of a load's metric.
func (l *Lab) LastSample(load, metric string) (float64, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v, ok := l.values[load][metric]
	return v, ok
}

// Delivered returns the bytes that each bulk load has delivered in all its runs.
func (l *Lab) Delivered() map[string]any {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]any{}
	for load, n := range l.bulk {
		out[load] = n
	}
	return out
}

// Close stops every process and takes everything down. It is safe to call twice.
func (l *Lab) Close() error {
	errs := []error{l.closeBrowsers()}
	for name := range l.agents {
		l.agents[name].Kill()
	}
	for _, n := range l.nodes {
		n.killAll(unix.SIGKILL)
		n.mu.Lock()
		if n.proc != nil {
			<-n.proc.done
		}
		n.mu.Unlock()
	}
	for _, undo := range l.wires {
		for _, u := range undo {
			errs = append(errs, u())
		}
	}
	l.wires = nil
	for _, m := range l.mounts {
		errs = append(errs, unix.Unmount(m, unix.MNT_DETACH))
	}
	l.mounts = nil
	for _, n := range l.nodes {
		_ = n.ns.Close()
	}
	l.nodes = nil
	if l.sw != nil {
		_ = l.sw.Close()
		l.sw = nil
	}
	return errors.Join(errs...)
}
