package health

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// ping sends one ICMP echo request and waits for its reply. It needs CAP_NET_RAW.
func ping(ctx context.Context, addr netip.Addr) error {
	network := "ip4:icmp"
	request := icmp.Message{Type: ipv4.ICMPTypeEcho}
	if addr.Is6() && !addr.Is4In6() {
		network = "ip6:ipv6-icmp"
		request.Type = ipv6.ICMPTypeEchoRequest
	}
	nonce := make([]byte, 24)
	_, _ = rand.Read(nonce) // never fails (crypto/rand)
	request.Body = &icmp.Echo{ID: int(binary.BigEndian.Uint16(nonce)), Seq: 1, Data: nonce}
	packet, err := request.Marshal(nil) // the kernel fills in ICMPv6 checksums
	if err != nil {
		return fmt.Errorf("make an echo request: %w", err)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr.String())
	if err != nil {
		return stageError{"opening a raw socket (CAP_NET_RAW is needed)", err}
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return stageError{"setting a deadline", err}
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := conn.Write(packet); err != nil {
		return stageError{"sending the echo request", err}
	}
	return awaitReply(conn, nonce)
}

// awaitReply reads until the reply with our nonce: a raw socket sees the replies to
// everybody's requests.
func awaitReply(conn net.Conn, nonce []byte) error {
	raw, ok := conn.(*net.IPConn)
	if !ok {
		return errors.New("not a raw socket")
	}
	buf := make([]byte, 2048)
	for {
		n, _, err := raw.ReadFromIP(buf)
		if err != nil {
			return stageError{"waiting for the echo reply", err}
		}
		if isReply(buf[:n], nonce) {
			return nil
		}
	}
}

// isReply reports whether an ICMP or ICMPv6 message is the echo reply with nonce.
func isReply(packet, nonce []byte) bool {
	const header = 8
	if len(packet) < header {
		return false
	}
	reply := packet[0] == byte(ipv4.ICMPTypeEchoReply) || packet[0] == byte(ipv6.ICMPTypeEchoReply)
	return reply && bytes.Equal(packet[header:], nonce)
}
