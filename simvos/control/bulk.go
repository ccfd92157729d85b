package control

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// BulkRequestSize is the encoded length of a [BulkRequest]; BulkCountSize that
// of the count with which the server ends an upload (big endian uint64).
const (
	BulkRequestSize = 16
	BulkCountSize   = 8
)

// ErrBulk reports a malformed [BulkRequest].
var ErrBulk = errors.New("not a bulk request")

// BulkMode is the direction of a throughput stream, seen from the client.
type BulkMode string

// The modes on the wire are their names, padded with spaces to eight bytes.
const (
	// Upload: the client sends, the server discards and answers with the count.
	Upload BulkMode = "UPLOAD"
	// Download: the server sends.
	Download BulkMode = "DOWNLOAD"
)

// BulkRequest is the first thing a client sends on a throughput connection:
// eight bytes of mode, then the number of bytes as a big endian uint64. Zero
// bytes means until the sender closes its side.
type BulkRequest struct {
	Mode  BulkMode
	Bytes uint64
}

// AppendTo appends the BulkRequestSize bytes of r to b.
func (r BulkRequest) AppendTo(b []byte) []byte {
	b = fmt.Appendf(b, "%-8.8s", string(r.Mode))
	return binary.BigEndian.AppendUint64(b, r.Bytes)
}

// DecodeBulkRequest reads a request from the first BulkRequestSize bytes of b.
func DecodeBulkRequest(b []byte) (BulkRequest, error) {
	if len(b) < BulkRequestSize {
		return BulkRequest{}, fmt.Errorf("%w: %d bytes, want %d", ErrBulk, len(b), BulkRequestSize)
	}
	r := BulkRequest{Bytes: binary.BigEndian.Uint64(b[8:])}
	switch string(b[:8]) {
	case "UPLOAD  ":
		r.Mode = Upload
	case "DOWNLOAD":
		r.Mode = Download
	default:
		return BulkRequest{}, fmt.Errorf("%w: mode %q, want UPLOAD or DOWNLOAD", ErrBulk, b[:8])
	}
	return r, nil
}
