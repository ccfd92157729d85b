// Lbd is the load balancer appliance's daemon.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/internal/buildinfo"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	d := &daemon{}
	err := d.root().ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	d.complain(os.Stderr, err)
	return d.exitCode(err)
}

// root is the command line.
func (d *daemon) root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lbd",
		Short: "The load balancer daemon for Harmonic VOS",
		Long: `lbd balances Harmonic VOS servers as the deployment guide describes: layer 4
direct routing in eBPF, a layer 7 TCP proxy, health checks, and a pair of nodes
that takes over within half a second. lbctl talks to a running lbd.

Exit codes: 0 stopped by a signal; 1 could not start, or failed; 2 usage or a
mistake in the configuration.`,
		Version:          buildinfo.Get().String(),
		SilenceUsage:     true,
		SilenceErrors:    true,
		PersistentPreRun: func(*cobra.Command, []string) { d.understood = true },
	}
	cmd.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	cmd.AddCommand(d.runCommand(), sentinelCommand(), webCommand())
	return cmd
}
