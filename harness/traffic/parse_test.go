package traffic

import (
	"bufio"
	"bytes"
	"slices"
	"strings"
	"testing"

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

// tsPacket is a packet of PID 0x100.
func tsPacket(cc byte, start bool, payload []byte) []byte {
	p := slices.Repeat([]byte{0xff}, tsSize)
	copy(p, []byte{tsSync, 0x01, 0x00, 0x10 | cc})
	if start {
		p[1] |= 0x40
	}
	copy(p[4:], payload)
	return p
}

func TestDemuxer(t *testing.T) {
	d := demuxer{last: make(map[uint16]byte)}
	// The marker begins near the end of one packet and ends in the next.
	long := append(bytes.Repeat([]byte{9}, 170), sei(77)...)
	var lost int
	for _, p := range [][]byte{tsPacket(1, true, long[:184]), tsPacket(2, false, long[184:]), tsPacket(5, false, nil)} {
		n, err := d.packet(p)
		if err != nil {
			t.Fatal(err)
		}
		lost += n
	}
	m, ok := d.marker()
	if !ok || m.Server != 77 || lost != 2 {
		t.Errorf("marker %+v %t, %d lost; want server 77 and 2 lost", m, ok, lost)
	}
	if _, again := d.marker(); again {
		t.Error("the same marker twice")
	}
	if _, err := d.packet(make([]byte, tsSize)); err == nil {
		t.Error("a packet without sync byte was taken")
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
	f.Add(tsPacket(1, true, sei(2)))
	f.Add([]byte("RTSP/1.0 200 OK\r\ns=simvos x 1\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, ok := markerInRTP(b); ok && len(b) < control.MarkerSize {
			t.Errorf("marker %+v in %d bytes", m, len(b))
		}
		d := demuxer{last: make(map[uint16]byte)}
		for chunk := range slices.Chunk(b, tsSize) {
			if len(chunk) == tsSize {
				_, _ = d.packet(chunk)
			}
		}
		d.marker()
		if id, err := readDescription(bufio.NewReader(bytes.NewReader(b))); err != nil && id != 0 {
			t.Errorf("id %d with error %v", id, err)
		}
	})
}
