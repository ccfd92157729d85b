package appliance

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/front"
	"github.com/vosbed/vosbed/appliance/internal/mgmt"
	"github.com/vosbed/vosbed/internal/devtls"
)

// management opens the API's sockets and starts the web process; it returns the tasks.
func (a *Appliance) management(ctx context.Context) ([]task, error) {
	cfg, _ := a.facts.current()
	addrs := cfg.Node.Management
	cert, err := a.certificate(addrs)
	if err != nil {
		return nil, err
	}
	people, err := openPeople(a.opts.StateDir)
	if err != nil {
		return nil, err
	}
	b, d := backend{a}, drafts{a}
	server, err := mgmt.New(mgmt.Options{
		Backend: mgmt.Backend{Status: b, Operator: b, Table: b, Config: b, Drafts: d, Past: d, Pairing: a.pairing, Graphs: b, Logs: a.book, Support: &helpdesk{Appliance: a, people: people}, Backups: &backups{Appliance: a, people: people}},
		People:  people,
		Logger:  a.log, Pin: devtls.Pin(cert.Leaf),
		TokenFile: filepath.Join(a.opts.StateDir, "token"),
	})
	if err != nil {
		return nil, err
	}
	socket, err := mgmt.ListenUnix(ctx, a.opts.Socket, 0)
	if err != nil {
		return nil, err
	}
	tasks := []task{{"management socket", func(ctx context.Context) error { return server.ServeUnix(ctx, socket) }}}
	if len(addrs) == 0 {
		return tasks, nil
	}
	more, err := a.webTasks(ctx, server, cert, addrs)
	if err != nil {
		return nil, errors.Join(err, socket.Close())
	}
	return append(tasks, more...), nil
}

// webTasks are the web process and the socket through which it comes.
func (a *Appliance) webTasks(ctx context.Context, server *mgmt.Server, cert tls.Certificate, addrs []netip.AddrPort) ([]task, error) {
	uid, gid, err := webIDs()
	if err != nil {
		return nil, fmt.Errorf("find the user of the web process: %w", err)
	}
	listeners, err := listenAll(ctx, addrs)
	if err != nil {
		return nil, err
	}
	inner, err := mgmt.ListenPrivate(ctx)
	if err != nil {
		return nil, errors.Join(err, closeAll(listeners))
	}
	handle, err := front.New(front.Options{
		Listeners: listeners, Socket: inner.Addr().String(), Cert: cert,
		UID: uint32(uid), GID: uint32(gid), Logger: a.log,
	})
	if err != nil {
		return nil, errors.Join(err, inner.Close())
	}
	a.web.Store(handle)
	return []task{
		{"web socket", func(ctx context.Context) error { return server.ServeWeb(ctx, inner, uid) }},
		{"web process", handle.Run},
	}, nil
}

func listenAll(ctx context.Context, addrs []netip.AddrPort) ([]*net.TCPListener, error) {
	var all []*net.TCPListener
	for _, addr := range addrs {
		ln, err := listenFree(ctx, addr)
		if err != nil {
			return nil, errors.Join(err, closeAll(all))
		}
		all = append(all, ln)
	}
	return all, nil
}

func closeAll(all []*net.TCPListener) error {
	var errs []error
	for _, ln := range all {
		errs = append(errs, ln.Close())
	}
	return errors.Join(errs...)
}

func (a *Appliance) certificate(addrs []netip.AddrPort) (tls.Certificate, error) {
	cfg, _ := a.facts.current()
	names := devtls.Names{Host: cfg.Node.Name}
	for _, addr := range addrs {
		names.Addrs = append(names.Addrs, addr.Addr())
	}
	return devtls.Load(a.opts.StateDir, names, time.Now())
}

// listenFree binds even before the address is there (IP_FREEBIND), as at boot.
func listenFree(ctx context.Context, addr netip.AddrPort) (*net.TCPListener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var serr error
		err := c.Control(func(fd uintptr) {
			serr = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_FREEBIND, 1)
		})
		return errors.Join(err, serr)
	}}
	lc.SetMultipathTCP(false) // Go's default is on; browsers and operators' networks gain nothing by it
	ln, err := lc.Listen(ctx, "tcp", addr.String())
	if err != nil {
		return nil, fmt.Errorf("listen for the management API: %w", err)
	}
	tcp, ok := ln.(*net.TCPListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("listen for the management API: got a %T", ln), ln.Close())
	}
	return tcp, nil
}
