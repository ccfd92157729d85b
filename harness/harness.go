// Package harness runs scenarios: it builds the lab, does the steps, keeps the
// history, and has it judged and reported. It is the only package that knows all
// the others of the testbed, and it knows the product only as programs.
package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/harness/lab"
	"github.com/vosbed/vosbed/harness/lab/capture"
	"github.com/vosbed/vosbed/harness/lab/watch"
	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/harness/scenario"
	"github.com/vosbed/vosbed/harness/step"
	"github.com/vosbed/vosbed/harness/topo"
	"github.com/vosbed/vosbed/harness/verdict"
	"github.com/vosbed/vosbed/internal/buildinfo"
)

// Bounds of a run.
const (
	healTime = 90 * time.Second
	stopTime = 45 * time.Second
)

// eventStepFailed is the name of the event that says why a step failed.
const eventStepFailed = "step-failed"

// Options say how to run a scenario.
type Options struct {
	Dir    string // run directory; made if missing
	Bin    string // folder of lbd and simvos
	Self   string // the vosbed binary, started again for loads
	Mutant string // name of a mutant to run, "" = the scenario itself
	// Driver runs the appliances, [lab.DriverProcess] or [lab.DriverVM]; the latter
	// boots Image, a disk in the format qcow2.
	Driver string
	Image  string
	Trials int // overrides every trials step; 0 = as written
	// Duration overrides the longest wait of the scenario; 0 = as written.
	Duration time.Duration
	Seed     uint64 // of phases; 0 = drawn
	Keep     bool   // keep the lab standing after the verdict until ctx ends
	Stdout   io.Writer
	Color    bool // stdout is a terminal
}

// run is one run under way.
type run struct {
	opt      Options
	scn      *scenario.Scenario
	mutant   scenario.Mutant
	plan     *topo.Plan
	lab      *lab.Lab
	history  *observe.Writer
	logger   *slog.Logger
	progress *progress
	capture  *capture.Capture
	watch    *watch.Watch
	poller   *lab.Poller
	tasks    sync.WaitGroup
}

// Run runs a scenario and returns its result. Cancelling ctx ends it early: what
// has been seen until then is judged. The error is about the lab, not about the
// product; [lab.ErrCannot] marks what this machine cannot do.
func Run(ctx context.Context, scn *scenario.Scenario, opt Options) (verdict.Result, error) {
	r := &run{opt: opt, scn: scn, progress: newProgress(opt.Stdout, opt.Color)}
	if err := r.prepare(); err != nil {
		return verdict.Result{}, err
	}
	hist, err := os.Create(filepath.Join(opt.Dir, "history.jsonl"))
	if err != nil {
		return verdict.Result{}, fmt.Errorf("make history: %w", err)
	}
	defer hist.Close()
	logs, err := os.Create(filepath.Join(opt.Dir, "logs", "vosbed.log"))
	if err != nil {
		return verdict.Result{}, fmt.Errorf("make log: %w", err)
	}
	defer logs.Close()
	r.history = observe.NewWriter(hist, 0)
	r.logger = slog.New(slog.NewJSONHandler(logs, nil))
	if err := r.execute(ctx); err != nil {
		return verdict.Result{}, err
	}
	return r.finish()
}

// prepare applies mutant and options and makes the run directory.
func (r *run) prepare() error {
	if r.opt.Mutant != "" {
		scn, m, err := r.scn.Mutate(r.opt.Mutant)
		if err != nil {
			return err
		}
		r.scn, r.mutant = scn, m
	}
	if r.opt.Trials > 0 {
		r.scn.SetTrials(r.opt.Trials)
	}
	if r.opt.Duration > 0 {
		r.scn.SetDuration(r.opt.Duration)
	}
	if r.opt.Seed == 0 {
		r.opt.Seed = rand.Uint64()
	}
	if err := require(r.scn.Requires); err != nil {
		return err
	}
	plan, err := r.scn.Plan()
	if err != nil {
		return err
	}
	r.plan = plan
	if err := r.slowDown(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(r.opt.Dir, "logs"), 0o755); err != nil {
		return fmt.Errorf("make run directory: %w", err)
	}
	return nil
}

// execute builds the lab, does the steps and takes the lab down again.
func (r *run) execute(ctx context.Context) error {
	epoch := lab.Monotonic()
	r.progress.header(r.scn, r.plan, r.opt)
	if err := r.build(epoch); err != nil {
		return err
	}
	defer r.down()
	r.lab.Record(observe.KindRun, "", r.scn.Name, r.describe())
	if r.opt.Mutant != "" {
		r.lab.Record(observe.KindEvent, "", "mutant", observe.Note{Text: r.mutant.Name + ": " + r.mutant.About})
	}
	r.progress.Note(r.lab.Now(), fmt.Sprintf("lab of %d nodes stands", len(r.plan.Nodes)))
	watchers, stopWatching := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWatching()
	if err := r.observe(watchers); err != nil {
		return err
	}
	r.act(ctx)
	if r.opt.Keep {
		r.hold(ctx)
	}
	stopWatching()
	r.tasks.Wait()
	r.saveCapture()
	return nil
}

// down takes the lab down. What was seen in it counts even if that fails: the
// kernel frees the rest with the run's namespaces.
func (r *run) down() {
	if err := r.lab.Close(); err != nil {
		r.logger.Error("the lab was not taken down in order", "err", err)
		r.progress.Note(r.lab.Now(), fmt.Sprintf("the lab was not taken down in order: %v", err))
	}
}

