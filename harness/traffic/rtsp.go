package traffic

import (
	"context"
	"fmt"
	"net"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtp"

	"github.com/vosbed/vosbed/simvos/control"
)

// clockRate of H.264 in RTP (RFC 6184 section 8.2.1).
const clockRate = 90000

// runRTSP plays Path (default /live), or records to it with Publish, over UDP
// (default) or interleaved. Over UDP the client accepts media from the very
// address and port that the server named, as a firewall would. Metrics begin
// with "rtsp"; rtsp_lost counts gaps in RTP sequence numbers.
func runRTSP(ctx context.Context, a *agent) error {
	if a.Transport != "" && a.Transport != "udp" && a.Transport != "tcp" {
		return fmt.Errorf("transport is %q: use udp or tcp", a.Transport)
	}
	s := &stream{agent: a, name: "rtsp", period: framePeriod, paced: a.Publish}
	s.play = s.playRTSP
	if a.Publish {
		s.play = s.recordRTSP
	}
	return s.run(ctx)
}

// rtspClient is a client bound to one address.
func (s *stream) rtspClient(ctx context.Context, source string) *gortsplib.Client {
	protocol := gortsplib.ProtocolUDP
	if s.Transport == "tcp" {
		protocol = gortsplib.ProtocolTCP
	}
	return &gortsplib.Client{
		Scheme: "rtsp", Host: s.target.addr.String(), Protocol: &protocol,
		ReadTimeout: s.timeout(sessionDead), WriteTimeout: s.timeout(sessionDead), InitialUDPReadTimeout: s.timeout(sessionDead),
		UserAgent:   "vosbed",
		DialContext: func(c context.Context, _, addr string) (net.Conn, error) { return dialer{source}.tcp(c, addr) },
		ListenPacket: func(network, addr string) (net.PacketConn, error) {
			_, port, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			var lc net.ListenConfig
			return lc.ListenPacket(ctx, network, net.JoinHostPort(source, port))
		},
	}
}

func (s *stream) rtspURL(def string) (*base.URL, error) {
	path := s.Path
	if path == "" {
		path = def
	}
	return base.ParseURL("rtsp://" + s.target.addr.String() + path)
}

// playRTSP plays until the session ends.
func (s *stream) playRTSP(ctx context.Context, w *watcher) error {
	u, err := s.rtspURL("/live")
	if err != nil {
		return err
	}
	c := s.rtspClient(ctx, w.client)
	if err = c.Start(); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, c.Close)()
	defer c.Close()
	desc, _, err := c.Describe(u)
	if err != nil {
		return err
	}
	if err := c.SetupAll(desc.BaseURL, desc.Medias); err != nil {
		return err
	}
	var seq sequence
	c.OnPacketRTPAny(func(_ *description.Media, _ format.Format, p *rtp.Packet) {
		lost := seq.next(p.SSRC, p.SequenceNumber)
		if m, ok := markerInRTP(p.Payload); ok {
			w.arrived(len(p.Payload), &m, lost)
			return
		}
		w.arrived(len(p.Payload), nil, lost)
	})
	if _, err := c.Play(nil); err != nil {
		return err
	}
	return c.Wait()
}

// sequence follows RTP sequence numbers of one source.
type sequence struct {
	known bool
	ssrc  uint32
	last  uint16
}

// next returns how many packets are missing before this one. A late packet and
// a new source miss none.
func (s *sequence) next(ssrc uint32, seq uint16) int {
	ahead := seq - s.last
	if !s.known || ssrc != s.ssrc {
		s.known, s.ssrc, s.last = true, ssrc, seq
		return 0
	}
	if ahead == 0 || ahead >= 1<<15 {
		return 0
	}
	s.last = seq
	return int(ahead) - 1
}

// markerInRTP finds the marker in an RTP payload of H.264: a NAL unit of its own,
// or one of several in an aggregation packet (RFC 6184 section 5.7.1).
func markerInRTP(p []byte) (control.Marker, bool) {
	const stapA = 24
	if len(p) == 0 {
		return control.Marker{}, false
	}
	if p[0]&0x1f != stapA {
		return control.MarkerInNAL(p)
	}
	for rest := p[1:]; len(rest) > 2; {
		n := int(rest[0])<<8 | int(rest[1])
		if n == 0 || n > len(rest)-2 {
			break
		}
		if m, ok := control.MarkerInNAL(rest[2 : 2+n]); ok {
			return m, true
		}
		rest = rest[2+n:]
	}
	return control.Marker{}, false
}

// Parameter sets of the H.264 that publishers announce: baseline, level 4,
// 1920x1080. Nobody decodes what they send.
func parameterSets() (sps, pps []byte) {
	return []byte{
		0x67, 0x42, 0xc0, 0x28, 0xd9, 0x00, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04,
		0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc9, 0x20,
	}, []byte{0x68, 0xce, 0x3c, 0x80}
}

// recordRTSP publishes until the session ends: 25 packets a second.
func (s *stream) recordRTSP(ctx context.Context, w *watcher) error {
	u, err := s.rtspURL(fmt.Sprintf("/publish/%d", w.flow))
	if err != nil {
		return err
	}
	sps, pps := parameterSets()
	media := &description.Media{Type: description.MediaTypeVideo, Formats: []format.Format{
		&format.H264{PayloadTyp: 96, PacketizationMode: 1, SPS: sps, PPS: pps},
	}}
	c := s.rtspClient(ctx, w.client)
	if err = c.Start(); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, c.Close)()
	defer c.Close()
	if err = startRecording(c, u, &description.Session{Medias: []*description.Media{media}}); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	return w.publish(ctx, ended, func(n int) (int, error) {
		p := rtp.Packet{
			Header:  rtp.Header{Version: 2, Marker: true, PayloadType: 96, SequenceNumber: uint16(n), Timestamp: uint32(n) * clockRate / frameRate, SSRC: 0x766f7300 + uint32(w.flow)},
			Payload: slice(n),
		}
		return len(p.Payload), c.WritePacketRTP(media, &p)
	})
}

// startRecording announces, sets up and records.
func startRecording(c *gortsplib.Client, u *base.URL, d *description.Session) error {
	if _, err := c.Announce(u, d); err != nil {
		return err
	}
	if err := c.SetupAll(u, d.Medias); err != nil {
		return err
	}
	_, err := c.Record()
	return err
}

// slice is a coded slice of a frame that nobody decodes: 400 bytes, with an IDR
// slice once a second.
func slice(n int) []byte {
	b := make([]byte, 400)
	b[0] = 0x41
	if n%25 == 0 {
		b[0] = 0x65
	}
	for i := 1; i < len(b); i++ {
		b[i] = byte(i)%200 + 4
	}
	return b
}
