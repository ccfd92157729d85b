package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/harness"
	"github.com/vosbed/vosbed/harness/lab"
	"github.com/vosbed/vosbed/harness/lab/jail"
	"github.com/vosbed/vosbed/harness/machine"
	"github.com/vosbed/vosbed/harness/scenario"
	"github.com/vosbed/vosbed/harness/traffic"
	"github.com/vosbed/vosbed/harness/verdict"
)

// runFlags are the flags of run and engine.
type runFlags struct {
	mutant, out, dir, bin string
	driver, image         string
	trials                int
	duration              time.Duration
	seed                  uint64
	keep, json, all       bool
}

func (f *runFlags) register(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.mutant, "mutant", "", "run with this mutant of the scenario")
	fl.StringVar(&f.out, "out", "out", "folder of run directories")
	fl.StringVar(&f.dir, "dir", "", "run directory (default OUT/NAME/TIME)")
	fl.StringVar(&f.bin, "bin", "", "folder of lbd and simvos (default that of vosbed)")
	fl.StringVar(&f.driver, "driver", lab.DriverProcess, "what runs the appliances: "+lab.DriverProcess+" (lbd) or "+lab.DriverVM+" (the booted image)")
	fl.StringVar(&f.image, "image", filepath.Join("out", "images"), "image that the driver "+lab.DriverVM+" boots (qcow2), or the folder that make image left it in")
	fl.IntVar(&f.trials, "trials", envTrials(), "number of trials of every kind (default as written, or $TRIALS)")
	fl.DurationVar(&f.duration, "duration", envDuration(), "length of the scenario's longest wait (default as written, or $DURATION)")
	fl.Uint64Var(&f.seed, "seed", 0, "seed of random phases (default: drawn)")
	fl.BoolVar(&f.keep, "keep", false, "keep the lab standing until Ctrl-C")
	fl.BoolVar(&f.json, "json", false, "print result.json and nothing else")
}

// envTrials reads $TRIALS, 0 without it.
func envTrials() int {
	n, err := strconv.Atoi(os.Getenv("TRIALS"))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// envDuration reads $DURATION, 0 without it.
func envDuration() time.Duration {
	d, err := time.ParseDuration(os.Getenv("DURATION"))
	if err != nil || d < 0 {
		return 0
	}
	return d
}

// checkEnv refuses what envTrials and envDuration would overlook.
func checkEnv() error {
	if v := os.Getenv("TRIALS"); v != "" && envTrials() == 0 {
		return usage{fmt.Errorf("TRIALS=%s is not a number of trials, such as 3", v)}
	}
	if v := os.Getenv("DURATION"); v != "" && envDuration() == 0 {
		return usage{fmt.Errorf("DURATION=%s is not a duration with a unit, such as 30s", v)}
	}
	return nil
}

// args writes the flags again, for the engine.
func (f *runFlags) args() []string {
	return []string{
		"--mutant=" + f.mutant, "--dir=" + f.dir, "--bin=" + f.bin, "--driver=" + f.driver, "--image=" + f.image,
		"--trials=" + strconv.Itoa(f.trials), "--duration=" + f.duration.String(), "--seed=" + strconv.FormatUint(f.seed, 10),
		"--keep=" + strconv.FormatBool(f.keep), "--json=" + strconv.FormatBool(f.json),
	}
}

func (a *app) runCommand() *cobra.Command {
	f := &runFlags{}
	cmd := &cobra.Command{
		Use:   "run NAME|FILE.yaml",
		Short: "Run a scenario and judge it",
		Long: "run builds the lab of a scenario, does its steps, judges what clients saw and\n" +
			"writes OUT/NAME/TIME: report.html, result.json, junit.xml, history.jsonl,\n" +
			"capture.pcapng and the logs of every program. OUT/NAME/latest points there.\n" +
			"Ctrl-C ends a run early: what was seen until then is judged.",
		Example:           "  vosbed run failover\n  vosbed run failover --trials 2 --keep\n  vosbed run failover --mutant no-announce\n  vosbed run soak-heartbeat --duration 30s\n  vosbed run failover --driver vm --trials 1\n  vosbed run --all",
		Args:              oneOrAll,
		ValidArgsFunction: a.completeNames,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := checkEnv(); err != nil {
				return err
			}
			if f.all {
				return a.runAll(f)
			}
			return a.run(f, args[0])
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&f.all, "all", false, "run every scenario but those marked manual, one after another")
	return cmd
}

// oneOrAll accepts one name, or --all without any.
func oneOrAll(cmd *cobra.Command, args []string) error {
	all, err := cmd.Flags().GetBool("all")
	switch {
	case err != nil:
		return err
	case all && len(args) > 0:
		return errors.New("run takes a scenario or --all, not both")
	case !all && len(args) != 1:
		return fmt.Errorf("run takes one scenario, not %d: see `vosbed list`, or use --all", len(args))
	}
	return nil
}

// run checks the scenario and hands it to an engine in namespaces of its own.
func (a *app) run(f *runFlags, name string) error {
	scn, err := scenario.Load(a.scenarios, name)
	if err != nil {
		return err
	}
	if f.mutant != "" {
		if _, _, err = scn.Mutate(f.mutant); err != nil {
			return err
		}
	}
	if err = f.findImage(); err != nil {
		return err
	}
	status, err := a.front(f, scn.Name, name)
	if err != nil {
		return err
	}
	if f.json {
		if b, err := os.ReadFile(filepath.Join(f.dir, "result.json")); err == nil {
			_, _ = a.stdout.Write(b)
		}
	}
	if status > exitInconclusive {
		return fmt.Errorf("%w: it was killed (status %d)", errLab, status)
	}
	a.status = status
	return nil
}

// findImage makes the image the path of a file, if one is booted.
func (f *runFlags) findImage() error {
	switch f.driver {
	case lab.DriverProcess:
		return nil
	case lab.DriverVM:
	default:
		return usage{fmt.Errorf("--driver=%s: use %s or %s", f.driver, lab.DriverProcess, lab.DriverVM)}
	}
	info, err := os.Stat(f.image)
	if err != nil {
		return fmt.Errorf("find the image: %w: run make image, or give --image", err)
	}
	if info.IsDir() {
		f.image, err = machine.Find(f.image)
		return err
	}
	f.image, err = filepath.Abs(f.image)
	return err
}

// front starts the engine below process 1 of new namespaces.
func (a *app) front(f *runFlags, scenarioName, ref string) (int, error) {
	if os.Geteuid() != 0 {
		return 0, jail.ErrNotPermitted
	}
	self, err := os.Executable()
	if err != nil {
		return 0, fmt.Errorf("find this program: %w", err)
	}
	if f.bin == "" {
		f.bin = filepath.Dir(self)
	}
	if err := f.directory(scenarioName); err != nil {
		return 0, err
	}
	argv := append([]string{self, "--scenarios=" + a.scenarios, "supervise", "--", self, "--scenarios=" + a.scenarios, "engine", ref}, f.args()...)
	return jail.Front(context.Background(), argv, func(pid int) {
		_ = os.WriteFile(filepath.Join(f.dir, "supervisor.pid"), []byte(strconv.Itoa(pid)+"\n"), 0o644)
	})
}

// directory chooses and makes the run directory, as an absolute path.
func (f *runFlags) directory(name string) error {
	if f.dir == "" {
		stamp := time.Now().Format("20060102-150405")
		if f.mutant != "" {
			stamp += "-" + f.mutant
		}
		f.dir = filepath.Join(f.out, name, stamp)
	}
	dir, err := filepath.Abs(f.dir)
	if err != nil {
		return fmt.Errorf("find the run directory: %w", err)
	}
	f.dir = dir
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the run directory: %w", err)
	}
	return nil
}

