package media

// maxRTPPayload keeps RTP packets below the usual Ethernet MTU, also with
// IPv6 and with the headers of a tunnel.
const maxRTPPayload = 1200

// Header bits of fragmentation units, RFC 6184 section 5.8.
const (
	fuA     = 28
	fuStart = 0x80
	fuEnd   = 0x40
)

// packetize returns the RTP payloads of an access unit in packetization mode 1
// (RFC 6184): a unit that fits is a packet of its own, a longer one is cut into
// FU-A.
func packetize(nals [][]byte) [][]byte {
	var out [][]byte
	for _, n := range nals {
		if len(n) <= maxRTPPayload {
			out = append(out, n)
			continue
		}
		out = append(out, fragment(n)...)
	}
	return out
}

func fragment(n []byte) [][]byte {
	indicator, kind := n[0]&0x60|fuA, n[0]&0x1f
	var out [][]byte
	for rest, flags := n[1:], byte(fuStart); len(rest) > 0; flags = 0 {
		k := min(len(rest), maxRTPPayload-2)
		if k == len(rest) {
			flags |= fuEnd
		}
		out = append(out, append([]byte{indicator, kind | flags}, rest[:k]...))
		rest = rest[k:]
	}
	return out
}
