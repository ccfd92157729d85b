package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/harness/report"
	"github.com/vosbed/vosbed/harness/scenario"
	"github.com/vosbed/vosbed/harness/verdict"
)

func (a *app) mutantsCommand() *cobra.Command {
	f := &runFlags{}
	cmd := &cobra.Command{
		Use:               "mutants [NAME...]",
		Short:             "Run every scenario with each of its mutants: all must be noticed",
		Long:              "A mutant is killed when the expectation that it names fails. A broken run, an\ninconclusive one, or another failure alone means that it survived. --mutant runs\none of them, --trials limits how often a fault is repeated.",
		Example:           "  vosbed mutants\n  vosbed mutants failover persistence\n  vosbed mutants failover --mutant no-lease",
		ValidArgsFunction: a.completeNames,
		RunE:              func(_ *cobra.Command, args []string) error { return a.mutants(f, args) },
	}
	f.register(cmd)
	return cmd
}

// subject is one mutant to run.
type subject struct {
	scenario string
	ref      string
	mutant   scenario.Mutant
}

func (a *app) mutants(f *runFlags, names []string) error {
	if len(names) == 0 {
		all, err := a.automatic()
		if err != nil {
			return err
		}
		names = all
	}
	subjects, err := a.subjects(names, f.mutant)
	if err != nil {
		return err
	}
	ctx, cancel := signals()
	defer cancel()
	killed, survived := 0, 0
	for i, s := range subjects {
		if ctx.Err() != nil {
			break
		}
		fmt.Fprintf(a.stdout, "%2d/%d  %-16s %-22s ", i+1, len(subjects), s.scenario, s.mutant.Name)
		noticed, why, err := a.mutant(*f, s.scenario, s.ref, s.mutant)
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			fmt.Fprintln(a.stdout, "stopped")
		case noticed:
			killed++
			fmt.Fprintf(a.stdout, "%-9s %s: %s\n", "killed", s.mutant.MustFail, why)
		default:
			survived++
			fmt.Fprintf(a.stdout, "%-9s %s: %s\n", "SURVIVED", s.mutant.MustFail, why)
		}
	}
	fmt.Fprintf(a.stdout, "\n%d mutants, %d killed, %d survived\n", len(subjects), killed, survived)
	if killed < len(subjects) {
		a.status = exitFail
	}
	return nil
}

// subjects lists the mutants of the named scenarios, or the one of that name.
func (a *app) subjects(names []string, only string) ([]subject, error) {
	var out []subject
	for _, name := range names {
		scn, err := scenario.Load(a.scenarios, name)
		if err != nil {
			return nil, err
		}
		for _, m := range scn.Mutants {
			if only == "" || only == m.Name {
				out = append(out, subject{scn.Name, name, m})
			}
		}
	}
	if len(out) == 0 && only != "" {
		return nil, fmt.Errorf("%w: %q: see `vosbed plan NAME`", scenario.ErrNoMutant, only)
	}
	return out, nil
}

// mutant runs one mutant quietly and tells whether it was noticed.
func (a *app) mutant(f runFlags, scn, ref string, m scenario.Mutant) (killed bool, why string, err error) {
	f.mutant, f.dir, f.json = m.Name, "", true
	status, err := a.front(&f, scn, ref)
	if err != nil {
		return false, "", err
	}
	res, unread := report.Read(f.dir)
	if unread != nil {
		why = fmt.Sprintf("no result, status %d: %v", status, unread)
		return false, why, nil
	}
	killed, why = noticed(res, m)
	return killed, why, nil
}

// noticed tells whether what had to fail did, and how it ended.
func noticed(res report.Result, m scenario.Mutant) (killed bool, why string) {
	name, step := m.Proof()
	i := slices.IndexFunc(res.Expectations, func(j verdict.Judged) bool { return j.Name == name })
	if len(res.Broken) > 0 || i < 0 {
		return false, fmt.Sprintf("broken: %v", res.Broken)
	}
	j := res.Expectations[i]
	if step != "" {
		return j.Verdict == verdict.Fail && slices.Contains(res.FailedSteps, step), fmt.Sprintf("%s, failed steps %v", j.Verdict, res.FailedSteps)
	}
	return j.Verdict == verdict.Fail, fmt.Sprintf("%s, observed %s, limit %s", j.Verdict, j.Observed, j.Limit)
}
