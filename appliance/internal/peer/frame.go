package peer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"time"

	"github.com/vosbed/vosbed/appliance/lb"
)

// Frame kinds. A frame is length (4 bytes, of what follows), kind (1), sequence
// number (8) and body; all integers big endian.
const (
	frameHello    byte = iota + 1 // JSON hello
	frameSnapshot                 // entries
	frameEnd                      // the snapshot is complete
	frameDelta                    // entries
	frameAck                      // the sequence number is the highest applied
	frameClear                    // JSON clearing
	framePing
	frameDocument // a document's name and one part
)

const (
	frameHead = 4 + 1 + 8
	// maxFrame bounds what a peer can make this node allocate.
	maxFrame = 256 << 10
	// batch is the most entries of one frame; with the longest names they fit.
	batch = 400
	// maxName is the longest service, server or table name on the wire, in bytes.
	maxName = 255
)

var errFrame = errors.New("malformed replication frame")

// frame is one decoded frame; body is valid until the next read.
type frame struct {
	kind byte
	seq  uint64
	body []byte
}

// newFrame builds a frame; body appends the content.
func newFrame(kind byte, seq uint64, body func([]byte) []byte) []byte {
	b := []byte{0, 0, 0, 0, kind}
	b = binary.BigEndian.AppendUint64(b, seq)
	if body != nil {
		b = body(b)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// readFrame reads into buf, growing it within bounds, and returns it for reuse.
func readFrame(r io.Reader, buf []byte) (frame, []byte, error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, buf, err
	}
	n := int64(binary.BigEndian.Uint32(head[:])) - (frameHead - 4)
	if n < 0 || n > maxFrame {
		return frame{}, buf, fmt.Errorf("%w: a body of %d bytes", errFrame, n)
	}
	if int64(cap(buf)) < n {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	if _, err := io.ReadFull(r, buf); err != nil {
		return frame{}, buf, err
	}
	return frame{head[4], binary.BigEndian.Uint64(head[5:]), buf}, buf, nil
}

// appendEntries encodes entries of one table: table name, count, and per entry
// service, server, client address, and idle time in milliseconds rounded up.
func appendEntries(b []byte, table string, entries []lb.PersistenceEntry) []byte {
	b = appendName(b, table)
	b = binary.BigEndian.AppendUint16(b, uint16(len(entries)))
	for _, e := range entries {
		b = appendName(b, e.Service)
		b = appendName(b, e.Server)
		addr := e.Client.WithZone("").AsSlice()
		b = append(b, byte(len(addr)))
		b = append(b, addr...)
		b = binary.BigEndian.AppendUint32(b, millis(e.Idle))
	}
	return b
}

func millis(d time.Duration) uint32 {
	ms := (max(d, 0) + time.Millisecond - 1) / time.Millisecond
	return uint32(min(ms, math.MaxUint32))
}

func appendName(b []byte, s string) []byte {
	s = s[:min(len(s), maxName)]
	b = append(b, byte(len(s)))
	return append(b, s...)
}

// reader takes fields from a body and remembers that one was missing.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n > len(r.b) {
		r.bad = true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) name() string {
	n := r.take(1)
	if r.bad {
		return ""
	}
	return string(r.take(int(n[0])))
}

func (r *reader) uint(n int) uint64 {
	var v uint64
	for _, c := range r.take(n) {
		v = v<<8 | uint64(c)
	}
	return v
}

func (r *reader) addr() netip.Addr {
	n := r.take(1)
	if r.bad {
		return netip.Addr{}
	}
	a, ok := netip.AddrFromSlice(r.take(int(n[0])))
	r.bad = r.bad || !ok
	return a
}

// decodeEntries is the inverse of appendEntries.
func decodeEntries(body []byte) (table string, entries []lb.PersistenceEntry, err error) {
	r := &reader{b: body}
	table = r.name()
	n := int(r.uint(2))
	if r.bad || n > batch {
		return "", nil, fmt.Errorf("%w: %d entries", errFrame, n)
	}
	entries = make([]lb.PersistenceEntry, 0, n)
	for range n {
		e := lb.PersistenceEntry{Service: r.name(), Server: r.name(), Client: r.addr()}
		e.Idle = time.Duration(r.uint(4)) * time.Millisecond
		if r.bad {
			return "", nil, fmt.Errorf("%w: cut short", errFrame)
		}
		entries = append(entries, e)
	}
	if len(r.b) > 0 {
		return "", nil, fmt.Errorf("%w: %d bytes too many", errFrame, len(r.b))
	}
	return table, entries, nil
}
