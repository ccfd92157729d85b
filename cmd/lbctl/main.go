// Lbctl is the operator's command line for the load balancer appliance.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &app{out: os.Stdout, err: os.Stderr, color: colors(os.Stdout)}
	return a.run(ctx, os.Args[1:])
}
