// Package mpegts makes, checks, serves and receives MPEG transport streams
// (ISO/IEC 13818-1).
package mpegts

import (
	"encoding/binary"

	"github.com/vosbed/vosbed/simvos/control"
	"github.com/vosbed/vosbed/simvos/internal/media"
)

const packetSize = control.TSPacketSize

// PIDs of the stream.
const (
	pidPAT   = 0
	pidSDT   = 0x11
	pidPMT   = 0x1000
	pidVideo = 0x100
	pidKLV   = control.TSMarkerPID
	pidNull  = 0x1fff
)

const (
	programNumber = 1
	streamH264    = 0x1b
	streamPrivate = 0x06
	// registrationKLVA is the only registration of a private stream with which
	// ffmpeg's probing ends at once; with an unknown one it waits for long.
	registrationKLVA = "KLVA"
	// decodeDelay is the time from a frame's PCR to its PTS in 90 kHz ticks.
	decodeDelay = 9000
	clockMask   = 1<<33 - 1
)

// Muxer makes the transport stream of one node. PAT and PMT come with every
// other frame (80 ms), SDT with every key frame, a PCR with every frame. It is
// not safe for concurrent use.
type Muxer struct {
	pat, pmt, sdt []byte
	cc            map[uint16]byte
}

var _ media.Muxer = (*Muxer)(nil)

// NewMuxer returns the muxer of the server with that name and id. The id is
// the transport_stream_id, "simvos-NAME" the service name.
func NewMuxer(name string, id uint16) *Muxer {
	return &Muxer{pat: pat(id), pmt: pmt(), sdt: sdt(name, id), cc: make(map[uint16]byte)}
}

// Mux returns the frame as whole packets.
func (m *Muxer) Mux(f *media.Frame, mark control.Marker) []byte {
	var out []byte
	if f.Counter%2 == 0 || f.Key {
		out = m.section(out, pidPAT, m.pat)
		out = m.section(out, pidPMT, m.pmt)
	}
	if f.Key {
		out = m.section(out, pidSDT, m.sdt)
	}
	clock := f.Ticks() & clockMask
	pts := (clock + decodeDelay) & clockMask
	video := appendStartCode(pesHeader(0xe0, pts, 0), media.AUD())
	for _, n := range f.NALs {
		video = appendStartCode(video, n)
	}
	out = m.pes(out, pidVideo, video, adaptation(clock, f.Key))
	klv := append([]byte(control.TSMarkerKey), control.MarkerSize)
	klv = mark.AppendTo(klv)
	return m.pes(out, pidKLV, append(pesHeader(0xbd, pts, len(klv)), klv...), nil)
}

func appendStartCode(b, nal []byte) []byte {
	return append(append(b, 0, 0, 0, 1), nal...)
}

// header appends the four bytes of a packet header and counts its continuity.
func (m *Muxer) header(out []byte, pid uint16, start, adapted bool) []byte {
	b1 := byte(pid >> 8)
	if start {
		b1 |= 0x40
	}
	b3 := 0x10 | m.cc[pid]
	if adapted {
		b3 |= 0x20
	}
	m.cc[pid] = (m.cc[pid] + 1) & 0x0f
	return append(out, 0x47, b1, byte(pid), b3)
}

// section appends a table that fits into one packet.
func (m *Muxer) section(out []byte, pid uint16, table []byte) []byte {
	out = append(m.header(out, pid, true, false), 0)
	out = append(out, table...)
	return fill(out)
}

// fill completes the last packet with 0xff.
func fill(out []byte) []byte {
	for len(out)%packetSize != 0 {
		out = append(out, 0xff)
	}
	return out
}

// pes appends a PES packet; af is the adaptation field of its first packet
// without the length byte, nil for none.
func (m *Muxer) pes(out []byte, pid uint16, data, af []byte) []byte {
	for start := true; len(data) > 0; start, af = false, nil {
		room := packetSize - 4
		if af != nil {
			room -= 1 + len(af)
		}
		n := min(len(data), room)
		stuffing := room - n
		out = m.header(out, pid, start, af != nil || stuffing > 0)
		out = appendAdaptation(out, af, stuffing)
		out = append(out, data[:n]...)
		data = data[n:]
	}
	return out
}

// appendAdaptation appends the adaptation field af, made longer by so many
// bytes of stuffing.
func appendAdaptation(out, af []byte, stuffing int) []byte {
	if af == nil && stuffing == 0 {
		return out
	}
	if af == nil { // the length byte is the first byte of stuffing, the flags the second
		stuffing--
		if stuffing == 0 {
			return append(out, 0)
		}
		af = []byte{0}
		stuffing--
	}
	out = append(out, byte(len(af)+stuffing))
	out = append(out, af...)
	for range stuffing {
		out = append(out, 0xff)
	}
	return out
}

// adaptation is the field with the PCR and, for a key frame, the random access
// indicator.
func adaptation(clock uint64, key bool) []byte {
	flags := byte(0x10)
	if key {
		flags |= 0x40
	}
	b := binary.BigEndian.AppendUint64([]byte{flags}, clock<<31|0x3f<<25)
	return b[:7]
}

// pesHeader is the start of a PES packet with a time stamp and the data
// alignment flag. Video leaves the length open (payload 0).
func pesHeader(stream byte, pts uint64, payload int) []byte {
	length := 0
	if payload > 0 {
		length = payload + 8
	}
	b := []byte{0, 0, 1, stream, byte(length >> 8), byte(length), 0x84, 0x80, 5}
	return append(b,
		0x21|byte(pts>>29)&0x0e,
		byte(pts>>22), 0x01|byte(pts>>14)&0xfe,
		byte(pts>>7), 0x01|byte(pts<<1))
}
