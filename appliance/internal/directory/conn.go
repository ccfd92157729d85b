package directory

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/go-ldap/ldap/v3"
	"golang.org/x/sys/unix"
)

// Bounds in bytes: of all that a directory says in one check, and of the file with
// certificates.
const (
	mostAnswer = 256 << 10
	mostCA     = 1 << 20
)

// dial connects to a server; nothing has been said when passwords would be read by others
// and that is not allowed.
func (d *directory) dial(ctx context.Context, server string) (*ldap.Conn, error) {
	u, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	secure := u.Scheme == "ldaps"
	if !secure && !d.Settings.StartTLS && !d.Settings.Insecure {
		return nil, errors.New("it would read passwords as plain text: use ldaps:// or start_tls: true")
	}
	cfg, err := d.tls(u.Hostname())
	if err != nil {
		return nil, err
	}
	raw, err := open(ctx, net.JoinHostPort(u.Hostname(), port(u)))
	if err != nil {
		return nil, err
	}
	if secure {
		raw, err = encrypt(ctx, raw, cfg)
	}
	if err != nil {
		return nil, err
	}
	conn := ldap.NewConn(raw, secure)
	conn.Start()
	if !secure && d.Settings.StartTLS {
		if err := conn.StartTLS(cfg); err != nil {
			return nil, errors.Join(fmt.Errorf("StartTLS: %w", err), ignoreClosed(conn.Close()))
		}
	}
	return conn, nil
}

// ignoreClosed: a connection that failed may have ended by itself.
func ignoreClosed(error) error { return nil }

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "ldaps":
		return "636"
	}
	return "389"
}

// tls verifies the server's name and certificate, always.
func (d *directory) tls(host string) (*tls.Config, error) {
	cfg := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if d.Settings.CAFile == "" {
		return cfg, nil
	}
	data, err := readFile(d.Settings.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read ca_file: %w", err)
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("ca_file %s holds no certificate (PEM)", d.Settings.CAFile)
	}
	return cfg, nil
}

// readFile reads a file and never waits: a pipe would keep a login for ever.
func readFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, cmp.Or(err, errors.New(path+" is no file"))
	}
	return io.ReadAll(io.LimitReader(f, mostCA))
}

func encrypt(ctx context.Context, raw net.Conn, cfg *tls.Config) (net.Conn, error) {
	conn := tls.Client(raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("TLS: %w", err), ignoreClosed(raw.Close()))
	}
	return conn, nil
}

// open connects within the bounds of a check: the connection ends with ctx, whatever is
// being waited for.
func open(ctx context.Context, addr string) (net.Conn, error) {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if end, bounded := ctx.Deadline(); bounded {
		if err := raw.SetDeadline(end); err != nil {
			return nil, errors.Join(err, raw.Close())
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	return &bounded{Conn: raw, left: mostAnswer, stop: stop}, nil
}

// bounded is a connection that says only so much.
type bounded struct {
	net.Conn
	left int
	stop func() bool
}

// errTooMuch ends a connection on which the other side never stops.
var errTooMuch = errors.New("the server's answer is too long")

// Read fails once the bound is reached.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooMuch
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// Close ends it.
func (b *bounded) Close() error {
	b.stop()
	return b.Conn.Close()
}
