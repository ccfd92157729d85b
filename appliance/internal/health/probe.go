package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
)

// prober makes single checks; it has no state.
type prober struct {
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	dialVIA func(ctx context.Context, vip, rip netip.Addr, port uint16) (net.Conn, error)
	ping    func(ctx context.Context, addr netip.Addr) error
}

func newProber(o Options) prober {
	p := prober{dial: o.Dial, dialVIA: o.DialVIA, ping: o.Ping}
	if p.dial == nil {
		// Keep-alive probes make no sense on a connection that lives for one request.
		p.dial = (&net.Dialer{KeepAlive: -1}).DialContext
	}
	if p.ping == nil {
		p.ping = ping
	}
	return p
}

// Check makes one check of p at once, beside the schedule and without effect on any
// state: for "try this check" in pages and tools. It ends within p.Check.Timeout.
func (e *Engine) Check(ctx context.Context, p plan.Probe) lb.Verdict { return e.check(ctx, p).Verdict }

// finding is what a check found out.
type finding struct {
	lb.Verdict

	short bool // failed for want of something of this host: it says nothing about the server
}

// check makes one check, directly and then, if wanted, through the VIP.
func (p prober) check(ctx context.Context, probe plan.Probe) finding {
	if fixed, up := fixedState(probe.Check.Kind); fixed {
		w := watch{probe: probe}
		w.setFixed(up)
		return finding{Verdict: w.health.Last}
	}
	ctx, cancel := context.WithTimeout(ctx, probe.Check.Timeout)
	defer cancel()
	direct := p.attempt(ctx, probe.Target, probe.Check, func(ctx context.Context) (net.Conn, error) {
		return p.dial(ctx, "tcp", netip.AddrPortFrom(probe.Target, probe.Port).String())
	})
	if !direct.OK || !p.throughVIP(probe) {
		return direct
	}
	via, possible := p.viaVIP(ctx, probe)
	if possible && (!via.OK || probe.Served) {
		return via
	}
	direct.ViaVIP = possible // and the direct answer says more than that the VIP is there
	return direct
}

func (p prober) throughVIP(probe plan.Probe) bool {
	k := probe.Check.Kind
	return probe.Check.ThroughVIP && probe.VIP.IsValid() && p.dialVIA != nil &&
		(k == lb.CheckNegotiate || k == lb.CheckConnect)
}

// viaVIP finds a server that answers on its own address but not on the VIP: clients
// of Direct Routing would get nothing. A port that clients use there must pass the
// whole check. Another one, such as 8443 of a service for media streams, need not be
// open there: accepting and refusing prove alike that the server has the VIP. It is
// not possible where the network does not allow it.
func (p prober) viaVIP(ctx context.Context, probe plan.Probe) (via finding, possible bool) {
	check := probe.Check
	if !probe.Served {
		check.Kind = lb.CheckConnect
	}
	var dialed error
	via = p.attempt(ctx, probe.VIP, check, func(ctx context.Context) (conn net.Conn, err error) {
		conn, dialed = p.dialVIA(ctx, probe.VIP, probe.Target, probe.Port)
		return conn, dialed
	})
	via.ViaVIP = true
	switch {
	case !probe.Served && errors.Is(dialed, syscall.ECONNREFUSED):
		via.OK, via.Failed = true, ""
	case !via.OK && !via.short:
		via.Failed = fmt.Sprintf("%s answers on its own address but not as the VIP %s (is the VIP on its loopback? guide 8.2): %s",
			probe.Target, probe.VIP, via.Failed)
	}
	return via, !errors.Is(dialed, errors.ErrUnsupported)
}

// attempt makes one check of addr over the connection that dial opens.
func (p prober) attempt(ctx context.Context, addr netip.Addr, c lb.HealthCheck, dial func(context.Context) (net.Conn, error)) finding {
	start := time.Now()
	v := finding{Verdict: lb.Verdict{At: start, Target: c.Target(addr)}}
	var err error
	if c.Kind == lb.CheckPing {
		v.Sent = "ICMP echo"
		err = p.ping(ctx, addr)
		v.FirstByte = time.Since(start)
	} else {
		err = exchange(ctx, &v.Verdict, addr, c, dial)
	}
	v.Total = time.Since(start)
	if err != nil {
		v.Failed, v.short = explain(err, c.Timeout), shortage(err) != ""
	}
	v.OK = v.Failed == ""
	return v
}

// exchange connects and, for a negotiate check, sends the request.
func exchange(ctx context.Context, v *lb.Verdict, addr netip.Addr, c lb.HealthCheck, dial func(context.Context) (net.Conn, error)) error {
	v.Sent = "SYN"
	conn, err := dial(ctx)
	v.Connect = time.Since(v.At)
	if err != nil {
		return stageError{"connecting", err}
	}
	defer func() { _ = conn.Close() }()
	if c.Kind == lb.CheckConnect {
		return nil
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return stageError{"setting a deadline", err}
		}
	}
	// A check that is no longer wanted ends at once.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	return negotiate(ctx, conn, v, addr, c)
}

// stageError says during which part of a check something went wrong.
type stageError struct {
	stage string
	err   error
}

func (e stageError) Error() string { return e.stage + ": " + e.err.Error() }

func (e stageError) Unwrap() error { return e.err }

// shortage names what of this host a check was in want of, "" = nothing.
func shortage(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRNOTAVAIL): // connect(2): all ports of the range are in use
		return "this node has no free port or no address towards the server"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "this node has no free descriptor"
	case errors.Is(err, syscall.ENOBUFS), errors.Is(err, syscall.ENOMEM):
		return "this node is out of kernel memory"
	}
	return ""
}

// explain puts an error into words that are the same each time: no local port, no
// address, so that a repeated failure reads as one. They are short, whatever the
// server said.
func explain(err error, timeout time.Duration) string {
	stage := ""
	if s, ok := errors.AsType[stageError](err); ok {
		stage = " while " + s.stage
		err = s.err
	}
	if short := shortage(err); short != "" {
		return short + stage
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Sprintf("no answer within %v%s", timeout, stage)
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused" + stage
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the server reset the connection" + stage
	case errors.Is(err, syscall.EHOSTUNREACH):
		return "no route to the server (does its address answer ARP?)" + stage
	case errors.Is(err, syscall.ENETUNREACH):
		return "network unreachable" + stage
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		return "not permitted" + stage + ": " + err.Error()
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	return clipped(err.Error()) + stage
}
