package rtsp

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// errTransport reports a Transport header of which the server can serve no
// alternative.
var errTransport = errors.New("unsupported transport")

// transport is one alternative of a Transport header (RFC 2326 section 12.39).
type transport struct {
	tcp    bool
	record bool
	// ports are the client's RTP and RTCP ports (UDP) or channels (TCP).
	ports [2]uint16
}

// parseTransport returns the first alternative that the server can serve.
func parseTransport(header string) (transport, error) {
	for alternative := range strings.SplitSeq(header, ",") {
		if t, ok := parseAlternative(alternative); ok {
			return t, nil
		}
	}
	return transport{}, fmt.Errorf("%w: %q", errTransport, header)
}

func parseAlternative(text string) (transport, bool) {
	fields := strings.Split(strings.TrimSpace(text), ";")
	t := transport{}
	switch strings.ToUpper(fields[0]) {
	case "RTP/AVP", "RTP/AVP/UDP":
	case "RTP/AVP/TCP":
		t.tcp = true
		t.ports = [2]uint16{0, 1}
	default:
		return t, false
	}
	found := t.tcp // channels may be left to the server
	for _, f := range fields[1:] {
		name, value, _ := strings.Cut(strings.TrimSpace(f), "=")
		switch strings.ToLower(name) {
		case "multicast":
			return t, false
		case "mode":
			t.record = strings.EqualFold(strings.Trim(value, `"`), "record")
		case "client_port", "interleaved":
			if t.tcp != (strings.ToLower(name) == "interleaved") {
				continue
			}
			var ok bool
			if t.ports, ok = parsePair(value); !ok {
				return t, false
			}
			found = true
		}
	}
	return t, found && t.valid()
}

// valid checks the ranges: ports are not 0, channels fit into a byte.
func (t transport) valid() bool {
	if t.tcp {
		return t.ports[0] < 256 && t.ports[1] < 256
	}
	return t.ports[0] != 0 && t.ports[1] != 0
}

// parsePair parses "a-b", or "a" for a and the next.
func parsePair(text string) ([2]uint16, bool) {
	first, second, both := strings.Cut(text, "-")
	a, err := strconv.ParseUint(first, 10, 16)
	if err != nil {
		return [2]uint16{}, false
	}
	if !both {
		return [2]uint16{uint16(a), uint16(a + 1)}, a < 65535
	}
	b, err := strconv.ParseUint(second, 10, 16)
	return [2]uint16{uint16(a), uint16(b)}, err == nil
}

// answer is the Transport header of the reply. For UDP, server is the lower
// port of the pair and source the address that the client used.
func (t transport) answer(server uint16, source netip.Addr, ssrc uint32) string {
	var b strings.Builder
	if t.tcp {
		fmt.Fprintf(&b, "RTP/AVP/TCP;unicast;interleaved=%d-%d", t.ports[0], t.ports[1])
	} else {
		fmt.Fprintf(&b, "RTP/AVP;unicast;client_port=%d-%d;server_port=%d-%d;source=%s",
			t.ports[0], t.ports[1], server, server+1, source)
	}
	if t.record {
		b.WriteString(`;mode="RECORD"`)
	} else {
		fmt.Fprintf(&b, `;ssrc=%08X;mode="PLAY"`, ssrc)
	}
	return b.String()
}
