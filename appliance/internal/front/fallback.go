package front

import (
	"bufio"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"

	"github.com/vosbed/vosbed/appliance/api"
)

// Bounds of the fallback page. All clients of a virtual service come from the proxy, so
// there is no bound for one address.
const (
	fallbackConns   = 1024 // per listener
	fallbackTimeout = 10 * time.Second
	retryAfter      = "30" // s
)

// fallback answers everything with the page: 503, and when to try again.
func fallback(page []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", api.FallbackPolicy)
		h.Set("Content-Length", strconv.Itoa(len(page)))
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Retry-After", retryAfter)
		h.Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(http.StatusServiceUnavailable)
		if r.Method != http.MethodHead {
			_, _ = w.Write(page)
		}
	})
}

// serveFallback serves the page on one port over HTTP and HTTPS, as a virtual service
// passes both on. Every answer closes its connection: the next may find a real server.
func serveFallback(ctx context.Context, ln net.Listener, cert tls.Certificate, h http.Handler, log *slog.Logger) error {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, ReadTimeout: fallbackTimeout, WriteTimeout: fallbackTimeout,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	srv.SetKeepAlivesEnabled(false)
	secure := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	return serve(ctx, srv, bilingual{netutil.LimitListener(ln, fallbackConns), secure})
}

// bilingual is a listener whose connections may begin with TLS.
type bilingual struct {
	net.Listener
	secure *tls.Config
}

// Accept does not wait for the first byte: that is the business of the connection.
func (b bilingual) Accept() (net.Conn, error) {
	c, err := b.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &undecided{Conn: c, secure: b.secure}, nil
}

// undecided is a connection that becomes a TLS one if its first byte says so. It must be
// read before it is written, as every HTTP server does.
type undecided struct {
	net.Conn
	secure *tls.Config
	once   sync.Once
	end    net.Conn // what to read from and write to
	err    error
	tls    atomic.Pointer[tls.Conn] // nil = none, or not known yet
}

// tlsHandshake is the first byte of a TLS client (RFC 8446 5.1: handshake).
const tlsHandshake = 0x16

func (u *undecided) decide() {
	r := bufio.NewReader(u.Conn)
	first, err := r.Peek(1)
	if err != nil {
		u.err = err
		return
	}
	read := &buffered{u.Conn, r}
	u.end = read
	if first[0] == tlsHandshake {
		secured := tls.Server(read, u.secure)
		u.tls.Store(secured)
		u.end = secured
	}
}

// Read decides at the first byte.
func (u *undecided) Read(p []byte) (int, error) {
	if u.once.Do(u.decide); u.err != nil {
		return 0, u.err
	}
	return u.end.Read(p)
}

// Write writes in the client's language.
func (u *undecided) Write(p []byte) (int, error) {
	if u.once.Do(u.decide); u.err != nil {
		return 0, u.err
	}
	return u.end.Write(p)
}

// Close tells a TLS client so; it may come before the first byte.
func (u *undecided) Close() error {
	if secured := u.tls.Load(); secured != nil {
		return secured.Close()
	}
	return u.Conn.Close()
}

// buffered is a connection of which something was read already.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

// Read reads what was read already first.
func (b *buffered) Read(p []byte) (int, error) { return b.r.Read(p) }
