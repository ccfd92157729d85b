package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/appliance/api"
)

func (a *app) persistenceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "persistence",
		Short: "List and clear what ties clients to real servers",
		Args:  subcommand,
		RunE:  a.group,
	}
	cmd.AddCommand(a.persistenceList(), a.persistenceClear())
	return cmd
}

func (a *app) filterFlags(cmd *cobra.Command, f *api.Filter) {
	cmd.Flags().StringVar(&f.Service, "service", "", "entries of this virtual `service`")
	cmd.Flags().StringVar(&f.Client, "client", "", "the entry of this client `address`")
	cmd.Flags().StringVar(&f.Server, "server", "", "entries that lead to this real `server`")
	// The only error is a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc("service", a.complete(serviceNames))
	_ = cmd.RegisterFlagCompletionFunc("server", a.complete(plainServerNames))
}

func (a *app) persistenceList() *cobra.Command {
	var f api.Filter
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List persistence entries",
		Example: `  lbctl persistence list
  lbctl persistence list --client 192.168.94.201`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *api.Client) error {
				entries, err := c.Persistence(cmd.Context(), f)
				if err != nil {
					return err
				}
				return a.print(entries, entriesText(entries))
			})
		},
	}
	a.filterFlags(cmd, &f)
	return cmd
}

func entriesText(entries []api.Entry) string {
	t := table{rows: [][]cell{row("SERVICE", "CLIENT", "SERVER", "IDLE")}}
	for _, e := range entries {
		t.rows = append(t.rows, row(e.Service, e.Client, e.Server, span(e.IdleMS)))
	}
	return t.text(false) + "entries: " + strconv.Itoa(len(entries)) + "\n"
}

// span is a duration of the wire in words, to a readable precision.
func span(ms float64) string {
	d := time.Duration(ms * float64(time.Millisecond))
	if d < time.Second {
		return fmt.Sprintf("%.0f ms", ms)
	}
	return brief(d.Round(time.Second))
}

// brief drops the units that are zero at the end: 5m, not 5m0s.
func brief(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func (a *app) persistenceClear() *cobra.Command {
	var (
		f   api.Filter
		all bool
	)
	cmd := &cobra.Command{
		Use:   "clear",
		Short: "Remove persistence entries",
		Long: `clear removes the entries that match all given flags: those clients are placed
anew with their next connection. To remove every entry, say --all.`,
		Example: `  lbctl persistence clear --client 192.168.94.201
  lbctl persistence clear --service Harmonic_Traffic --server HT1
  lbctl persistence clear --all`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if all == (f != api.Filter{}) {
				return inputError("say which entries: --service, --client, --server, or else --all")
			}
			return a.with(func(c *api.Client) error {
				n, err := c.ClearPersistence(cmd.Context(), f)
				if err != nil {
					return err
				}
				return a.print(n, fmt.Sprintf("entries cleared: %d\n", n.Entries))
			})
		},
	}
	a.filterFlags(cmd, &f)
	cmd.Flags().BoolVar(&all, "all", false, "every entry of every service")
	return cmd
}
