package mpegts

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/simvos/control"
	"github.com/vosbed/vosbed/simvos/internal/media"
)

// frames is a programme of n frames whose sizes differ, so that every amount of
// stuffing comes up.
func frames(n int) []*media.Frame {
	var out []*media.Frame
	for i := range n {
		nal := append([]byte{0x41}, bytes.Repeat([]byte{0xaa}, i)...)
		out = append(out, &media.Frame{Counter: uint64(i), Key: i%media.GOP == 0, NALs: [][]byte{nal}})
	}
	return out
}

// mux returns the packets of the programme, frame by frame.
func mux(t *testing.T, all []*media.Frame) [][][]byte {
	t.Helper()
	m := NewMuxer("HT1", 115)
	var out [][][]byte
	for _, f := range all {
		ts := m.Mux(f, control.Marker{Server: 115, Counter: f.Counter})
		if len(ts)%packetSize != 0 {
			t.Fatalf("frame %d has %d bytes", f.Counter, len(ts))
		}
		var packets [][]byte
		for ; len(ts) > 0; ts = ts[packetSize:] {
			packets = append(packets, ts[:packetSize])
		}
		out = append(out, packets)
	}
	return out
}

func pid(p []byte) uint16 { return binary.BigEndian.Uint16(p[1:]) & 0x1fff }

// payload is what follows the header and the adaptation field.
func payload(p []byte) []byte {
	if p[3]&0x20 == 0 {
		return p[4:]
	}
	return p[5+int(p[4]):]
}

// pcr returns the clock of the packet in 90 kHz ticks.
func pcr(p []byte) (uint64, bool) {
	if p[3]&0x20 == 0 || p[4] < 7 || p[5]&0x10 == 0 {
		return 0, false
	}
	return binary.BigEndian.Uint64(append([]byte{0, 0}, p[6:12]...)) >> 15, true
}

func TestContinuityOfMuxer(t *testing.T) {
	var c Continuity
	for i, packets := range mux(t, frames(400)) {
		for _, p := range packets {
			if missing, ok := c.Packet(p); !ok || missing != 0 {
				t.Fatalf("frame %d: %d packets missing (valid: %t)", i, missing, ok)
			}
		}
	}
}

func TestClockAndTables(t *testing.T) {
	var clocks []uint64
	tables := map[uint16][]int{}
	for i, packets := range mux(t, frames(100)) {
		for _, p := range packets {
			if v, ok := pcr(p); ok {
				clocks = append(clocks, v)
			}
			if id := pid(p); id == pidPAT || id == pidPMT || id == pidSDT {
				tables[id] = append(tables[id], i)
				checkSection(t, p)
			}
		}
	}
	if len(clocks) != 100 {
		t.Errorf("%d PCRs in 100 frames, want one each", len(clocks))
	}
	for i, v := range clocks {
		if v != uint64(i)*media.FrameTicks {
			t.Errorf("PCR %d is %d, want %d", i, v, i*media.FrameTicks)
		}
	}
	for id, longest := range map[uint16]int{pidPAT: 2, pidPMT: 2, pidSDT: media.GOP} {
		last := 0
		for _, at := range tables[id] {
			if at-last > longest {
				t.Errorf("table on PID %#x: %d frames between two, want at most %d", id, at-last, longest)
			}
			last = at
		}
		if len(tables[id]) == 0 {
			t.Errorf("no table on PID %#x", id)
		}
	}
}

// checkSection checks length and checksum: over a whole section it is zero.
func checkSection(t *testing.T, p []byte) {
	t.Helper()
	s := payload(p)[1:]
	length := 3 + int(binary.BigEndian.Uint16(s[1:])&0x0fff)
	if got := crc32MPEG(s[:length]); got != 0 {
		t.Errorf("PID %#x: checksum over the section is %08x, want 0", pid(p), got)
	}
	if rest := bytes.Trim(s[length:], "\xff"); len(rest) > 0 {
		t.Errorf("PID %#x: % x after the section", pid(p), rest)
	}
}

func TestCRC32MPEG(t *testing.T) {
	if got := crc32MPEG([]byte("123456789")); got != 0x0376e6e7 {
		t.Errorf("checksum %08x, want 0376e6e7", got)
	}
}

// TestElementaryStreams takes the stream apart again.
func TestElementaryStreams(t *testing.T) {
	all := frames(400)
	for i, packets := range mux(t, all) {
		var video []byte
		var marker control.Marker
		for _, p := range packets {
			if pid(p) == pidVideo {
				video = append(video, payload(p)...)
			}
			if m, ok := control.MarkerInTS(p); ok {
				marker = m
			}
		}
		header := pesHeader(0xe0, all[i].Ticks()+decodeDelay, 0)
		want := appendStartCode(appendStartCode(header, media.AUD()), all[i].NALs[0])
		if diff := cmp.Diff(want, video); diff != "" {
			t.Fatalf("frame %d (-want +got):\n%s", i, diff)
		}
		if marker.Counter != uint64(i) || marker.Server != 115 {
			t.Fatalf("frame %d carries %+v", i, marker)
		}
	}
}

func TestServiceName(t *testing.T) {
	for _, name := range []string{"HT1", string(bytes.Repeat([]byte{'x'}, 500))} {
		table := sdt(name, 1)
		if len(table) > packetSize-5 {
			t.Errorf("a name of %d bytes makes an SDT of %d", len(name), len(table))
		}
		if !bytes.Contains(table, []byte("simvos-"+name[:3])) {
			t.Errorf("no name in % x", table)
		}
	}
}

func TestContinuity(t *testing.T) {
	packet := func(cc, flags byte) []byte {
		p := make([]byte, packetSize)
		p[0], p[1], p[2], p[3], p[4], p[5] = 0x47, 1, 0, cc|flags, 1, 0
		return p
	}
	broken := packet(9, 0x30)
	broken[5] = 0x80
	for _, tt := range []struct {
		name    string
		packets [][]byte
		missing int
	}{
		{"in order", [][]byte{packet(14, 0x10), packet(15, 0x10), packet(0, 0x10)}, 0},
		{"one missing", [][]byte{packet(1, 0x10), packet(3, 0x10)}, 1},
		{"sent twice", [][]byte{packet(1, 0x10), packet(1, 0x10), packet(2, 0x10)}, 0},
		{"sent three times", [][]byte{packet(1, 0x10), packet(1, 0x10), packet(1, 0x10)}, 15},
		{"no payload", [][]byte{packet(1, 0x10), packet(1, 0x20), packet(2, 0x10)}, 0},
		{"announced break", [][]byte{packet(1, 0x10), broken, packet(10, 0x10)}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c Continuity
			total := 0
			for _, p := range tt.packets {
				missing, ok := c.Packet(p)
				if !ok {
					t.Errorf("% x is no packet", p[:6])
				}
				total += missing
			}
			if total != tt.missing {
				t.Errorf("%d missing, want %d", total, tt.missing)
			}
		})
	}
}

func FuzzContinuity(f *testing.F) {
	f.Add(bytes.Repeat([]byte{0x47}, packetSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		var c Continuity
		if missing, ok := c.Packet(b); missing != 0 || ok != (len(b) == packetSize && b[0] == 0x47) {
			t.Errorf("first packet: %d missing, valid %t", missing, ok)
		}
		control.MarkerInTS(b)
	})
}
