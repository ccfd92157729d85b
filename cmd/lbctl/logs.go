package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/appliance/api"
)

func (a *app) logsCommand() *cobra.Command {
	level, follow := "info", false
	cmd := &cobra.Command{
		Use: "logs", Short: "Print the latest lines of the daemon's log", Args: noArgs,
		Example: `  lbctl logs --level warn
  lbctl logs --follow`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *api.Client) error {
				if follow {
					return a.followLog(cmd, c, level)
				}
				lines, err := c.Logs(cmd.Context(), level)
				if err != nil {
					return err
				}
				slices.Reverse(lines) // as a file has them
				var b strings.Builder
				for _, l := range lines {
					b.WriteString(logText(l))
				}
				return a.print(lines, b.String())
			})
		},
	}
	cmd.Flags().StringVar(&level, "level", level, "debug, info, warn or error: that or above")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "print what is written from now on, until Ctrl-C; in JSON a document a line")
	return cmd
}

func logText(l api.LogLine) string {
	return fmt.Sprintf("%s %-5s %s\n", l.At.UTC().Format(time.RFC3339), l.Level, l.Text)
}

// followLog prints lines as they are written.
func (a *app) followLog(cmd *cobra.Command, c *api.Client, level string) error {
	var seen uint64
	return a.keepFollowing(cmd, func(ctx context.Context) error {
		return c.FollowLogs(ctx, level, "", seen, func(lines []api.LogLine, last uint64) error {
			seen = last
			for _, l := range lines {
				if err := a.line(l, logText(l)); err != nil {
					return err
				}
			}
			return nil
		})
	})
}
