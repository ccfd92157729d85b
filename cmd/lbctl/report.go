package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/appliance/api"
)

func (a *app) reportCommand() *cobra.Command {
	asked := reportAsked{}
	cmd := &cobra.Command{
		Use:   "report [NAME]",
		Short: "Print a report: layer 4 and layer 7, rates, persistence, graphs",
		Long: `report prints one of the reports of the WebUI as a table, with --csv as comma separated
values for a spreadsheet (a text that would be a formula there begins with '), or
with --json. Without a name it lists the reports. Numbers are in the unit that their
column names; what is not known is a dash, or null in JSON, or empty in CSV.`,
		Example: `  lbctl report
  lbctl report layer4-rate
  lbctl report layer7-status --csv > layer7.csv
  lbctl report graphs --range 168h --json`,
		Args: oneReport,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				if asked != (reportAsked{}) {
					return inputError("--csv and --range belong to a report: name one, \"lbctl report\" lists them")
				}
				return a.listReports(cmd)
			}
			asked.name = args[0]
			return a.showReport(cmd, asked)
		},
		ValidArgsFunction: a.reportNames,
	}
	cmd.Flags().BoolVar(&asked.csv, "csv", false, "comma separated values")
	cmd.Flags().DurationVar(&asked.span, "range", 0, "the `time` that graphs shows, from 1m to 8760h (24h)")
	return cmd
}

// reportAsked is what the command line says.
type reportAsked struct {
	name string
	csv  bool
	span time.Duration
}

func oneReport(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return fmt.Errorf("%q takes the name of one report, but there is %q too", cmd.CommandPath(), args[1])
	}
	return nil
}

func (a *app) listReports(cmd *cobra.Command) error {
	return a.with(func(c *api.Client) error {
		all, err := c.Reports(cmd.Context())
		if err != nil {
			return err
		}
		t := table{rows: [][]cell{row("NAME", "REPORT")}}
		for _, r := range all {
			t.rows = append(t.rows, row(r.Name, r.Title))
		}
		return a.print(all, t.text(false))
	})
}

// reportNames completes the name of a report.
func (a *app) reportNames(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	var out []string
	if len(given) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	err := a.with(func(c *api.Client) error {
		all, err := c.Reports(cmd.Context())
		for _, r := range all {
			out = append(out, r.Name)
		}
		return err
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) showReport(cmd *cobra.Command, asked reportAsked) error {
	switch {
	case asked.csv && a.json:
		return inputError("--csv and --json are two forms of one report: choose one")
	case cmd.Flags().Changed("range") && asked.name != api.ReportGraphs:
		return inputError("--range belongs to the report " + api.ReportGraphs + ": the others are of now")
	case cmd.Flags().Changed("range") && asked.span < time.Minute:
		return inputError("--range must be at least 1m")
	}
	return a.with(func(c *api.Client) error {
		if asked.csv {
			data, err := c.ReportCSV(cmd.Context(), asked.name, asked.span)
			if err != nil {
				return err
			}
			_, err = a.out.Write(data)
			return err
		}
		r, err := c.Report(cmd.Context(), asked.name, asked.span)
		if err != nil {
			return err
		}
		if a.json {
			return a.print(r, "")
		}
		_, err = io.WriteString(a.out, reportTable(r, a.color))
		return err
	})
}

// reportTable is the table with its notes; a column's head names its unit.
func reportTable(r api.Report, colored bool) string {
	var b strings.Builder
	b.WriteString(paint(fmt.Sprintf("%s, %s", r.Title, r.At.UTC().Format(time.RFC3339)), bold, colored) + "\n")
	for _, n := range r.Notes {
		b.WriteString(n + "\n")
	}
	if len(r.Rows) == 0 {
		return b.String()
	}
	var head []string
	for _, c := range r.Columns {
		head = append(head, reportHead(c))
	}
	t := table{rows: [][]cell{row(head...)}}
	for _, values := range r.Rows {
		var cells []string
		for _, c := range r.Columns {
			cells = append(cells, reportCell(values[c.Key]))
		}
		t.rows = append(t.rows, row(cells...))
	}
	return b.String() + "\n" + t.text(colored)
}

func reportHead(c api.ReportColumn) string {
	head := strings.ToUpper(strings.ReplaceAll(c.Key, "_", " "))
	if c.Unit != "" && !strings.Contains(c.Key, "_per_second") && !strings.HasSuffix(c.Key, "_seconds") {
		head += " [" + c.Unit + "]"
	}
	return head
}

func reportCell(v any) string {
	switch v := v.(type) {
	case nil:
		return "–"
	case float64:
		if v == float64(int64(v)) {
			return strconv.FormatInt(int64(v), 10)
		}
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return fmt.Sprint(v)
}
