package traffic

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/vosbed/vosbed/simvos/control"
)

// Layout of MPEG-TS (ISO/IEC 13818-1 section 2.4.3).
const (
	tsSize = control.TSPacketSize
	tsSync = 0x47
	tsNull = 0x1fff
)

// frameRate is that of simvos's live programme, and of what is published, per second.
const (
	frameRate   = 25
	framePeriod = time.Second / frameRate
)

// Receiving over UDP: a client asks for the stream again and again, as long as it
// wants it (simvos forgets it after ten seconds).
const (
	tsRequest = "TS"
	tsRenew   = time.Second
	// tsDatagram holds the largest datagram.
	tsDatagram = 1 << 16
)

// runTS receives MPEG-TS over TCP (default, port 61000) or UDP (port 61001) on Flows
// connections. Over UDP it takes what comes from the very address and port that it
// asked. Its metrics begin with "ts"; ts_lost counts packets that the continuity
// counters miss.
func runTS(ctx context.Context, a *agent) error {
	play := playTS
	switch a.Transport {
	case "", "tcp":
	case "udp":
		play = playTSUDP
	default:
		return fmt.Errorf("transport is %q: use tcp or udp", a.Transport)
	}
	s := &stream{agent: a, name: "ts", period: framePeriod}
	s.play = func(ctx context.Context, w *watcher) error {
		return play(ctx, w, question{dialer: dialer{w.client}, to: a.target})
	}
	return s.run(ctx)
}

// playTS receives until the connection ends.
func playTS(ctx context.Context, w *watcher, q question) error {
	c, err := q.tcp(ctx, q.to.addr.String())
	if err != nil {
		return err
	}
	defer bounded(ctx, c)()
	d := newDemuxer()
	packet := make([]byte, tsSize)
	for {
		if _, err := io.ReadFull(c, packet); err != nil {
			return err
		}
		if err := d.packet(packet, w); err != nil {
			return err
		}
	}
}

// playTSUDP asks for the stream and receives it until ctx ends or nobody listens
// there.
func playTSUDP(ctx context.Context, w *watcher, q question) error {
	c, err := q.udp(ctx, q.to.addr.String())
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer bounded(ctx, c)()
	asking, stop := context.WithCancel(ctx)
	defer stop()
	wg.Go(func() {
		for more := true; more; more = wait(asking, tsRenew) {
			// One that fails shows in the reader, or in that nothing comes.
			_, _ = io.WriteString(c, tsRequest)
		}
	})
	d := newDemuxer()
	buf := make([]byte, tsDatagram)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return err
		}
		for packet := range slices.Chunk(buf[:n], tsSize) {
			if err := d.packet(packet, w); err != nil {
				return err
			}
		}
	}
}

// demuxer checks continuity and finds the marker that simvos sends with every
// frame, each within one packet.
type demuxer struct {
	last map[uint16]byte // PID: continuity counter
	// Since the marker before.
	size, lost int
}

func newDemuxer() *demuxer { return &demuxer{last: make(map[uint16]byte)} }

// packet takes one packet and tells w of the frame that it completes.
func (d *demuxer) packet(p []byte, w *watcher) error {
	if len(p) != tsSize || p[0] != tsSync {
		return fmt.Errorf("MPEG-TS out of step: a packet of %d bytes starts with %#02x", len(p), p[0])
	}
	d.size += len(p)
	d.lost += d.missing(p)
	if m, ok := control.MarkerInTS(p); ok {
		w.arrived(d.size, &m, d.lost)
		d.size, d.lost = 0, 0
	}
	return nil
}

// missing returns how many packets of its PID are missing before this one. A burst
// of a multiple of 16 of them goes unseen.
func (d *demuxer) missing(p []byte) int {
	pid := uint16(p[1]&0x1f)<<8 | uint16(p[2])
	if pid == tsNull || p[3]&0x10 == 0 {
		return 0
	}
	jump := p[3]&0x20 != 0 && p[4] > 0 && p[5]&0x80 != 0
	cc := p[3] & 0x0f
	before, known := d.last[pid]
	d.last[pid] = cc
	if !known || cc == before || jump {
		return 0
	}
	return int(cc-before-1) & 0x0f
}
