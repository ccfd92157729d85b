package traffic

import (
	"bufio"
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/simvos/control"
)

// sei is an SEI message with a marker that needs no emulation prevention.
func sei(server uint16) []byte {
	m := control.Marker{Server: server, Epoch: 0x0101010101010101, Counter: 0x0101010101010101, Monotonic: 0x0101010101010101}
	b := append([]byte{6, 5, byte(len(control.MarkerUUID) + control.MarkerSize)}, control.MarkerUUID...)
	return append(m.AppendTo(b), 0x80)
}

func TestMarkerInRTP(t *testing.T) {
	n := sei(0x1234)
	stap := append([]byte{24, 0, 2, 0x41, 9, 0, byte(len(n))}, n...)
	tests := []struct {
		name string
		in   []byte
		want bool
	}{
		{"single unit", n, true},
		{"aggregated", stap, true},
		{"cut short", stap[:20], false},
		{"slice", []byte{0x41, 1, 2}, false},
		{"empty", nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, ok := markerInRTP(tt.in)
			if ok != tt.want || (ok && m.Server != 0x1234) {
				t.Errorf("%+v %t, want %t", m, ok, tt.want)
			}
		})
	}
}

func TestSequence(t *testing.T) {
	var s sequence
	for i, step := range []struct {
		ssrc uint32
		seq  uint16
		want int
	}{{1, 65534, 0}, {1, 65535, 0}, {1, 0, 0}, {1, 3, 2}, {1, 2, 0}, {1, 3, 0}, {1, 4, 0}, {2, 900, 0}, {2, 902, 1}} {
		if got := s.next(step.ssrc, step.seq); got != step.want {
			t.Errorf("step %d: %d missing, want %d", i, got, step.want)
		}
	}
}

// tsPacket is a packet of a PID.
func tsPacket(pid uint16, cc byte, payload []byte) []byte {
	p := slices.Repeat([]byte{0xff}, tsSize)
	copy(p, []byte{tsSync, byte(pid >> 8), byte(pid), 0x10 | cc&0x0f})
	copy(p[4:], payload)
	return p
}

// klv is the marker of a frame as it travels in a transport stream.
func klv(server uint16) []byte {
	b := append([]byte(control.TSMarkerKey), control.MarkerSize)
	return control.Marker{Server: server}.AppendTo(b)
}

// TestDemuxer sends two frames of a picture of one packet each, as simvos's are that
// repeat the picture before: each is one arrival, whatever its size.
func TestDemuxer(t *testing.T) {
	const video = 0x100
	out := make(chan observe.Record, 100)
	w := &watcher{s: &stream{agent: newAgent(Spec{Name: "ts"}, out), name: "ts", period: framePeriod}}
	w.watchdog = time.AfterFunc(time.Hour, func() {})
	defer w.watchdog.Stop()
	d := newDemuxer()
	for _, p := range [][]byte{
		tsPacket(video, 1, nil), tsPacket(control.TSMarkerPID, 1, klv(77)),
		tsPacket(video, 4, nil), tsPacket(tsNull, 9, nil), tsPacket(control.TSMarkerPID, 2, klv(77)),
		tsPacket(video, 5, nil),
	} {
		if err := d.packet(p, w); err != nil {
			t.Fatal(err)
		}
	}
	if w.server != 77 || w.frames != 2 || w.lost != 2 || w.bytes != 5*tsSize {
		t.Errorf("server %d, %d frames, %d lost, %d bytes; want 77, 2, 2 and five packets", w.server, w.frames, w.lost, w.bytes)
	}
	for _, bad := range [][]byte{make([]byte, tsSize), {tsSync}} {
		if err := d.packet(bad, w); err == nil {
			t.Errorf("%d bytes were taken for a packet", len(bad))
		}
	}
}

func TestReadDescription(t *testing.T) {
	for in, want := range map[string]uint16{
		"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\nv=0\r\ns=simvos HT1 115\r\n": 115,
		"RTSP/1.0 404 Not Found\r\n\r\n":                                0,
		"RTSP/1.0 200 OK\r\n\r\ns=other\r\n":                            0,
		"":                                                              0,
	} {
		got, err := readDescription(bufio.NewReader(strings.NewReader(in)))
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %d, %v", in, got, err)
		}
	}
}

func FuzzNetworkParsers(f *testing.F) {
	f.Add(sei(1))
	f.Add(tsPacket(control.TSMarkerPID, 1, klv(2)))
	f.Add([]byte("RTSP/1.0 200 OK\r\ns=simvos x 1\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, ok := markerInRTP(b); ok && len(b) < control.MarkerSize {
			t.Errorf("marker %+v in %d bytes", m, len(b))
		}
		d := newDemuxer()
		for chunk := range slices.Chunk(b, tsSize) {
			_ = d.packet(chunk, &watcher{})
		}
		if id, err := readDescription(bufio.NewReader(bytes.NewReader(b))); err != nil && id != 0 {
			t.Errorf("id %d with error %v", id, err)
		}
	})
}
