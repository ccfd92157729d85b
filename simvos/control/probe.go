package control

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Sizes of the probe frames in bytes. They are the same over UDP, where a
// datagram holds one frame, and over TCP, where frames follow each other.
const (
	ProbeRequestSize = 24
	ProbeReplySize   = ProbeRequestSize + MarkerSize
)

const probeMagic = "VPRB"

// ErrProbe reports bytes that are not a probe frame.
var ErrProbe = errors.New("not a probe frame")

// ProbeRequest asks the server that receives it who it is. Layout, big endian:
//
//	offset size field
//	     0    4 magic "VPRB"
//	     4    4 flow id, chosen by the client
//	     8    8 sequence number within the flow
//	    16    8 intended time of sending in nanoseconds, on the client's clock
//
// The server echoes all of it and understands nothing but the magic, so the
// client may measure from the intended time and needs no table of requests
// under way. A UDP request may be longer (padding, for tests of packet
// sizes); the rest is not echoed.
type ProbeRequest struct {
	Flow uint32
	Seq  uint64
	Sent int64
}

// AppendTo appends the ProbeRequestSize bytes of r to b.
func (r ProbeRequest) AppendTo(b []byte) []byte {
	b = append(b, probeMagic...)
	b = binary.BigEndian.AppendUint32(b, r.Flow)
	b = binary.BigEndian.AppendUint64(b, r.Seq)
	return binary.BigEndian.AppendUint64(b, uint64(r.Sent))
}

// IsProbeRequest reports whether b starts with a probe request.
func IsProbeRequest(b []byte) bool {
	return len(b) >= ProbeRequestSize && string(b[:4]) == probeMagic
}

// DecodeProbeRequest reads a request from the start of b.
func DecodeProbeRequest(b []byte) (ProbeRequest, error) {
	if !IsProbeRequest(b) {
		return ProbeRequest{}, fmt.Errorf("%w: %d bytes without a request", ErrProbe, len(b))
	}
	return ProbeRequest{
		Flow: binary.BigEndian.Uint32(b[4:]),
		Seq:  binary.BigEndian.Uint64(b[8:]),
		Sent: int64(binary.BigEndian.Uint64(b[16:])),
	}, nil
}

// ProbeReply is the request, echoed, followed by the marker of the server that
// answered. Marker.Counter counts the replies of the responder: over UDP since
// its start, over TCP on that connection.
type ProbeReply struct {
	Request ProbeRequest
	Marker  Marker
}

// AppendTo appends the ProbeReplySize bytes of r to b.
func (r ProbeReply) AppendTo(b []byte) []byte {
	return r.Marker.AppendTo(r.Request.AppendTo(b))
}

// AppendProbeReply appends the reply to the encoded request req, which must
// satisfy [IsProbeRequest]. It allocates nothing when b has room.
func AppendProbeReply(b, req []byte, m Marker) []byte {
	return m.AppendTo(append(b, req[:ProbeRequestSize]...))
}

// DecodeProbeReply reads a reply from the start of b. The error is [ErrProbe]
// or [ErrMarker].
func DecodeProbeReply(b []byte) (ProbeReply, error) {
	if len(b) < ProbeReplySize {
		return ProbeReply{}, fmt.Errorf("%w: %d bytes, a reply has %d", ErrProbe, len(b), ProbeReplySize)
	}
	req, err := DecodeProbeRequest(b)
	if err != nil {
		return ProbeReply{}, err
	}
	m, err := DecodeMarker(b[ProbeRequestSize:])
	if err != nil {
		return ProbeReply{}, err
	}
	return ProbeReply{Request: req, Marker: m}, nil
}
