package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/appliance"
)

// sentinelCommand is the small real-time process that lbd run starts; it is of no
// use to a person.
func sentinelCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "sentinel",
		Short:  "Heartbeat, election, lease and VIPs (started by lbd run)",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return appliance.Sentinel(cmd.Context(), os.NewFile(appliance.SentinelFd, "main"))
		},
	}
}
