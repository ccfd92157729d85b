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

	"github.com/vosbed/vosbed/appliance/internal/mgmt"
	"github.com/vosbed/vosbed/internal/devtls"
)

// management opens the API's listeners and returns their tasks.
func (a *Appliance) management(ctx context.Context) ([]task, error) {
	cfg, _ := a.facts.current()
	addrs := cfg.Node.Management
	cert, err := a.certificate(addrs)
	if err != nil {
		return nil, err
	}
	b := backend{a}
	server, err := mgmt.New(mgmt.Options{
		Backend: mgmt.Backend{Status: b, Operator: b, Table: b, Config: b},
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
	for _, addr := range addrs {
		ln, err := listenFree(ctx, addr)
		if err != nil {
			return nil, errors.Join(err, socket.Close())
		}
		tasks = append(tasks, task{"management " + addr.String(), func(ctx context.Context) error {
			return server.ServeTLS(ctx, ln, cert)
		}})
	}
	return tasks, nil
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
func listenFree(ctx context.Context, addr netip.AddrPort) (net.Listener, error) {
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
	return ln, nil
}
