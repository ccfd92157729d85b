package main

import (
	"fmt"
	"os"
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
		Long:              "A mutant is killed when the expectation that it names fails. A broken run, an\ninconclusive one, or another failure alone means that it survived.",
		ValidArgsFunction: a.completeNames,
		RunE:              func(_ *cobra.Command, args []string) error { return a.mutants(f, args) },
	}
	f.register(cmd)
	return cmd
}

func (a *app) mutants(f *runFlags, names []string) error {
	if len(names) == 0 {
		all, err := scenario.Names(os.DirFS(a.scenarios))
		if err != nil {
			return err
		}
		names = all
	}
	total, survived := 0, 0
	var table []string
	for _, name := range names {
		scn, err := scenario.Load(a.scenarios, name)
		if err != nil {
			return err
		}
		for _, m := range scn.Mutants {
			total++
			killed, why, err := a.mutant(*f, scn.Name, name, m)
			if err != nil {
				return err
			}
			word := "killed"
			if !killed {
				word = "SURVIVED"
				survived++
			}
			row := fmt.Sprintf("%-16s %-22s %-9s %s: %s", scn.Name, m.Name, word, m.MustFail, why)
			fmt.Fprintln(a.stdout, row)
			table = append(table, row)
		}
	}
	fmt.Fprintf(a.stdout, "\n%d mutants, %d killed, %d survived\n", len(table), total-survived, survived)
	if survived > 0 {
		a.status = exitFail
	}
	return nil
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
	i := slices.IndexFunc(res.Expectations, func(j verdict.Judged) bool { return j.Name == m.MustFail })
	if len(res.Broken) > 0 || i < 0 {
		return false, fmt.Sprintf("broken: %v", res.Broken), nil
	}
	j := res.Expectations[i]
	return j.Verdict == verdict.Fail, fmt.Sprintf("%s, observed %s, limit %s", j.Verdict, j.Observed, j.Limit), nil
}
