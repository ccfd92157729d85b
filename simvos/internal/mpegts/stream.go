package mpegts

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/vosbed/vosbed/simvos/control"
	"github.com/vosbed/vosbed/simvos/internal/ledger"
	"github.com/vosbed/vosbed/simvos/internal/media"
	"github.com/vosbed/vosbed/simvos/internal/sock"
)

// writeTimeout ends a client that takes nothing any more.
const writeTimeout = 30 * time.Second

// Shared is what every transport stream service of a node needs.
type Shared struct {
	Live   *media.Source
	Ledger *ledger.Ledger
	Faults *control.FaultBoard
	// Source returns the local address to answer from, given the address that
	// the client used and its service.
	Source func(used netip.Addr, service string) netip.Addr
}

// TCP sends the stream to whoever connects.
type TCP struct {
	Shared
	ln net.Listener
}

// OpenTCP binds the port.
func OpenTCP(ctx context.Context, s Shared, o sock.Opener, port uint16) (*TCP, error) {
	ln, err := o.ListenTCP(ctx, port)
	if err != nil {
		return nil, err
	}
	return &TCP{Shared: s, ln: ln}, nil
}

// Addr is the listen address.
func (t *TCP) Addr() net.Addr { return t.ln.Addr() }

// Serve streams until ctx ends and cuts all streams then.
func (t *TCP) Serve(ctx context.Context) error { return sock.ServeTCP(ctx, t.ln, t.serve) }

func (t *TCP) serve(ctx context.Context, conn *net.TCPConn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // the client says nothing, so a read ends when it goes away
		defer cancel()
		_, _ = io.Copy(io.Discard, conn)
	}()
	client := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr()
	t.stream(ctx, bounded{conn, conn.SetWriteDeadline}, t.Ledger.Entry(control.ServiceTSTCP, client), control.ServiceTSTCP)
}

// bounded gives every write its own deadline, so that a client with a closed window
// does not hold its goroutine for ever.
type bounded struct {
	w        io.Writer
	deadline func(time.Time) error
}

func (b bounded) Write(p []byte) (int, error) {
	if err := b.deadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return b.w.Write(p)
}

// stream writes frames until the client is gone.
func (s Shared) stream(ctx context.Context, w io.Writer, e ledger.Entry, service string) {
	e.Open()
	defer e.Close()
	view := s.Live.Watch()
	defer view.Close()
	for {
		select {
		case f := <-view.C:
			if s.Faults.Has(control.MediaDead, service) {
				continue
			}
			if _, err := w.Write(f.TS); err != nil {
				return
			}
			e.Sent(len(f.TS)/packetSize, len(f.TS))
		case <-ctx.Done():
			return
		}
	}
}

// HTTP returns the handler of the stream over HTTP.
func (s Shared) HTTP() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "video/mp2t")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusOK)
		rc := http.NewResponseController(w)
		if rc.Flush() != nil {
			return
		}
		ap, _ := netip.ParseAddrPort(r.RemoteAddr)
		e := s.Ledger.Entry(control.ProtoTSHTTP, ap.Addr())
		s.stream(r.Context(), bounded{flushing{w, rc}, rc.SetWriteDeadline}, e, control.ServiceHTTP)
	})
}

// flushing sends each frame at once.
type flushing struct {
	w  io.Writer
	rc *http.ResponseController
}

func (f flushing) Write(b []byte) (int, error) {
	n, err := f.w.Write(b)
	if err != nil {
		return n, err
	}
	return n, f.rc.Flush()
}
