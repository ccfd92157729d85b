// Package mgmt is the management face of a node over HTTP and HTTPS: the
// status that health checks ask for (guide, sections 10.1 and 10.2), the
// node's identity, and a source and a sink of bytes.
package mgmt

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/vosbed/vosbed/simvos/control"
	"github.com/vosbed/vosbed/simvos/internal/identity"
	"github.com/vosbed/vosbed/simvos/internal/ledger"
	"github.com/vosbed/vosbed/simvos/internal/sock"
)

// Healthy is the exact body of a healthy server's status: no newline.
const Healthy = "Healthy"

// ServerHeader is the response header that names the server.
const ServerHeader = "X-Simvos-Server"

// stallTimeout bounds the time in which a transfer moves nothing.
const stallTimeout = time.Minute

// maxBytes bounds one answer of /bytes.
const maxBytes = 1 << 40

// Options is what a Server is made of.
type Options struct {
	Identity *identity.Identity
	Ledger   *ledger.Ledger
	Faults   *control.FaultBoard
	Logger   *slog.Logger
	// Service is control.ServiceHTTP or control.ServiceHTTPS.
	Service string
	Port    uint16
	// TLS, when set, makes the server speak HTTPS only.
	TLS *tls.Config
	// Extra holds further routes: pattern to handler.
	Extra map[string]http.Handler
}

// Server is one listener of the management face.
type Server struct {
	o  Options
	ln net.Listener
}

// Open binds the port.
func Open(ctx context.Context, o Options, op sock.Opener) (*Server, error) {
	ln, err := op.ListenTCP(ctx, o.Port)
	if err != nil {
		return nil, err
	}
	return &Server{o: o, ln: ln}, nil
}

// Addr is the listen address.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Serve answers until ctx ends and closes all connections then.
func (s *Server) Serve(ctx context.Context) error {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	srv := &http.Server{
		Handler:           s.routes(),
		Protocols:         &protocols,
		ReadHeaderTimeout: 30 * time.Second,
		TLSConfig:         s.o.TLS,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnState:         s.count,
		ErrorLog:          slog.NewLogLogger(s.o.Logger.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	err := s.serve(srv)
	if ctx.Err() != nil || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	srv.Close()
	return err
}

func (s *Server) serve(srv *http.Server) error {
	if s.o.TLS != nil {
		return srv.ServeTLS(s.ln, "", "")
	}
	return srv.Serve(s.ln)
}

// count keeps the ledger's sessions: one per connection.
func (s *Server) count(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.entry(conn.RemoteAddr().String()).Open()
	case http.StateClosed, http.StateHijacked:
		s.entry(conn.RemoteAddr().String()).Close()
	case http.StateActive, http.StateIdle:
	}
}

func (s *Server) entry(hostport string) ledger.Entry {
	ap, _ := netip.ParseAddrPort(hostport)
	return s.o.Ledger.Entry(s.o.Service, ap.Addr())
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /admin/status", s.status)
	mux.HandleFunc("GET /admin/identity", s.identity)
	mux.HandleFunc("GET /bytes", s.bytes)
	mux.HandleFunc("POST /sink", s.sink)
	for pattern, h := range s.o.Extra {
		mux.Handle(pattern, h)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(ServerHeader, s.o.Identity.Name)
		mux.ServeHTTP(w, r)
	})
}

// status answers what a health check asks, or misbehaves as the board says.
func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	e := s.entry(r.RemoteAddr)
	e.Received(1, 0)
	if !s.hang(r.Context()) {
		return
	}
	if f, ok := s.o.Faults.Active(control.Slow, s.o.Service); ok && !wait(r.Context(), f.Delay()) {
		return
	}
	body, code := Healthy, http.StatusOK
	if f, ok := s.o.Faults.Active(control.Unhealthy, s.o.Service); ok {
		body = f.Body
		if f.HTTPStatus != 0 {
			code = f.HTTPStatus
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, body)
	e.Sent(1, len(body))
}

// hang waits as long as the server is to hang; false when the client is gone.
func (s *Server) hang(ctx context.Context) bool {
	for {
		changed := s.o.Faults.Changed()
		if !s.o.Faults.Has(control.Hang, s.o.Service) {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *Server) identity(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(struct {
		Name  string `json:"name"`
		ID    uint16 `json:"id"`
		Epoch uint64 `json:"epoch"`
	}{s.o.Identity.Name, s.o.Identity.ID, s.o.Identity.Epoch})
}

// bytes answers n zero bytes.
func (s *Server) bytes(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.URL.Query().Get("n"), 10, 64)
	if err != nil || n < 0 || n > maxBytes {
		http.Error(w, "n must be a number of bytes between 0 and 2^40", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	chunk := make([]byte, min(n, 256<<10))
	e := s.entry(r.RemoteAddr)
	conn := http.NewResponseController(w)
	defer func() { _ = conn.SetWriteDeadline(time.Time{}) }()
	for left := n; left > 0; {
		_ = conn.SetWriteDeadline(time.Now().Add(stallTimeout))
		k, err := w.Write(chunk[:min(left, int64(len(chunk)))])
		e.Sent(1, k)
		left -= int64(k)
		if err != nil {
			return
		}
	}
}

// patientReader gives every read of a body its own deadline.
type patientReader struct {
	io.Reader
	conn *http.ResponseController
}

func (p patientReader) Read(b []byte) (int, error) {
	_ = p.conn.SetReadDeadline(time.Now().Add(stallTimeout))
	return p.Reader.Read(b)
}

// sink swallows the body and answers its length.
func (s *Server) sink(w http.ResponseWriter, r *http.Request) {
	// io.Discard itself would read in small pieces.
	conn := http.NewResponseController(w)
	defer func() { _ = conn.SetReadDeadline(time.Time{}) }()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, patientReader{r.Body, conn}, make([]byte, 256<<10))
	s.entry(r.RemoteAddr).Received(1, int(n))
	if err != nil {
		http.Error(w, "body cut short", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, strconv.FormatInt(n, 10))
}
