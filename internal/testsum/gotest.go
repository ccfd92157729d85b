package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// event is one line of `go test -json` (go doc test2json).
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	Elapsed float64
}

// testTimeout bounds one package; a hang becomes a failure with its stacks.
const testTimeout = 10 * time.Minute

func goTests(ctx context.Context, sum *tally) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-json", "-p=2", "-timeout", testTimeout.String(), "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("run go test: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("run go test: %w", err)
	}
	before := sum.failed
	readEvents(out, os.Stdout, sum)
	if err := cmd.Wait(); err != nil && sum.failed == before {
		return fmt.Errorf("go test ended with %w although no test failed: read its messages above", err)
	}
	return nil
}

// readEvents counts every test and prints one line a package, with the output of
// what failed and the reason of what was skipped.
func readEvents(in io.Reader, out io.Writer, sum *tally) {
	said := map[string][]string{} // output by package/test
	failedTests := map[string]bool{}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(out, lines.Text()) // a build error, not an event
			continue
		}
		key := e.Package + " " + e.Test
		switch {
		case e.Action == "output" || e.Action == "build-output":
			said[key] = append(said[key], e.Output)
			continue
		case e.Test != "":
			sum.count(e.Action)
			failedTests[e.Package] = failedTests[e.Package] || e.Action == "fail"
		case e.Action == "fail" && !failedTests[e.Package]:
			sum.failed++ // did not build, or died outside a test
		}
		report(out, e, said[key])
		if e.Action == "pass" || e.Action == "fail" || e.Action == "skip" {
			delete(said, key)
		}
	}
}

func report(out io.Writer, e event, said []string) {
	switch {
	case e.Action == "fail" || (e.Action == "skip" && e.Test != ""):
		for _, s := range said {
			fmt.Fprint(out, s)
		}
	case e.Test == "" && e.Action == "pass":
		fmt.Fprintf(out, "ok   %-70s %6.1fs\n", e.Package, e.Elapsed)
	case e.Action == "build-fail":
		for _, s := range said {
			fmt.Fprint(out, s)
		}
	}
}
