package simvos_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/simvos/control"
	"github.com/vosbed/vosbed/simvos/internal/mpegts"
)

// readTS reads datagrams until it has n markers, or until d is over, and returns the
// markers; it checks continuity and that only whole packets come.
func readTS(t *testing.T, conn net.Conn, n int, d time.Duration) []control.Marker {
	t.Helper()
	must(t, conn.SetReadDeadline(time.Now().Add(d)))
	var c mpegts.Continuity
	var markers []control.Marker
	buf := make([]byte, 2000)
	for len(markers) < n {
		n, err := conn.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return markers
		}
		must(t, err)
		if n == 0 || n%control.TSPacketSize != 0 {
			t.Fatalf("a datagram of %d bytes", n)
		}
		for b := buf[:n]; len(b) > 0; b = b[control.TSPacketSize:] {
			missing, ok := c.Packet(b[:control.TSPacketSize])
			if !ok || missing != 0 {
				t.Fatalf("%d packets are missing (valid: %t)", missing, ok)
			}
			if m, ok := control.MarkerInTS(b[:control.TSPacketSize]); ok {
				markers = append(markers, m)
			}
		}
	}
	return markers
}

// askTS asks for the stream, as a client does again and again.
func askTS(t *testing.T, conn net.Conn) {
	t.Helper()
	_, err := conn.Write([]byte("TS"))
	must(t, err)
}

func TestTransportStreamOverUDP(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	var asked []net.Conn
	for _, to := range []netip.Addr{vip, vip6} {
		conn := l.dial(t, "udp", to, 61001)
		askTS(t, conn)
		w := &watcher{markers: readTS(t, conn, 30, patience)}
		if w.count() < 30 {
			t.Errorf("%s: %d markers, want 30", to, w.count())
		}
		w.unbroken(t, 115)
		asked = append(asked, conn)
	}
	conn := l.dial(t, "udp", vip, 61001)
	_, err := conn.Write([]byte("hello"))
	must(t, err)
	if m := readTS(t, conn, 1, 600*time.Millisecond); len(m) != 0 {
		t.Error("a datagram that asks for nothing got a stream")
	}
	askTS(t, asked[0])
	eventually(t, "one session and one stray request", func() bool {
		c := l.status(t).Client(clientIP, control.ServiceTSUDP)
		return c.Active == 1 && c.Stray == 1 && c.SentPackets > 0
	})
	// Refused, all sessions end.
	l.fault(t, control.Fault{Kind: control.Refuse, Service: control.ServiceTSUDP})
	if c := l.status(t).Protocols[control.ServiceTSUDP]; c.Active != 0 {
		t.Errorf("ledger %+v, want no session of a service that is closed", c)
	}
}

func TestMediaDead(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	conn := l.dial(t, "udp", vip, 61001)
	askTS(t, conn)
	if len(readTS(t, conn, 1, patience)) == 0 {
		t.Fatal("no stream to begin with")
	}
	l.fault(t, control.Fault{Kind: control.MediaDead})
	var dead unix.Timespec
	must(t, unix.ClockGettime(unix.CLOCK_MONOTONIC, &dead))
	for _, m := range readTS(t, conn, 1000, 500*time.Millisecond) {
		if m.Monotonic > dead.Nano() { // those before were under way
			t.Errorf("a dead stream sent frame %d", m.Counter)
		}
	}
	if got, err := get(t.Context(), l.web(t), "GET", "https://192.168.94.110:8443/admin/status", ""); err != nil || got.body != "Healthy" {
		t.Errorf("status %+v, error %v, want Healthy", got, err)
	}
	must(t, l.control.ClearFaults(t.Context()))
	askTS(t, conn)
	if len(readTS(t, conn, 1, patience)) == 0 {
		t.Error("the stream does not come back")
	}
}

func TestTransportStreamIngest(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	conn := l.dial(t, "udp", vip, 61002)
	packet := func(cc byte) []byte {
		p := make([]byte, control.TSPacketSize)
		p[0], p[1], p[2], p[3] = 0x47, 0x01, 0x00, 0x10|cc&0x0f
		return p
	}
	for cc := range byte(30) {
		if cc == 10 || cc == 11 || cc == 12 {
			continue
		}
		b := packet(cc)
		if cc == 20 { // in RTP
			b = append([]byte{0x80, 33, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1}, b...)
		}
		_, err := conn.Write(b)
		must(t, err)
	}
	_, err := conn.Write([]byte("no transport stream"))
	must(t, err)
	want := control.Counters{Sessions: 1, Active: 1, ReceivedPackets: 27, ReceivedBytes: 27 * 188, Lost: 3, Stray: 1}
	eventually(t, "the ledger to count", func() bool {
		return l.status(t).Client(clientIP, control.ServiceTSIngest) == want
	})
}
