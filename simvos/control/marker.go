package control

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// MarkerSize is the encoded length of a [Marker] in bytes.
const MarkerSize = 36

// MarkerVersion is the only layout version there is.
const MarkerVersion = 1

const markerMagic = "VMRK"

// MarkerUUID names the marker inside an H.264 SEI message "user data
// unregistered" (ITU-T H.264 D.1.7): 16 bytes of UUID, then the marker.
const MarkerUUID = "vosbed-marker-01"

// ErrMarker reports bytes that are not a marker: too short, another magic or
// version, or a checksum that does not match.
var ErrMarker = errors.New("not a simvos marker")

// Marker says which server produced something, and when. The layout is fixed,
// big endian:
//
//	offset size field
//	     0    4 magic "VMRK"
//	     4    1 version, 1
//	     5    1 reserved, 0
//	     6    2 server id
//	     8    8 epoch, Unix time of the server's start in milliseconds
//	    16    8 counter, grows by one per item of the stream
//	    24    8 CLOCK_MONOTONIC of the server in nanoseconds
//	    32    4 CRC-32 (IEEE) of the 32 bytes before
//
// Within one host the monotonic clocks of all servers are the same clock, so
// one-way latency can be computed from it.
type Marker struct {
	Server    uint16 `json:"server"`
	Epoch     uint64 `json:"epoch"`
	Counter   uint64 `json:"counter"`
	Monotonic int64  `json:"monotonic_ns"`
}

// AppendTo appends the MarkerSize bytes of m to b and returns the longer slice.
func (m Marker) AppendTo(b []byte) []byte {
	at := len(b)
	b = append(b, markerMagic...)
	b = append(b, MarkerVersion, 0)
	b = binary.BigEndian.AppendUint16(b, m.Server)
	b = binary.BigEndian.AppendUint64(b, m.Epoch)
	b = binary.BigEndian.AppendUint64(b, m.Counter)
	b = binary.BigEndian.AppendUint64(b, uint64(m.Monotonic))
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[at:]))
}

// DecodeMarker reads a marker from the first MarkerSize bytes of b. The error
// is [ErrMarker], with the reason.
func DecodeMarker(b []byte) (Marker, error) {
	if len(b) < MarkerSize {
		return Marker{}, fmt.Errorf("%w: %d bytes, want %d", ErrMarker, len(b), MarkerSize)
	}
	b = b[:MarkerSize]
	if string(b[:4]) != markerMagic || b[4] != MarkerVersion || b[5] != 0 {
		return Marker{}, fmt.Errorf("%w: starts with % x", ErrMarker, b[:6])
	}
	want, got := binary.BigEndian.Uint32(b[32:]), crc32.ChecksumIEEE(b[:32])
	if want != got {
		return Marker{}, fmt.Errorf("%w: checksum %08x, computed %08x", ErrMarker, want, got)
	}
	return Marker{
		Server:    binary.BigEndian.Uint16(b[6:]),
		Epoch:     binary.BigEndian.Uint64(b[8:]),
		Counter:   binary.BigEndian.Uint64(b[16:]),
		Monotonic: int64(binary.BigEndian.Uint64(b[24:])),
	}, nil
}

// MarkerInNAL finds the marker in an H.264 NAL unit without start code: an SEI
// message as simvos sends it, before every frame.
func MarkerInNAL(nalu []byte) (Marker, bool) {
	if len(nalu) < 2+len(MarkerUUID)+MarkerSize+1 || nalu[0]&0x1f != 6 {
		return Marker{}, false
	}
	payload := unescape(nalu[1:])
	if len(payload) < 2+len(MarkerUUID) || payload[0] != 5 || string(payload[2:2+len(MarkerUUID)]) != MarkerUUID {
		return Marker{}, false
	}
	m, err := DecodeMarker(payload[2+len(MarkerUUID):])
	return m, err == nil
}

// unescape removes the emulation prevention bytes of a NAL unit's payload.
func unescape(b []byte) []byte {
	out := make([]byte, 0, len(b))
	zeros := 0
	for _, c := range b {
		if zeros >= 2 && c == 3 {
			zeros = 0
			continue
		}
		if c == 0 {
			zeros++
		} else {
			zeros = 0
		}
		out = append(out, c)
	}
	return out
}
