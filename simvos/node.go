// Package simvos is a simulated Harmonic VOS server: its management status
// over HTTP and HTTPS, RTSP, RTMP and MPEG-TS media without an encoder, and
// responders that say which server a packet reached. Everything it sends
// carries the server's identity.
//
// A [Node] lives in one network namespace and keeps no state outside itself,
// so one process may run many. It prepares its namespace for Direct Routing
// (guide, section 8.2), or leaves the ARP problem unsolved on purpose, and it
// misbehaves on command (package control).
package simvos

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vosbed/vosbed/simvos/control"
	"github.com/vosbed/vosbed/simvos/internal/hostnet"
	"github.com/vosbed/vosbed/simvos/internal/identity"
	"github.com/vosbed/vosbed/simvos/internal/ledger"
	"github.com/vosbed/vosbed/simvos/internal/media"
	"github.com/vosbed/vosbed/simvos/internal/mgmt"
	"github.com/vosbed/vosbed/simvos/internal/mpegts"
	"github.com/vosbed/vosbed/simvos/internal/sock"
)

// Node is one simulated server.
type Node struct {
	o        Options
	log      *slog.Logger
	identity *identity.Identity
	tls      *tls.Config
	opener   sock.Opener
	ledger   ledger.Ledger
	faults   control.FaultBoard
	live     *media.Source
	services *services
	ready    chan struct{}
	// rips are the node's own addresses, found when it starts.
	rips atomic.Pointer[[]netip.Addr]
}

var _ control.Node = (*Node)(nil)

// New makes a node. It opens nothing yet.
func New(o Options) (*Node, error) {
	o, err := o.normalize()
	if err != nil {
		return nil, fmt.Errorf("simvos options: %w", err)
	}
	now := time.Now()
	id, err := identity.New(o.Name, o.ID, now)
	if err != nil {
		return nil, err
	}
	cert, err := mgmt.SelfSigned(o.Name, slices.Concat(o.RIPs, o.VIPs), now)
	if err != nil {
		return nil, err
	}
	return &Node{
		o: o, log: o.Logger, identity: id, tls: cert,
		opener:   sock.Opener{Do: o.Namespace},
		services: &services{},
		live:     media.NewSource(id, mpegts.NewMuxer(o.Name, o.ID)),
		ready:    make(chan struct{}),
	}, nil
}

// Ready returns a channel that is closed once every listener is up.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// Faults returns the node's fault board.
func (n *Node) Faults() *control.FaultBoard { return &n.faults }

// Settle waits until the listeners follow the fault board.
func (n *Node) Settle(ctx context.Context) error { return n.services.settle(ctx, &n.faults) }

// Status returns the node's present state and its ledger.
func (n *Node) Status() control.Status {
	return control.Status{
		Name: n.o.Name, ID: n.o.ID, Epoch: n.identity.Epoch,
		UptimeMS: n.identity.Uptime().Milliseconds(),
		RIPs:     n.own(), VIPs: n.o.VIPs, ARP: string(n.o.ARP),
		Services:  n.services.list(),
		Faults:    n.faults.List(),
		Protocols: n.ledger.Totals(),
		Clients:   n.ledger.Clients(),
	}
}

// Run prepares the namespace, opens every listener and serves until ctx ends.
// It takes back the virtual addresses that it added. A Node runs once.
func (n *Node) Run(ctx context.Context) (err error) {
	undo, err := n.prepare()
	if err != nil {
		return err
	}
	defer func() {
		if uerr := n.o.Namespace(undo); err == nil {
			err = uerr
		}
	}()
	return n.serve(ctx)
}

// serve opens everything and runs it.
func (n *Node) serve(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	if err := n.services.openAll(n.build(ctx)); err != nil {
		return err
	}
	ctl, err := n.openControl(ctx)
	if err != nil {
		n.services.closeAll()
		return err
	}
	announce, err := n.openAnnouncer()
	if err != nil {
		n.services.closeAll()
		return err
	}
	for _, s := range n.services.all {
		g.Go(func() error { return s.run(ctx, n) })
	}
	g.Go(func() error { return n.live.Run(ctx) })
	g.Go(func() error { return ctl(ctx) })
	g.Go(func() error { return announce(ctx) })
	close(n.ready)
	return g.Wait()
}

// prepare sets up addresses and warns of what will bite later.
func (n *Node) prepare() (func() error, error) {
	undo := func() error { return nil }
	err := n.o.Namespace(func() error {
		n.warnOverlap()
		if err := n.findOwn(); err != nil {
			return err
		}
		if len(n.o.VIPs) == 0 {
			return nil
		}
		u, err := hostnet.Setup(hostnet.Config{Iface: n.o.Iface, VIPs: n.o.VIPs, ARP: n.o.ARP}, n.log)
		if err == nil {
			undo = u
		}
		return err
	})
	return undo, err
}

// findOwn finds the node's own addresses unless they were given.
func (n *Node) findOwn() error {
	rips := n.o.RIPs
	if len(rips) == 0 && n.o.Iface != "" {
		found, err := hostnet.OwnAddrs(n.o.Iface, n.o.VIPs)
		if err != nil {
			return err
		}
		rips = found
	}
	n.rips.Store(&rips)
	return nil
}

// own returns the node's own addresses, none before it has started.
func (n *Node) own() []netip.Addr {
	if p := n.rips.Load(); p != nil {
		return *p
	}
	return nil
}

// warnOverlap tells when outgoing connections may take the ports of services.
func (n *Node) warnOverlap() {
	if n.o.Ports.RTSP == 0 {
		return
	}
	got, err := hostnet.EphemeralOverlap(n.o.Ports.RTPLow, n.o.Ports.RTPHigh)
	switch {
	case err != nil:
		n.log.Warn("cannot tell whether outgoing connections may take the ports of services", "err", err)
	case got != "":
		n.log.Warn("net.ipv4.ip_local_port_range overlaps the RTP ports: outgoing connections may take them and SETUP will fail; set it below",
			"range", got, "rtp_low", n.o.Ports.RTPLow, "rtp_high", n.o.Ports.RTPHigh)
	}
}

// openAnnouncer returns the task that claims the VIPs, when the node is to do that.
func (n *Node) openAnnouncer() (func(context.Context) error, error) {
	if n.o.ARP != ARPUnsolved || len(n.o.VIPs) == 0 {
		return func(context.Context) error { return nil }, nil
	}
	var a *hostnet.Announcer
	err := n.o.Namespace(func() (err error) {
		a, err = hostnet.OpenAnnouncer(n.o.Iface, n.o.VIPs)
		return err
	})
	if err != nil {
		return nil, err
	}
	return a.Run, nil
}

// source returns the address from which UDP leaves, given the one that the
// client used: the same, unless the node is to use its own.
func (n *Node) source(used netip.Addr, service string) netip.Addr {
	if !n.faults.Has(control.WrongSource, service) {
		return used
	}
	for _, rip := range n.own() {
		if rip.Is4() == used.Is4() {
			return rip
		}
	}
	return netip.Addr{}
}
