package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/harness/lab/doctor"
)

func (a *app) doctorCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check whether this machine can build labs, and say what to do",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			checks := doctor.Examine()
			for _, c := range checks {
				if !c.OK && c.Needed {
					a.status = exitCannot
				}
			}
			if asJSON {
				return printJSON(a, checks)
			}
			for _, c := range checks {
				mark := "ok"
				if !c.OK {
					mark = "warn"
					if c.Needed {
						mark = "MISSING"
					}
				}
				fmt.Fprintf(a.stdout, "%-8s %-10s %s\n", mark, c.Name, c.Found)
				if !c.OK {
					fmt.Fprintf(a.stdout, "%20s→ %s\n", "", c.Do)
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "machine-readable")
	return cmd
}
