package main

import (
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/appliance"
)

func runCommand() *cobra.Command {
	var (
		opts  appliance.Options
		level = slog.LevelInfo
	)
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the daemon in the foreground",
		Example: `  lbd run --config /etc/vosbed/config.yaml
  lbd run --config config.yaml --state ./state --socket ./lbd.sock --bpffs /sys/fs/bpf/vosbed`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts.Logger = slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
			a, err := appliance.New(opts)
			if err != nil {
				return err
			}
			go announceReady(cmd, a)
			return a.Run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.ConfigFile, "config", "/etc/vosbed/config.yaml", "configuration `file` (YAML); lbctl check tells its mistakes")
	flags.StringVar(&opts.StateDir, "state", "/var/lib/vosbed", "`directory` for certificate, token and operator overrides")
	flags.StringVar(&opts.Socket, "socket", "/run/vosbed/lbd.sock", "unix `socket` of the management API")
	flags.StringVar(&opts.BPFFS, "bpffs", "", "`directory` on a bpffs where kernel state outlives the daemon; empty = it does not")
	flags.StringVar(&opts.Dataplane, "dataplane", "auto", "layer 4 engine: "+strings.Join(appliance.Engines(), ", "))
	flags.TextVar(&level, "log-level", slog.LevelInfo, "debug, info, warn or error")
	return cmd
}

// announceReady tells a supervisor on standard output that the node is set up.
func announceReady(cmd *cobra.Command, a *appliance.Appliance) {
	select {
	case <-cmd.Context().Done():
	case <-a.Ready():
		fmt.Fprintln(cmd.OutOrStdout(), `{"ready":true}`)
	}
}
