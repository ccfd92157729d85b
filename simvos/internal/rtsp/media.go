package rtsp

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/vosbed/vosbed/simvos/internal/media"
	"github.com/vosbed/vosbed/simvos/internal/sock"
)

const (
	rtpHeaderSize = 12
	maxDatagram   = 2048
)

// sender is the state of what a track sends.
type sender struct {
	seq            uint16
	offset         uint32 // RTP time stamp of the node's start
	packets, bytes uint32
	last           uint32 // time stamp last sent
}

// receiver is the state of what a track receives, used by the one goroutine
// that reads it.
type receiver struct {
	started bool
	ssrc    uint32
	highest uint16
}

// stream sends the live programme until ctx ends, with sender reports.
func (s *session) stream(ctx context.Context) {
	view := s.c.server.o.Live.Watch()
	defer view.Close()
	var reported time.Time
	var buf []byte
	for {
		select {
		case f := <-view.C:
			if s.c.server.dead() {
				continue
			}
			for _, t := range s.tracks {
				buf = t.sendFrame(buf[:0], f)
				if now := time.Now(); now.Sub(reported) >= reportPeriod {
					reported = now
					t.sendReport(now)
				}
			}
		case <-ctx.Done():
			return
		}
	}
}

// sendFrame sends one frame and returns the buffer for the next.
func (t *track) sendFrame(buf []byte, f *media.Frame) []byte {
	t.send.last = uint32(f.Ticks()) + t.send.offset
	for i, payload := range f.RTP {
		start := len(buf)
		if t.t.tcp {
			buf = append(buf, '$', byte(t.t.ports[0]))
			buf = binary.BigEndian.AppendUint16(buf, uint16(rtpHeaderSize+len(payload)))
		}
		buf = t.appendHeader(buf, i == len(f.RTP)-1)
		buf = append(buf, payload...)
		t.send.packets++
		t.send.bytes += uint32(len(payload))
		if !t.t.tcp {
			t.sendTo(t.pair.rtp, buf[start:], t.t.ports[0])
			buf = buf[:start]
		}
	}
	if t.t.tcp && t.s.c.write(buf) == nil {
		t.s.entry.Sent(len(f.RTP), len(buf))
	}
	return buf
}

// appendHeader appends the RTP header of the next packet.
func (t *track) appendHeader(b []byte, last bool) []byte {
	kind := byte(payloadType)
	if last {
		kind |= 0x80
	}
	b = append(b, 0x80, kind)
	b = binary.BigEndian.AppendUint16(b, t.send.seq)
	b = binary.BigEndian.AppendUint32(b, t.send.last)
	t.send.seq++
	return binary.BigEndian.AppendUint32(b, t.ssrc)
}

// sendTo sends a datagram to a port of the client from the address that it
// used. One that cannot be sent is lost, as on any network.
func (t *track) sendTo(from *sock.UDP, b []byte, port uint16) {
	c := t.s.c
	to := netip.AddrPortFrom(c.remote, port)
	if from.Write(b, to, c.server.o.Source(c.local, serviceName)) == nil && from == t.pair.rtp {
		t.s.entry.Sent(1, len(b))
	}
}

// sendReport sends an RTCP sender report.
func (t *track) sendReport(now time.Time) {
	t.sendRTCP(&rtcp.SenderReport{
		SSRC: t.ssrc, NTPTime: ntp(now), RTPTime: t.send.last,
		PacketCount: t.send.packets, OctetCount: t.send.bytes,
	}, &rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{
		Source: t.ssrc,
		Items:  []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: t.s.c.server.o.Identity.Name}},
	}}})
}

func (t *track) sendRTCP(packets ...rtcp.Packet) {
	b, err := rtcp.Marshal(packets)
	if err != nil {
		return
	}
	if !t.t.tcp {
		t.sendTo(t.pair.rtcp, b, t.t.ports[1])
		return
	}
	head := []byte{'$', byte(t.t.ports[1])}
	head = binary.BigEndian.AppendUint16(head, uint16(len(b)))
	_ = t.s.c.write(append(head, b...))
}

