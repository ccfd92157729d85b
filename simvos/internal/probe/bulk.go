package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/simvos/control"
	"github.com/vosbed/vosbed/simvos/internal/ledger"
	"github.com/vosbed/vosbed/simvos/internal/sock"
)

// bulkChunk is the size of one read or write of a bulk stream in bytes.
const bulkChunk = 256 << 10

// Bulk is the source and sink of throughput streams. It is made so cheap that
// the network, not this end, is what gets measured.
type Bulk struct {
	Shared
	ln   net.Listener
	data []byte
}

// OpenBulk binds the port.
func OpenBulk(ctx context.Context, s Shared, o sock.Opener, port uint16) (*Bulk, error) {
	ln, err := o.ListenTCP(ctx, port)
	if err != nil {
		return nil, err
	}
	return &Bulk{Shared: s, ln: ln, data: make([]byte, bulkChunk)}, nil
}

// Addr is the listen address.
func (b *Bulk) Addr() net.Addr { return b.ln.Addr() }

// Serve runs streams until ctx ends and cuts them then.
func (b *Bulk) Serve(ctx context.Context) error { return sock.ServeTCP(ctx, b.ln, b.serve) }

func (b *Bulk) serve(_ context.Context, tcp *net.TCPConn) { b.transfer(bounded(tcp)) }

// transfer does what the client asks for.
func (b *Bulk) transfer(conn conn) {
	e := b.Ledger.Entry(control.ServiceBulk, remote(conn.TCPConn))
	e.Open()
	defer e.Close()
	var head [control.BulkRequestSize]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return
	}
	req, err := control.DecodeBulkRequest(head[:])
	if err != nil {
		return
	}
	if req.Mode == control.Download {
		b.download(conn, req.Bytes, e)
		return
	}
	n := upload(conn, req.Bytes, e)
	_, _ = conn.Write(binary.BigEndian.AppendUint64(nil, n))
}

// download writes n bytes, or without end when n is 0.
func (b *Bulk) download(w io.Writer, n uint64, e ledger.Entry) {
	for left := n; n == 0 || left > 0; {
		chunk := b.data
		if n > 0 && left < uint64(len(chunk)) {
			chunk = chunk[:left]
		}
		k, err := w.Write(chunk)
		e.Sent(1, k)
		left -= uint64(k)
		if err != nil {
			return
		}
	}
}

// upload discards n bytes, or all until the client closes its side when n is
// 0, and returns how many came. MSG_TRUNC makes TCP drop them in the kernel
// without a copy, see tcp(7).
func upload(conn conn, n uint64, e ledger.Entry) uint64 {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	var total uint64
	buf := make([]byte, bulkChunk)
	for n == 0 || total < n {
		want := buf
		if n > 0 {
			want = buf[:min(uint64(len(buf)), n-total)]
		}
		if conn.SetReadDeadline(time.Now().Add(conn.read)) != nil {
			return total
		}
		k, err := discard(raw, want)
		if err != nil || k == 0 {
			return total
		}
		total += uint64(k)
		e.Received(1, k)
	}
	return total
}

// rawReader is the part of syscall.RawConn that discard needs.
type rawReader interface {
	Read(f func(fd uintptr) bool) error
}

func discard(raw rawReader, b []byte) (int, error) {
	var k int
	var inner error
	err := raw.Read(func(fd uintptr) bool {
		for inner = unix.EINTR; errors.Is(inner, unix.EINTR); {
			k, _, inner = unix.Recvfrom(int(fd), b, unix.MSG_TRUNC)
		}
		return !errors.Is(inner, unix.EAGAIN)
	})
	return k, errors.Join(err, inner)
}
