package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/vosbed/vosbed/harness"
	"github.com/vosbed/vosbed/harness/demo"
	"github.com/vosbed/vosbed/internal/netns"
)

// demoName is the scenario whose lab the demo keeps.
const demoName = "demo"

// doors are where the appliances' WebUIs open: two addresses, for cookies do not tell
// ports apart.
func doors() map[string]netip.Addr {
	return map[string]netip.Addr{"lb1": netip.AddrFrom4([4]byte{127, 0, 0, 1}), "lb2": netip.AddrFrom4([4]byte{127, 0, 0, 2})}
}

func (a *app) demoCommand() *cobra.Command {
	port := uint16(9443)
	f := &runFlags{keep: true}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Keep the guide's deployment running and open both WebUIs on loopback",
		Long: "demo builds the guide's deployment with both appliances and their traffic, opens\n" +
			"the WebUI of each on 127.0.0.1 and 127.0.0.2, prints the password and what to\n" +
			"try, and keeps everything until Ctrl-C. Nothing leaves this machine's loopback.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			ctx, stop := context.WithCancel(context.Background())
			defer stop()
			if err := f.directory(demoName); err != nil {
				return err
			}
			listeners, err := listen(ctx, port)
			if err != nil {
				return err
			}
			opened := make(chan error, 1)
			go func() { opened <- a.openDoors(ctx, f.dir, listeners) }()
			err = a.run(f, demoName)
			stop()
			return errors.Join(err, <-opened)
		},
	}
	cmd.Flags().Uint16Var(&port, "port", port, "port of both WebUIs on loopback")
	cmd.Flags().StringVar(&f.out, "out", "out", "folder of run directories")
	cmd.Flags().StringVar(&f.bin, "bin", "", "folder of lbd and simvos (default that of vosbed)")
	return cmd
}

// listen takes the addresses before anything is built: one may be in use.
func listen(ctx context.Context, port uint16) (map[string]net.Listener, error) {
	out := map[string]net.Listener{}
	for node, addr := range doors() {
		ln, err := demo.Listen(ctx, netip.AddrPortFrom(addr, port))
		if err != nil {
			return nil, err
		}
		out[node] = ln
	}
	return out, nil
}

// openDoors waits until the lab stands and is ready, and serves it until ctx ends.
func (a *app) openDoors(ctx context.Context, dir string, listeners map[string]net.Listener) error {
	for _, ln := range listeners {
		defer ln.Close()
	}
	if !standing(ctx, dir) {
		return nil
	}
	pid, err := enginePID(dir)
	if err != nil {
		return nil // it has ended, and said why
	}
	lab, err := harness.ReadStanding(dir)
	if err != nil {
		return err
	}
	password := demo.Password()
	group, ctx := errgroup.WithContext(ctx)
	urls := map[string]string{}
	for node, ln := range listeners {
		ns, err := netns.Open(fmt.Sprintf("/proc/%d/fd/%d", pid, lab.Nodes[node]))
		if err != nil {
			return err
		}
		defer ns.Close()
		door, err := demo.Open(ctx, ln, demo.Node{Name: node, Dir: dir, NS: ns}, password)
		if err != nil {
			return err
		}
		urls[node] = door.URL
		group.Go(func() error { return door.Serve(ctx) })
	}
	fmt.Fprintf(a.stdout, demoText, urls["lb1"], urls["lb2"], demo.User, password, filepath.Dir(dir))
	return group.Wait()
}

// standing waits until a run keeps its lab for people.
func standing(ctx context.Context, dir string) bool {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if s, err := harness.ReadStanding(dir); err == nil && s.Held {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

const demoText = `
The deployment of the guide runs. Open in a browser on this machine (the certificates are
self-signed, so it will warn):

  Primary    %s
  Secondary  %s
  Username   %s
  Password   %s

Try:
  - Drain or halt a real server in the System Overview and watch the connections.
  - Details of a health check: what was sent, what came back.
  - Change a virtual service, look at Commit changes, apply it with auto-rollback.
  - High-Availability Configuration: release, and see the other node take over.
  - A command inside: vosbed shell lb1 -- lbctl status      (runs are in %s)

Ctrl-C ends it.
`