func (r *run) build(epoch time.Duration) error {
	base, err := scenario.ParseOverlay("reference.yaml", config.Reference)
	if err != nil {
		return err
	}
	configs, err := r.configs(base)
	if err != nil {
		return err
	}
	secrets, err := lab.Secrets(r.plan, r.scn.Appliance, r.mutant.Change.Secret)
	if err != nil {
		return err
	}
	r.lab, err = lab.Build(r.plan, lab.Options{
		Dir: r.opt.Dir, Bin: r.opt.Bin, Self: r.opt.Self, Image: r.opt.Image, Configs: configs, Secrets: secrets,
		Dataplane: r.scn.Dataplane, Epoch: int64(epoch), History: r.history, Logger: r.logger,
	})
	if err != nil {
		return err
	}
	if err := r.lab.Rules(r.scn.Wire); err != nil {
		return errors.Join(err, r.lab.Close())
	}
	return r.register(false)
}

func (r *run) describe() observe.Run {
	out := observe.Run{
		Scenario: r.scn.Name, Started: time.Now(), Seed: r.opt.Seed, Kernel: kernel(),
		CPUs: runtime.NumCPU(), Version: buildinfo.Get().String(), Servers: servers(r.plan),
	}
	if r.opt.Driver == lab.DriverVM {
		out.Driver = r.opt.Driver
	}
	return out
}

// servers lists the real servers by the ids in their markers.
func servers(p *topo.Plan) []observe.Server {
	var out []observe.Server
	for _, m := range p.OfKind(topo.KindSimVOS) {
		s := observe.Server{ID: uint16(m.ID), Name: m.Name}
		for _, port := range m.Ports {
			for _, a := range port.Addrs {
				s.Addresses = append(s.Addresses, a.Addr().String())
			}
		}
		out = append(out, s)
	}
	return out
}

func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// observe starts capture, watcher, poller and noise guard.
func (r *run) observe(ctx context.Context) error {
	var err error
	if r.scn.Capture == nil || *r.scn.Capture {
		if r.capture, err = r.lab.StartCapture(); err != nil {
			return err
		}
	}
	if r.watch, err = r.lab.StartWatch(); err != nil {
		return err
	}
	r.poller = lab.NewPoller(r.lab)
	r.tasks.Go(func() { r.poller.Run(ctx) })
	r.tasks.Go(func() { r.lab.Guard(ctx) })
	return nil
}

// act starts the programs, does the steps, heals, and ends the loads. What goes
// wrong is recorded: a program that does not start breaks the run, a step that
// does not succeed fails it.
func (r *run) act(ctx context.Context) {
	work, cancel := context.WithTimeout(ctx, r.scn.Bound())
	defer cancel()
	switch err := r.lab.Start(work); {
	case err != nil && ctx.Err() != nil:
		r.stopped()
		return
	case err != nil:
		r.broken(err)
		return
	}
	r.progress.Note(r.lab.Now(), "programs are ready")
	runner := &step.Runner{
		Lab: r.lab, Poller: r.poller, Watch: r.watch, Scenario: r.scn, Progress: r.progress,
		Rand: rand.New(rand.NewPCG(r.opt.Seed, r.opt.Seed)),
	}
	err := runner.Run(work, r.scn.Steps, 0)
	r.afterSteps(ctx, err)
	rest := context.WithoutCancel(ctx)
	healing, done := context.WithTimeout(rest, healTime)
	defer done()
	if err := runner.HealAll(healing); err != nil {
		r.logger.WarnContext(healing, "a fault is not healed", "err", err)
	}
	stopping, stopped := context.WithTimeout(rest, stopTime)
	defer stopped()
	r.lab.StopLoads(stopping)
}

// afterSteps records how the steps ended.
func (r *run) afterSteps(ctx context.Context, err error) {
	failed := 0.0
	switch {
	case ctx.Err() != nil:
		r.stopped()
		return
	case err != nil:
		failed = 1
		r.lab.Record(observe.KindEvent, "", eventStepFailed, observe.Note{Text: err.Error()})
		r.progress.fail(r.lab.Now(), err)
	}
	r.lab.Record(observe.KindSample, "", "", observe.Sample{Metric: step.MetricFailed, Value: failed})
}

// stopped notes that whoever started the run has ended it.
func (r *run) stopped() {
	r.lab.Record(observe.KindEvent, "", observe.EventStopped, observe.Note{Text: "stopped early"})
	r.progress.Note(r.lab.Now(), "stopped early: judging what was seen")
}

func (r *run) broken(err error) {
	name := "lab"
	if errors.Is(err, context.DeadlineExceeded) {
		name = observe.BrokenLate
	}
	r.lab.Record(observe.KindBroken, "", name, observe.Note{Text: err.Error()})
	r.progress.fail(r.lab.Now(), err)
}

func (r *run) saveCapture() {
	_ = r.watch.Close()
	if r.capture == nil {
		return
	}
	_ = r.capture.Close()
	if err := r.lab.SaveCapture(r.capture, "scenario "+r.scn.Name); err != nil {
		r.logger.Warn("capture is not saved", "err", err)
	}
}

// hold keeps the lab until ctx ends.
func (r *run) hold(ctx context.Context) {
	if err := r.register(true); err != nil {
		r.logger.WarnContext(ctx, "nobody is told that the lab is kept", "err", err)
	}
	r.progress.Note(r.lab.Now(), "the lab is kept: try `vosbed shell clients`, end with Ctrl-C")
	<-ctx.Done()
}
