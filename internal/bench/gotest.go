package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// values are the metrics of benchmarks, in the order of the rounds: by name
// without the "Benchmark" and the number of processors, then by unit.
type values map[string]map[string][]float64

// goBench runs the benchmarks of one package once.
func goBench(ctx context.Context, s suite, v values) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", s.bench, "-benchtime", s.benchtime, s.pkg)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run the benchmarks of %s: %w:\n%s", s.pkg, err, out.String())
	}
	return parse(out.String(), v)
}

// unitIterations is the number of iterations as a metric.
const unitIterations = "iterations"

// parse adds the result lines of `go test -bench` to v: the name, the number of
// iterations, then pairs of value and unit (golang.org/design/14313).
func parse(text string, v values) error {
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") || len(f)%2 != 0 {
			continue
		}
		name := benchName(f[0])
		if v[name] == nil {
			v[name] = make(map[string][]float64)
		}
		f = append(f, f[1], unitIterations)
		for i := 2; i+1 < len(f); i += 2 {
			n, err := strconv.ParseFloat(f[i], 64)
			if err != nil {
				return fmt.Errorf("read the benchmark line %q: %w", lines.Text(), err)
			}
			if math.IsNaN(n) || math.IsInf(n, 0) {
				return fmt.Errorf("%q is no measurement: nothing moved in one of the turns; run again when the machine is less busy", lines.Text())
			}
			v[name][f[i+1]] = append(v[name][f[i+1]], n)
		}
	}
	return lines.Err()
}

// benchName strips what go test adds to the name: "BenchmarkX/y-2" is "X/y".
func benchName(text string) string {
	name := strings.TrimPrefix(text, "Benchmark")
	i := strings.LastIndexByte(name, '-')
	if i < 0 {
		return name
	}
	if _, err := strconv.Atoi(name[i+1:]); err != nil {
		return name
	}
	return name[:i]
}