// ntp is the time as a 64-bit NTP time stamp (RFC 3550 section 4).
func ntp(now time.Time) uint64 {
	const toUnix = 2208988800
	frac := uint64(now.Nanosecond()) << 32 / uint64(time.Second)
	return uint64(now.Unix()+toUnix)<<32 | frac
}

// report sends empty receiver reports to a publisher until ctx ends. They keep
// its side of the session alive; what arrived stands in the ledger.
func (s *session) report(ctx context.Context) {
	tick := time.NewTicker(reportPeriod)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if s.c.server.dead() {
				continue
			}
			for _, t := range s.tracks {
				t.sendRTCP(&rtcp.ReceiverReport{SSRC: t.ssrc})
			}
		case <-ctx.Done():
			return
		}
	}
}

// readRTP reads the RTP port: media of a publisher, or the empty packets with
// which a player opens its firewall.
func (t *track) readRTP() {
	defer close(t.drained)
	readAll(t.pair.rtp, t.drained, func(b []byte, from netip.Addr) {
		switch {
		case !t.s.isClient(from):
			t.s.c.server.o.Ledger.Entry(t.s.proto(), from).Stray()
		case t.s.recording:
			t.s.c.touch()
			t.receive(b)
		}
	})
}

// readRTCP reads the RTCP port; reports of the client keep the session alive.
func (t *track) readRTCP() {
	readAll(t.pair.rtcp, nil, func(_ []byte, from netip.Addr) {
		if t.s.isClient(from) {
			t.s.c.touch()
		}
	})
}

// readAll reads datagrams until the socket is closed. When the socket's deadline has
// passed it handles what has arrived by then, says so to drained and reads on.
func readAll(u *sock.UDP, drained chan<- struct{}, handle func(b []byte, from netip.Addr)) {
	buf := make([]byte, maxDatagram)
	for {
		n, d, err := u.Read(buf)
		switch {
		case err == nil:
			handle(buf[:n], d.From.Addr())
		case errors.Is(err, os.ErrDeadlineExceeded):
			if u.SetReadDeadline(time.Time{}) != nil {
				return
			}
			u.Arrived(buf, func(b []byte, d sock.Datagram) { handle(b, d.From.Addr()) })
			drained <- struct{}{}
		case errors.Is(err, net.ErrClosed), !sock.IsPassing(err):
			return
		}
	}
}

// drain counts what a publisher has sent by now. It lies in the sockets when their
// readers had no processor yet, although the request to end came later.
func (s *session) drain() {
	if !s.recording || !s.busy() {
		return
	}
	soon := time.Now().Add(lateMedia)
	for _, t := range s.tracks {
		if t.pair != nil {
			// One that fails is closed, and so is its reader's channel.
			_ = t.pair.rtp.SetReadDeadline(soon)
		}
	}
	for _, t := range s.tracks {
		if t.pair != nil {
			<-t.drained
		}
	}
}

// receive counts one RTP packet of a publisher. A packet that comes late
// counts as lost and as received.
func (t *track) receive(b []byte) {
	var h rtp.Header
	if _, err := h.Unmarshal(b); err != nil {
		t.s.entry.Stray()
		return
	}
	if !t.s.busy() {
		return
	}
	t.s.entry.Received(1, len(b))
	r := &t.recv
	if !r.started || r.ssrc != h.SSRC {
		*r = receiver{started: true, ssrc: h.SSRC, highest: h.SequenceNumber}
		return
	}
	ahead := h.SequenceNumber - r.highest
	if ahead == 0 || ahead >= 1<<15 {
		return // a repetition, or late
	}
	t.s.entry.Lost(int(ahead) - 1)
	r.highest = h.SequenceNumber
}

// interleaved takes a frame from the control connection.
func (s *session) interleaved(f *frame) {
	for _, t := range s.tracks {
		if t.t.tcp && s.recording && uint16(f.channel) == t.t.ports[0] {
			t.receive(f.data)
		}
	}
}
