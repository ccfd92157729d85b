package main

import (
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/appliance"
)

// webCommand is the unprivileged process that lbd run starts for the WebUI and the
// HTTPS API; it is of no use to a person.
func webCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "web",
		Short:  "WebUI and HTTPS API (started by lbd run)",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log := slog.New(slog.NewJSONHandler(os.Stderr, nil)).With("process", "web")
			return appliance.Web(cmd.Context(), os.NewFile(appliance.WebFd, "daemon"), log)
		},
	}
}
