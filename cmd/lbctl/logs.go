package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/appliance/api"
)

func (a *app) logsCommand() *cobra.Command {
	level := "info"
	cmd := &cobra.Command{
		Use: "logs", Short: "Print the latest lines of the daemon's log", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *api.Client) error {
				lines, err := c.Logs(cmd.Context(), level)
				if err != nil {
					return err
				}
				slices.Reverse(lines) // as a file has them
				var b strings.Builder
				for _, l := range lines {
					fmt.Fprintf(&b, "%s %-5s %s\n", l.At.UTC().Format(time.RFC3339), l.Level, l.Text)
				}
				return a.print(lines, b.String())
			})
		},
	}
	cmd.Flags().StringVar(&level, "level", level, "debug, info, warn or error: that or above")
	return cmd
}
