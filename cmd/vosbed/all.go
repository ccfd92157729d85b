package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/vosbed/vosbed/harness/scenario"
)

// automatic returns the names of the scenarios that are not marked manual.
func (a *app) automatic() ([]string, error) {
	names, err := scenario.Names(os.DirFS(a.scenarios))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, name := range names {
		scn, err := scenario.Load(a.scenarios, name)
		if err != nil {
			return nil, err
		}
		if !scn.Manual {
			out = append(out, name)
		}
	}
	return out, nil
}

// runAll runs the scenarios one after another and ends with a table. The status is
// that of the worst: failed, cannot, inconclusive.
func (a *app) runAll(f *runFlags) error {
	names, err := a.automatic()
	if err != nil {
		return err
	}
	ctx, cancel := signals()
	defer cancel()
	var table strings.Builder
	worst := exitPass
	for i, name := range names {
		if ctx.Err() != nil {
			fmt.Fprintf(&table, "  %-18s not run\n", name)
			continue
		}
		fmt.Fprintf(a.stdout, "── %d of %d ──\n", i+1, len(names))
		begin, one := time.Now(), *f
		err := a.run(&one, name)
		status := a.status
		if err != nil {
			status = a.explain(err)
		}
		fmt.Fprintf(&table, "  %-18s %-13s %s\n", name, statusWord(status), time.Since(begin).Round(time.Second))
		if severity(status) > severity(worst) {
			worst = status
		}
		fmt.Fprintln(a.stdout)
	}
	fmt.Fprint(a.stdout, table.String())
	a.status = worst
	return nil
}

func statusWord(status int) string {
	switch status {
	case exitPass:
		return "pass"
	case exitFail:
		return "FAIL"
	case exitInconclusive:
		return "inconclusive"
	case exitMistake:
		return "mistake"
	}
	return "cannot run"
}

// severity orders exit statuses from pass to failed.
func severity(status int) int {
	switch status {
	case exitPass:
		return 0
	case exitInconclusive:
		return 1
	case exitCannot:
		return 2
	case exitMistake:
		return 3
	}
	return 4
}
