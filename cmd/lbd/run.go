package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/appliance"
	"github.com/vosbed/vosbed/internal/buildinfo"
)

func (d *daemon) runCommand() *cobra.Command {
	level := slog.LevelInfo
	opts := &d.opts
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the daemon in the foreground",
		Example: `  lbd run --config /etc/vosbed/config.yaml
  lbd run --config config.yaml --state ./state --socket ./lbd.sock --bpffs /sys/fs/bpf/vosbed`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := d.check(); err != nil {
				return err
			}
			opts.Logger = slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level, ReplaceAttr: withUnits}))
			return d.serve(cmd.Context(), cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.ConfigFile, "config", "/etc/vosbed/config.yaml", "configuration `file` (YAML); lbctl check tells its mistakes")
	flags.StringVar(&opts.StateDir, "state", "/var/lib/vosbed", "`directory` for certificate, token and operator overrides")
	flags.StringVar(&opts.Socket, "socket", "/run/vosbed/lbd.sock", "unix `socket` of the management API")
	flags.StringVar(&opts.BPFFS, "bpffs", "/sys/fs/bpf/vosbed", "`directory` on a bpffs where kernel state outlives the daemon; empty = it does not, and a pair is not possible")
	flags.StringVar(&opts.Dataplane, "dataplane", "auto", "layer 4 engine: "+strings.Join(appliance.Engines(), ", "))
	flags.StringVar(&opts.Etc, "etc", "/etc", "`directory` of hostname, resolv.conf, localtime and chrony, which node.system writes")
	flags.BoolVar(&opts.Slots, "slots", false, "the machine starts from an image of this appliance, which installs its own updates")
	flags.TextVar(&level, "log-level", slog.LevelInfo, "debug, info, warn or error")
	return cmd
}

// withUnits writes durations as people do, 18.9ms, where JSON would hold bare nanoseconds.
func withUnits(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// serve runs the appliance until ctx ends.
func (d *daemon) serve(ctx context.Context, out io.Writer) error {
	a, err := appliance.New(d.opts)
	if err != nil {
		return err
	}
	log := d.opts.Logger
	log.InfoContext(ctx, "starting", "version", buildinfo.Get().String(), "config", d.opts.ConfigFile)
	running, ended := context.WithCancel(ctx)
	var waiting sync.WaitGroup
	waiting.Go(func() { announceReady(running, a, log, out) })
	err = a.Run(ctx)
	ended()
	waiting.Wait()
	if err == nil {
		log.InfoContext(ctx, "stopped")
	}
	return err
}

// announceReady tells a supervisor on standard output that the node is set up.
func announceReady(ctx context.Context, a *appliance.Appliance, log *slog.Logger, out io.Writer) {
	select {
	case <-ctx.Done():
	case <-a.Ready():
		log.InfoContext(ctx, "ready")
		fmt.Fprintln(out, `{"ready":true}`)
	}
}
