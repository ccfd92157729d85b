package mpegts

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vosbed/vosbed/simvos/control"
	"github.com/vosbed/vosbed/simvos/internal/ledger"
	"github.com/vosbed/vosbed/simvos/internal/sock"
)

const (
	// maxStreams bounds the senders that an Ingest tells apart.
	maxStreams = 4096
	// silence ends the stream of a sender, which says no good-bye.
	silence = 10 * time.Second
	// sweepPeriod is how often silent streams are looked for.
	sweepPeriod = time.Second
	// rtpHeader is the length of an RTP header without extensions; its first byte is
	// never that of a transport stream.
	rtpHeader = 12
)

// Ingest receives transport streams over UDP, plain or in RTP, and counts what
// is missing.
type Ingest struct {
	Shared
	sock *sock.UDP

	mu      sync.Mutex
	streams map[netip.AddrPort]*stream
}

// stream is what is known of one sender.
type stream struct {
	entry      ledger.Entry
	continuity Continuity
	heard      time.Time
}

// OpenIngest binds the port.
func OpenIngest(ctx context.Context, s Shared, o sock.Opener, port uint16) (*Ingest, error) {
	u, err := o.ListenUDP(ctx, port)
	if err != nil {
		return nil, err
	}
	return newIngest(s, u), nil
}

func newIngest(s Shared, u *sock.UDP) *Ingest {
	return &Ingest{Shared: s, sock: u, streams: make(map[netip.AddrPort]*stream)}
}

// Addr is the listen address.
func (i *Ingest) Addr() net.Addr { return i.sock.Addr() }

// Serve receives until ctx ends and ends all streams then.
func (i *Ingest) Serve(ctx context.Context) error {
	defer i.endAll()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return i.sock.Each(ctx, maxDatagram, func(b []byte, d sock.Datagram) { i.receive(d.From, b, time.Now()) })
	})
	g.Go(func() error { return i.sweep(ctx) })
	return g.Wait()
}

// receive counts one datagram.
func (i *Ingest) receive(from netip.AddrPort, b []byte, now time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	s := i.stream(from)
	s.heard = now
	if len(b)%packetSize == rtpHeader && b[0]>>6 == 2 {
		b = b[rtpHeader:]
	}
	for ; len(b) >= packetSize; b = b[packetSize:] {
		missing, ok := s.continuity.Packet(b[:packetSize])
		if !ok {
			break
		}
		s.entry.Received(1, packetSize)
		s.entry.Lost(missing)
	}
	if len(b) > 0 {
		s.entry.Stray()
	}
}

// stream finds or begins the stream of a sender; i.mu is held.
func (i *Ingest) stream(from netip.AddrPort) *stream {
	s := i.streams[from]
	if s != nil {
		return s
	}
	if len(i.streams) >= maxStreams {
		i.drop(func(*stream) bool { return true })
	}
	s = &stream{entry: i.Ledger.Entry(control.ServiceTSIngest, from.Addr())}
	s.entry.Open()
	i.streams[from] = s
	return s
}

// sweep ends streams that have fallen silent, until ctx ends.
func (i *Ingest) sweep(ctx context.Context) error {
	tick := time.NewTicker(sweepPeriod)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			i.expire(now)
		case <-ctx.Done():
			return nil
		}
	}
}

// expire ends the streams of which nothing was heard for long.
func (i *Ingest) expire(now time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.drop(func(s *stream) bool { return now.Sub(s.heard) > silence })
}

func (i *Ingest) endAll() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.drop(func(*stream) bool { return true })
}

// drop ends the streams that over names; i.mu is held.
func (i *Ingest) drop(over func(*stream) bool) {
	for from, s := range i.streams {
		if over(s) {
			delete(i.streams, from)
			s.entry.Close()
		}
	}
}
