package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"time"
)

// event is one line of `go test -json` (go doc test2json, go help buildjson).
type event struct {
	Action     string
	Package    string
	ImportPath string // of build events, in place of Package
	Test       string
	Output     string
	Elapsed    float64
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
	readErr := readEvents(out, os.Stdout, sum)
	if readErr != nil {
		_, _ = io.Copy(io.Discard, out) // or go test would wait for its reader
	}
	if err := cmd.Wait(); err != nil && sum.failed == before {
		return errors.Join(readErr, fmt.Errorf("go test ended with %w although no test failed: read its messages above", err))
	}
	return readErr
}

// readEvents counts every test and prints one line a package, with the output of
// what failed and the reason of what was skipped.
func readEvents(in io.Reader, out io.Writer, sum *tally) error {
	j := &journal{out: out, sum: sum, said: map[string]map[string][]string{}, failed: map[string]bool{}}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(out, lines.Text()) // something of the go command, not an event
			continue
		}
		j.take(e)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read what go test says: %w", err)
	}
	return nil
}

// journal follows the events of all packages.
type journal struct {
	out    io.Writer
	sum    *tally
	said   map[string]map[string][]string // output by package (or build) and test
	failed map[string]bool                // packages with a failed test
}

func (j *journal) take(e event) {
	pkg := cmp.Or(e.Package, e.ImportPath)
	switch {
	case e.Action == "output" || e.Action == "build-output":
		if j.said[pkg] == nil {
			j.said[pkg] = map[string][]string{}
		}
		j.said[pkg][e.Test] = append(j.said[pkg][e.Test], e.Output)
	case e.Action == "build-fail":
		j.tellAll(pkg)
	case e.Action != "pass" && e.Action != "fail" && e.Action != "skip":
	case e.Test != "":
		j.sum.count(e.Action)
		j.failed[pkg] = j.failed[pkg] || e.Action == "fail"
		if e.Action != "pass" {
			j.tell(pkg, e.Test)
		}
		delete(j.said[pkg], e.Test)
	default:
		j.endPackage(e)
	}
}

// endPackage tells how a package ended. One that failed without a failed test did
// not build, ran into its timeout, or died outside a test. The test that hung never
// ends: its output, with the stacks, is still here.
func (j *journal) endPackage(e event) {
	switch e.Action {
	case "pass":
		fmt.Fprintf(j.out, "ok   %-70s %6.1fs\n", e.Package, e.Elapsed)
	case "fail":
		j.tellAll(e.Package)
		if !j.failed[e.Package] {
			j.sum.failed++
		}
	}
	delete(j.said, e.Package)
}

// tellAll prints what the tests of a package said that have not ended, then what the
// package itself said.
func (j *journal) tellAll(pkg string) {
	for _, test := range slices.Sorted(maps.Keys(j.said[pkg])) {
		if test != "" {
			j.tell(pkg, test)
		}
	}
	j.tell(pkg, "")
	delete(j.said, pkg)
}

func (j *journal) tell(pkg, test string) {
	for _, s := range j.said[pkg][test] {
		fmt.Fprint(j.out, s)
	}
}
