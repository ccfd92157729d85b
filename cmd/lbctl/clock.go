package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/appliance/api"
)

func (a *app) clockCommand() *cobra.Command {
	return &cobra.Command{
		Use: "clock TIME", Short: "Set the machine's clock by hand", Args: aTime,
		Long: `clock sets the machine's clock, and its hardware clock, where no NTP server is reached.
TIME is what clocks in the machine's time zone show, or has an offset from UTC. While NTP
servers are configured it is refused, as they would set the clock back.

Sessions, health checks, heartbeats and persistence go on as they are. API tokens,
certificates and DHCP leases end by the new time, and a token that had ended counts again
when the clock is put back.`,
		Example: `  lbctl system clock 2026-03-04 12:00:00
  lbctl system clock 2026-03-04T12:00:00+01:00
  lbctl system clock $(date -u +%Y-%m-%dT%H:%M:%SZ)`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *api.Client) error {
				done, err := c.SetClock(cmd.Context(), strings.Join(args, " "))
				if err != nil {
					return err
				}
				text := fmt.Sprintf("the clock is %s, it was %s\n", done.Now.UTC().Format(time.RFC3339), done.Before.UTC().Format(time.RFC3339))
				if done.Hardware != "" {
					text += "▲ " + done.Hardware + "\n"
				}
				return a.print(done, text)
			})
		},
	}
}

func aTime(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("%q needs a time, such as 2026-03-04 12:00:00", cmd.CommandPath())
	}
	return nil
}
