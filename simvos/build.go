package simvos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/vosbed/vosbed/simvos/control"
	"github.com/vosbed/vosbed/simvos/internal/mgmt"
	"github.com/vosbed/vosbed/simvos/internal/mpegts"
	"github.com/vosbed/vosbed/simvos/internal/probe"
	"github.com/vosbed/vosbed/simvos/internal/rtmp"
	"github.com/vosbed/vosbed/simvos/internal/rtsp"
)

// build lists the services whose port is not 0.
func (n *Node) build(ctx context.Context) []*service {
	var out []*service
	add := func(name string, port uint16, open func(port uint16) (endpoint, error)) {
		if port != 0 {
			out = append(out, &service{name: name, open: func() (endpoint, error) { return open(port) }})
		}
	}
	p := n.o.Ports
	add(control.ServiceHTTPS, p.HTTPS, func(port uint16) (endpoint, error) {
		return mgmt.Open(ctx, n.mgmtOptions(control.ServiceHTTPS, port), n.opener)
	})
	add(control.ServiceHTTP, p.HTTP, func(port uint16) (endpoint, error) {
		return mgmt.Open(ctx, n.mgmtOptions(control.ServiceHTTP, port), n.opener)
	})
	shared := probe.Shared{Identity: n.identity, Ledger: &n.ledger, Faults: &n.faults, Source: n.source}
	for _, port := range p.ProbeUDP {
		add(control.ServiceProbeUDP, port, func(port uint16) (endpoint, error) {
			return probe.OpenUDP(shared, n.opener, port)
		})
	}
	add(control.ServiceProbeTCP, p.ProbeTCP, func(port uint16) (endpoint, error) {
		return probe.OpenTCP(ctx, shared, n.opener, port)
	})
	add(control.ServiceBulk, p.Bulk, func(port uint16) (endpoint, error) {
		return probe.OpenBulk(ctx, shared, n.opener, port)
	})
	return append(out, n.buildMedia(ctx)...)
}

// buildMedia lists the services that carry video.
func (n *Node) buildMedia(ctx context.Context) []*service {
	ts := n.ts()
	var out []*service
	add := func(name string, port uint16, open func() (endpoint, error)) {
		if port != 0 {
			out = append(out, &service{name: name, open: open})
		}
	}
	p := n.o.Ports
	add(control.ServiceRTSP, p.RTSP, func() (endpoint, error) { return rtsp.Open(ctx, n.rtspOptions(), n.opener) })
	add(control.ServiceRTMP, p.RTMP, func() (endpoint, error) {
		return rtmp.Open(ctx, rtmp.Options{Live: n.live, Ledger: &n.ledger, Faults: &n.faults, Logger: n.log, Port: p.RTMP}, n.opener)
	})
	add(control.ServiceTSTCP, p.TSTCP, func() (endpoint, error) { return mpegts.OpenTCP(ctx, ts, n.opener, p.TSTCP) })
	add(control.ServiceTSUDP, p.TSUDP, func() (endpoint, error) { return mpegts.OpenUDP(ctx, ts, n.opener, p.TSUDP) })
	add(control.ServiceTSIngest, p.TSIngest, func() (endpoint, error) { return mpegts.OpenIngest(ctx, ts, n.opener, p.TSIngest) })
	return out
}

func (n *Node) rtspOptions() rtsp.Options {
	return rtsp.Options{
		Identity: n.identity, Live: n.live, Ledger: &n.ledger, Faults: &n.faults, Logger: n.log,
		Source: n.source, Port: n.o.Ports.RTSP, Low: n.o.Ports.RTPLow, High: n.o.Ports.RTPHigh,
	}
}

func (n *Node) ts() mpegts.Shared {
	return mpegts.Shared{Live: n.live, Ledger: &n.ledger, Faults: &n.faults, Source: n.source}
}

func (n *Node) mgmtOptions(service string, port uint16) mgmt.Options {
	o := mgmt.Options{
		Identity: n.identity, Ledger: &n.ledger, Faults: &n.faults, Logger: n.log,
		Service: service, Port: port,
		Extra: map[string]http.Handler{"GET /live.ts": n.ts().HTTP()},
	}
	if service == control.ServiceHTTPS {
		o.TLS = n.tls
	}
	return o
}

// openControl opens the control socket and returns its task.
func (n *Node) openControl(ctx context.Context) (func(context.Context) error, error) {
	if n.o.Control == "" {
		return func(context.Context) error { return nil }, nil
	}
	if err := removeStale(ctx, n.o.Control); err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "unix", n.o.Control)
	if err != nil {
		return nil, fmt.Errorf("open the control socket: %w", err)
	}
	if err := os.Chmod(n.o.Control, 0o600); err != nil {
		ln.Close()
		return nil, fmt.Errorf("restrict the control socket: %w", err)
	}
	srv := &http.Server{Handler: control.NewHandler(n), ReadHeaderTimeout: 10 * time.Second}
	return func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, func() { srv.Close() })
		defer stop()
		err := srv.Serve(ln)
		if ctx.Err() != nil || errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return fmt.Errorf("control socket: %w", err)
	}, nil
}

// removeStale removes a socket that a killed process left behind; one that
// still answers is somebody else's.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil || info.Mode()&os.ModeSocket == 0 {
		return fmt.Errorf("control socket %s: something else is there", path)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		conn.Close()
		return fmt.Errorf("control socket %s: another simvos answers on it", path)
	}
	return os.Remove(path)
}
