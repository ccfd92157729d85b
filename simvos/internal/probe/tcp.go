package probe

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/netip"

	"github.com/vosbed/vosbed/simvos/control"
	"github.com/vosbed/vosbed/simvos/internal/sock"
)

// TCP is the responder of TCP probes: the frames of the UDP probe over
// connections that live as long as the client wants.
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

// Serve answers until ctx ends and closes all connections then.
func (t *TCP) Serve(ctx context.Context) error { return sock.ServeTCP(ctx, t.ln, t.serve) }

func (t *TCP) serve(_ context.Context, conn *net.TCPConn) {
	e := t.Ledger.Entry(control.ServiceProbeTCP, remote(conn))
	e.Open()
	defer e.Close()
	r := bufio.NewReaderSize(conn, 64*control.ProbeRequestSize)
	out := make([]byte, 0, 64*control.ProbeReplySize)
	for n := uint64(1); ; n++ {
		req, err := r.Peek(control.ProbeRequestSize)
		if err != nil || !control.IsProbeRequest(req) {
			return
		}
		e.Received(1, len(req))
		if !t.Faults.Has(control.MediaDead, control.ServiceProbeTCP) {
			out = control.AppendProbeReply(out, req, t.Identity.Marker(n))
			e.Sent(1, control.ProbeReplySize)
		}
		_, _ = r.Discard(control.ProbeRequestSize)
		if r.Buffered() >= control.ProbeRequestSize && len(out)+control.ProbeReplySize <= cap(out) {
			continue // more requests are here: answer them with one write
		}
		if !flush(conn, &out) {
			return
		}
	}
}

// flush writes and empties the buffer; false when the connection is gone.
func flush(w io.Writer, out *[]byte) bool {
	_, err := w.Write(*out)
	*out = (*out)[:0]
	return err == nil
}

// remote is the client's address.
func remote(conn *net.TCPConn) netip.Addr {
	return conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
}
