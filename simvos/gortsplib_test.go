package simvos_test

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtp"

	"github.com/vosbed/vosbed/simvos/control"
)

// watcher collects the markers of a stream.
type watcher struct {
	mu      sync.Mutex
	markers []control.Marker
}

func (w *watcher) nal(n []byte) {
	if m, ok := control.MarkerInNAL(n); ok {
		w.mu.Lock()
		w.markers = append(w.markers, m)
		w.mu.Unlock()
	}
}

func (w *watcher) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.markers)
}

// unbroken checks that every marker is of the server and follows the one before.
func (w *watcher) unbroken(t *testing.T, server uint16) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, m := range w.markers {
		if m.Server != server {
			t.Errorf("marker %d is of server %d, want %d", i, m.Server, server)
		}
		if i > 0 && m.Counter != w.markers[i-1].Counter+1 {
			t.Errorf("marker %d after %d", m.Counter, w.markers[i-1].Counter)
		}
	}
}

// TestPlayByGortsplib is the second opinion on RTSP: an independent client that
// takes media only from the address that SETUP promised.
func TestPlayByGortsplib(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	for name, protocol := range map[string]gortsplib.Protocol{"udp": gortsplib.ProtocolUDP, "tcp": gortsplib.ProtocolTCP} {
		t.Run(name, func(t *testing.T) {
			c := l.rtsp(protocol)
			u, err := base.ParseURL("rtsp://192.168.94.110/live")
			must(t, err)
			c.Scheme, c.Host = u.Scheme, u.Host
			must(t, c.Start())
			defer c.Close()
			desc, _, err := c.Describe(u)
			must(t, err)
			var video *format.H264
			medium := desc.FindFormat(&video)
			if medium == nil {
				t.Fatal("no H.264 in the description")
			}
			_, err = c.Setup(desc.BaseURL, medium, 0, 0)
			must(t, err)
			w := &watcher{}
			c.OnPacketRTP(medium, video, func(p *rtp.Packet) { w.nal(p.Payload) })
			_, err = c.Play(nil)
			must(t, err)
			eventually(t, "25 frames", func() bool { return w.count() >= 25 })
			_, err = c.Pause()
			must(t, err)
			w.unbroken(t, 115)
			_, err = c.Play(nil)
			must(t, err)
			seen := w.count()
			eventually(t, "frames after PAUSE and PLAY", func() bool { return w.count() > seen+5 })
		})
	}
	c := l.status(t).Client(clientIP, control.ProtoRTSPPlay)
	if c.Sessions != 2 || c.SentPackets == 0 {
		t.Errorf("ledger %+v, want two sessions and packets", c)
	}
}

// rtsp returns a client whose sockets are in the client's namespace.
func (l *lab) rtsp(p gortsplib.Protocol) *gortsplib.Client {
	return &gortsplib.Client{
		Protocol: &p,
		DialContext: func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
			err = l.client.Do(func() error {
				var d net.Dialer
				conn, err = d.DialContext(ctx, network, addr)
				return err
			})
			return conn, err
		},
		ListenPacket: func(network, addr string) (pc net.PacketConn, err error) {
			err = l.client.Do(func() error {
				var lc net.ListenConfig
				pc, err = lc.ListenPacket(context.Background(), network, addr)
				return err
			})
			return pc, err
		},
	}
}

// TestRecordByGortsplib publishes over UDP and checks the ledger to the packet.
func TestRecordByGortsplib(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	c := l.rtsp(gortsplib.ProtocolUDP)
	h264 := &format.H264{PayloadTyp: 96, PacketizationMode: 1}
	medium := &description.Media{Type: description.MediaTypeVideo, Formats: []format.Format{h264}}
	must(t, c.StartRecording("rtsp://192.168.94.110/in/two", &description.Session{Medias: []*description.Media{medium}}))
	defer c.Close()
	for seq := range uint16(40) {
		if seq == 20 || seq == 21 {
			continue // two packets that never left
		}
		p := &rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 96, SequenceNumber: seq, SSRC: 1}, Payload: []byte{1, 2, 3}}
		must(t, c.WritePacketRTP(medium, p))
	}
	eventually(t, "38 packets received", func() bool {
		return l.status(t).Client(clientIP, control.ProtoRTSPRecord).ReceivedPackets == 38
	})
	if got := l.status(t).Client(clientIP, control.ProtoRTSPRecord); got.Lost != 2 || got.Active != 1 || got.Sessions != 1 {
		t.Errorf("ledger %+v, want 2 lost and one active session", got)
	}
}