func (a *app) superviseCommand() *cobra.Command {
	return &cobra.Command{
		Use: "supervise", Hidden: true, Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			status, err := jail.Init(args)
			a.status = status
			return err
		},
	}
}

func (a *app) engineCommand() *cobra.Command {
	f := &runFlags{}
	cmd := &cobra.Command{
		Use: "engine", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.engine(f, args[0]) },
	}
	f.register(cmd)
	return cmd
}

// engine runs the scenario; it is process 2 of its namespaces.
func (a *app) engine(f *runFlags, name string) error {
	scn, err := scenario.Load(a.scenarios, name)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	ctx, cancel := signals()
	defer cancel()
	opt := harness.Options{
		Dir: f.dir, Bin: f.bin, Self: self, Mutant: f.mutant, Driver: f.driver, Image: f.image, Trials: f.trials, Duration: f.duration, Seed: f.seed, Keep: f.keep,
		Stdout: a.stdout, Color: isTerminal(os.Stdout),
	}
	if f.json {
		opt.Stdout = nil
	}
	res, err := harness.Run(ctx, scn, opt)
	if err != nil {
		return err
	}
	a.status = statusOf(res.Verdict)
	return nil
}

func statusOf(v verdict.Verdict) int {
	switch v {
	case verdict.Pass:
		return exitPass
	case verdict.Fail:
		return exitFail
	case verdict.Inconclusive:
		return exitInconclusive
	case verdict.Broken, verdict.Reported:
	}
	return exitCannot
}

func (a *app) agentCommand() *cobra.Command {
	return &cobra.Command{
		Use: "agent", Hidden: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			ctx, cancel := signals()
			defer cancel()
			// Non-blocking, so that closing it ends a read that is under way.
			if err := unix.SetNonblock(unix.Stdin, true); err != nil {
				return fmt.Errorf("prepare standard input: %w", err)
			}
			return traffic.Main(ctx, os.NewFile(uintptr(unix.Stdin), "stdin"), os.Stdout)
		},
	}
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil && os.Getenv("NO_COLOR") == ""
}

func printJSON(a *app, v any) error {
	e := json.NewEncoder(a.stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
