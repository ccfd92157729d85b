package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/harness"
	"github.com/vosbed/vosbed/harness/report"
	"github.com/vosbed/vosbed/harness/scenario"
	"github.com/vosbed/vosbed/harness/step"
	"github.com/vosbed/vosbed/harness/verdict"
)

func (a *app) planCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "plan NAME",
		Short:             "Print what a scenario would build and do, and touch nothing",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeNames,
		RunE: func(_ *cobra.Command, args []string) error {
			scn, err := scenario.Load(a.scenarios, args[0])
			if err != nil {
				return err
			}
			return a.plan(scn)
		},
	}
}

func (a *app) plan(scn *scenario.Scenario) error {
	plan, err := scn.Plan()
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s: %s\n\n%s\n%s\nsteps\n", scn.Name, scn.Title, harness.Picture(plan), plan.Text())
	a.timeline(scn.Steps, 1)
	fmt.Fprintln(a.stdout, "\nexpectations")
	for _, e := range scn.Expect {
		fmt.Fprintf(a.stdout, "  %-34s %s\n", e.Name, e.About)
	}
	if len(scn.Mutants) > 0 {
		fmt.Fprintln(a.stdout, "\nmutants")
	}
	for _, m := range scn.Mutants {
		fmt.Fprintf(a.stdout, "  %-34s must fail %s\n", m.Name, m.MustFail)
	}
	return nil
}

func (a *app) timeline(steps []scenario.Step, depth int) {
	for i, st := range steps {
		fmt.Fprintf(a.stdout, "%s%2d  %s\n", strings.Repeat("  ", depth), i+1, step.Words(st))
		if st.Trials != nil {
			a.timeline(st.Trials.Steps, depth+2)
		}
		a.timeline(st.Parallel, depth+2)
	}
}

func (a *app) lintCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "lint [NAME...]",
		Short:             "Check scenarios without running them",
		ValidArgsFunction: a.completeNames,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.lint(args)
		},
	}
}

func (a *app) lint(names []string) error {
	if len(names) == 0 {
		all, err := scenario.Names(os.DirFS(a.scenarios))
		if err != nil {
			return err
		}
		names = all
	}
	for _, name := range names {
		scn, err := scenario.Load(a.scenarios, name)
		if err == nil {
			err = judgeable(scn)
		}
		if err != nil {
			fmt.Fprintf(a.stderr, "%s\n", scenario.Render(err))
			a.status = exitMistake
			continue
		}
		fmt.Fprintf(a.stdout, "%s: ok\n", name)
	}
	return nil
}

// judgeable checks that the judge will understand every expectation.
func judgeable(scn *scenario.Scenario) error {
	var errs []error
	for _, e := range scn.Expect {
		for _, ref := range []string{e.Metric, e.Floor} {
			if _, err := verdict.ParseRef(ref); ref != "" && err != nil {
				errs = append(errs, fmt.Errorf("%s: expectation %s: %w", scn.Name, e.Name, err))
			}
		}
		for _, x := range []string{e.Eventually, e.Always, e.Never, e.Witness} {
			if err := verdict.CheckExpr(x); x != "" && err != nil {
				errs = append(errs, fmt.Errorf("%s: expectation %s: %w", scn.Name, e.Name, err))
			}
		}
	}
	return errors.Join(errs...)
}

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of scenarios, for editors",
		Long:  "The schema is that of scenarios/schema.json, to which the first line of each\nscenario points. yaml-language-server completes and checks by it.",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			b, err := scenario.Schema()
			if err != nil {
				return err
			}
			_, err = a.stdout.Write(b)
			return err
		},
	}
}

func (a *app) listCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the scenarios",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			names, err := scenario.Names(os.DirFS(a.scenarios))
			if err != nil {
				return err
			}
			for _, name := range names {
				scn, err := scenario.Load(a.scenarios, name)
				if err != nil {
					return err
				}
				fmt.Fprintf(a.stdout, "%-16s %2d mutants  %s\n", scn.Name, len(scn.Mutants), scn.Title)
			}
			return nil
		},
	}
}

func (a *app) judgeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "judge DIR",
		Short: "Judge an old run again, from its directory alone",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := args[0]
			file := filepath.Join(dir, report.FileScenario)
			if _, err := os.Stat(file); err != nil {
				return usage{fmt.Errorf("no run to judge in %s: %w", dir, err)}
			}
			scn, err := scenario.Load(a.scenarios, file)
			if err != nil {
				return err
			}
			res, err := harness.Judge(scn, dir)
			if err != nil {
				return err
			}
			if err := report.Write(dir); err != nil {
				return err
			}
			a.status = statusOf(res.Verdict)
			return a.summary(dir)
		},
	}
}

func (a *app) summary(dir string) error {
	res, err := report.Read(dir)
	if err != nil {
		return err
	}
	return report.Summary(a.stdout, res, isTerminal(os.Stdout))
}

func (a *app) reportCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "report DIR",
		Short: "Write the HTML and JUnit reports of a run again",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			err := report.Write(args[0])
			if errors.Is(err, fs.ErrNotExist) {
				return usage{err}
			}
			if err != nil {
				return err
			}
			fmt.Fprintln(a.stdout, filepath.Join(args[0], report.FileHTML))
			return a.summary(args[0])
		},
	}
}
