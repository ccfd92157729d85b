package rtsp

import (
	"bufio"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/vosbed/vosbed/simvos/control"
	"github.com/vosbed/vosbed/simvos/internal/identity"
	"github.com/vosbed/vosbed/simvos/internal/ledger"
	"github.com/vosbed/vosbed/simvos/internal/media"
	"github.com/vosbed/vosbed/simvos/internal/sock"
)

const (
	// sessionTimeout is how long a client may be silent, on the control
	// connection and in RTP and RTCP alike (RFC 2326 section 12.37).
	sessionTimeout = 60 * time.Second
	// idleCheck is how often silence is looked at.
	idleCheck = 5 * time.Second
	// writeTimeout ends a client that no longer reads, messageTimeout one that does
	// not finish what it says.
	writeTimeout   = 10 * time.Second
	messageTimeout = 10 * time.Second
	// lateMedia is how long a recording that ends waits for media that was sent
	// before and took longer than the request to end it.
	lateMedia = 20 * time.Millisecond
	// reportPeriod is the time between RTCP reports.
	reportPeriod = 5 * time.Second
)

// Options is what a Server is made of.
type Options struct {
	Identity *identity.Identity
	Live     *media.Source
	Ledger   *ledger.Ledger
	Faults   *control.FaultBoard
	Logger   *slog.Logger
	// Source returns the local address to send from, given the address that
	// the client used and its service.
	Source func(used netip.Addr, service string) netip.Addr
	Port   uint16
	// Low and High bound the pool of RTP and RTCP ports, both included.
	Low, High uint16
}

// Server is the RTSP service.
type Server struct {
	o            Options
	ln           net.Listener
	pool         *pool
	writeTimeout time.Duration
}

// Open binds the control port.
func Open(ctx context.Context, o Options, op sock.Opener) (*Server, error) {
	ln, err := op.ListenTCP(ctx, o.Port)
	if err != nil {
		return nil, err
	}
	return &Server{o: o, ln: ln, pool: newPool(op, o.Low, o.High), writeTimeout: writeTimeout}, nil
}

// Addr is the listen address of the control port.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Serve runs sessions until ctx ends and cuts them then.
func (s *Server) Serve(ctx context.Context) error { return sock.ServeTCP(ctx, s.ln, s.serve) }

func (s *Server) serve(ctx context.Context, tcp *net.TCPConn) {
	c := &conn{
		server: s,
		tcp:    tcp,
		r:      bufio.NewReaderSize(tcp, maxLine),
		local:  tcp.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap(),
		remote: tcp.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap(),
	}
	e := s.o.Ledger.Entry(control.ServiceRTSP, c.remote)
	e.Open()
	defer e.Close()
	c.run(ctx, e)
}

// dead reports that media must not leave.
func (s *Server) dead() bool { return s.o.Faults.Has(control.MediaDead, control.ServiceRTSP) }
