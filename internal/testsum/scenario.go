package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// scenario is one short scenario; trials bounds its repetitions, 0 = its own.
type scenario struct {
	name   string
	trials int
}

// Exit codes of `vosbed run`.
const (
	exitPass         = 0
	exitBroken       = 3
	exitInconclusive = 4
)

// runScenario runs one and counts its verdict. Inconclusive (the machine was too
// noisy to judge) counts as skipped; a lab that cannot be built does so only
// outside CI, where what is required must be there.
func runScenario(ctx context.Context, s scenario, sum *tally) {
	cmd := exec.CommandContext(ctx, "bin/vosbed", "run", s.name)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if s.trials > 0 {
		cmd.Env = append(os.Environ(), "TRIALS="+strconv.Itoa(s.trials))
	}
	err := cmd.Run()
	code := exitPass
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		code = -1
	}
	action := verdictAction(code, os.Getenv("CI") != "")
	sum.count(action)
	fmt.Printf("%-4s scenario %s\n", action, s.name)
}

func verdictAction(code int, ci bool) string {
	switch {
	case code == exitPass:
		return "pass"
	case code == exitInconclusive, code == exitBroken && !ci:
		return "skip"
	}
	return "fail"
}
