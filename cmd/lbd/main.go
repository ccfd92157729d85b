// Lbd is the load balancer appliance's daemon.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := root().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "lbd:", err)
		return 1
	}
	return 0
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lbd",
		Short: "The load balancer daemon for Harmonic VOS",
		Long: `lbd balances Harmonic VOS servers as the deployment guide describes: layer 4
direct routing in eBPF, a layer 7 TCP proxy, health checks, and a pair of nodes
that takes over within half a second. lbctl talks to a running lbd.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.AddCommand(runCommand(), sentinelCommand())
	return cmd
}
