// Testsum is what stands behind `make test`: it installs what the tests need, runs
// every Go test and the short scenarios, and closes with one line,
// "N passed, N failed, N skipped", whose truth the exit code repeats.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// shortScenarios run in every `make test`; the others have make targets.
func shortScenarios() []scenario {
	return []scenario{
		{name: "verification"},
		{name: "guide"},
		{name: "players"},
		{name: "arp-problem"},
		{name: "drain"},
		{name: "persistence"},
		{name: "failover", trials: 2},
	}
}

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	verb := ""
	if len(os.Args) == 2 {
		verb = os.Args[1]
	}
	var err error
	switch verb {
	case "setup":
		err = setup(ctx, packages())
	case "setup-image":
		err = setup(ctx, imagePackages())
	case "run":
		err = runAll(ctx)
	default:
		fmt.Fprintln(os.Stderr, "usage: testsum setup|setup-image|run")
		return 2
	}
	if err != nil {
		if !errors.Is(err, errFailures) {
			fmt.Fprintln(os.Stderr, "testsum:", err)
		}
		return 1
	}
	return 0
}

// errFailures says that something failed and has been reported already.
var errFailures = errors.New("tests failed")

// runAll prints the closing line last, whatever happened before.
func runAll(ctx context.Context) error {
	var sum tally
	if err := goTests(ctx, &sum); err != nil {
		sum.failed++
		fmt.Println("testsum:", err)
	}
	for _, s := range shortScenarios() {
		if ctx.Err() == nil {
			runScenario(ctx, s, &sum)
		}
	}
	return closing(ctx, os.Stdout, sum)
}

// closing prints the closing line and turns it into the outcome.
func closing(ctx context.Context, out io.Writer, sum tally) error {
	if ctx.Err() != nil {
		sum.failed++
		fmt.Fprintln(out, "testsum: interrupted, not everything has run")
	}
	fmt.Fprintln(out, sum)
	if sum.failed > 0 || sum.passed == 0 {
		return errFailures
	}
	return nil
}
