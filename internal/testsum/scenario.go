package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// scenario is one short scenario; trials bounds its repetitions, 0 = its own.
type scenario struct {
	name   string
	trials int
}

// Exit codes of `vosbed run`.
const (
	exitPass         = 0
	exitCannot       = 3
	exitInconclusive = 4
)

// Bounds of one scenario. Each has a shorter timeout of its own, after which it is
// judged: these are for a testbed that hangs.
const (
	scenarioTime = 9 * time.Minute
	// stopTime is how long it may take to end when it is asked to.
	stopTime = time.Minute
)

// ended is how a run of vosbed ended.
type ended struct {
	code   int  // exit status, -1 = none
	judged bool // there is a verdict
}

// runScenario runs one and counts its verdict.
func runScenario(ctx context.Context, s scenario, sum *tally) {
	dir := filepath.Join("out", s.name, time.Now().Format("20060102-150405"))
	args := []string{"run", s.name, "--dir=" + dir}
	if s.trials > 0 {
		args = append(args, "--trials="+strconv.Itoa(s.trials))
	}
	limited, cancel := context.WithTimeout(ctx, scenarioTime)
	defer cancel()
	end := ended{code: execute(limited, stopTime, "bin/vosbed", args...)}
	if limited.Err() != nil {
		end.code = -1
		fmt.Printf("scenario %s was stopped: %v\n", s.name, limited.Err())
	}
	_, err := os.Stat(filepath.Join(dir, "result.json"))
	end.judged = err == nil
	action := end.action(required())
	sum.count(action)
	fmt.Printf("%-4s scenario %s\n", action, s.name)
}

// execute runs a program and returns its exit status. When ctx ends it is asked to
// stop, and killed if that takes longer than patience.
func execute(ctx context.Context, patience time.Duration, program string, args ...string) int {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = patience
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Printf("%s: %v\n", program, err)
		return -1
	}
	return exitPass
}

// required reports whether what the tests need must be there.
func required() bool { return os.Getenv("CI") != "" || os.Getenv("VOSBED_REQUIRE") != "" }

// action is what counts: an inconclusive verdict (the machine was too noisy to
// judge) is a skip, and so is a lab that cannot be built here, unless it is
// required. A run that broke has a verdict and fails: the product may have broken it.
func (e ended) action(required bool) string {
	switch {
	case e.code == exitPass:
		return "pass"
	case e.code == exitInconclusive, e.code == exitCannot && !e.judged && !required:
		return "skip"
	}
	return "fail"
}
