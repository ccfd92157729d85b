package probe

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/vosbed/vosbed/simvos/control"
	"github.com/vosbed/vosbed/simvos/internal/sock"
)

// Bounds of a connection's silence. Without them a client that is gone without a word,
// or keeps its window closed, would hold its goroutine for ever.
const (
	// readTimeout is how long a client may ask nothing: far more than any load waits.
	readTimeout = 10 * time.Minute
	// writeTimeout is how long a client may take nothing.
	writeTimeout = 30 * time.Second
)

// conn is a client's connection, each read and write of which has a deadline of its
// own.
type conn struct {
	*net.TCPConn
	read, write time.Duration
}

func bounded(c *net.TCPConn) conn { return conn{c, readTimeout, writeTimeout} }

// Read reads what the client says.
func (c conn) Read(b []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.read)); err != nil {
		return 0, err
	}
	return c.TCPConn.Read(b)
}

// Write sends b.
func (c conn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.write)); err != nil {
		return 0, err
	}
	return c.TCPConn.Write(b)
}

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

func (t *TCP) serve(_ context.Context, tcp *net.TCPConn) { t.answer(bounded(tcp)) }

// answer answers requests until the client is gone.
func (t *TCP) answer(conn conn) {
	e := t.Ledger.Entry(control.ServiceProbeTCP, remote(conn.TCPConn))
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
