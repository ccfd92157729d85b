package step

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/harness/scenario"
)

// MPEG-TS over UDP goes to whoever has asked for it with a datagram, and there it goes
// where that datagram came from. Players only listen. So the testbed asks in the name of
// the player, with the player's port as the source: once it listens, for one that
// missed the first key frame would complain, and again until it has ended.
const (
	subscription = "TS"
	renewEvery   = 3 * time.Second
	listenCheck  = 20 * time.Millisecond
	// firstPort is below all that the lab's kernels hand out by themselves.
	firstPort = 6000
)

// inside runs a function in the network namespace of a node.
type inside func(func() error) error

// stream is a stream that a player gets only when somebody asks for it.
type stream struct {
	in   inside
	from netip.AddrPort
	port uint16 // at which the player listens
}

// needsAsking reports whether the step plays a stream of that kind.
func needsAsking(p scenario.PlayStep) bool {
	return !p.Publish && strings.HasPrefix(p.URL, "udp://")
}

// newStream reads the resolved URL of a step; n tells its player from all others.
func newStream(in inside, text string, n int64) (*stream, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	from, err := netip.ParseAddrPort(u.Host)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", text, err)
	}
	return &stream{in: in, from: from, port: firstPort + uint16(n%1000)}, nil
}

// input is the URL that the player opens. It takes what comes from the very address
// that was asked, if it is strict.
func (s *stream) input(strict bool) string {
	anyone := netip.IPv4Unspecified()
	if s.from.Addr().Is6() {
		anyone = netip.IPv6Unspecified()
	}
	in := "udp://" + netip.AddrPortFrom(anyone, s.port).String()
	if strict {
		in += "?sources=" + s.from.Addr().String()
	}
	return in
}

// keep asks for the stream from when the player listens until ctx ends. It returns why
// it could not, nil when there was nothing to be done any more.
func (s *stream) keep(ctx context.Context) error {
	asked := false
	for {
		if !asked {
			listens, err := s.listens()
			if err != nil {
				return err
			}
			asked = listens
		}
		pause := listenCheck
		if asked {
			if err := s.in(s.ask); err != nil {
				return fmt.Errorf("ask %s for its stream: %w", s.from, err)
			}
			pause = renewEvery
		}
		if sleep(ctx, pause) != nil {
			return nil //nolint:nilerr // the player has ended: so does this
		}
	}
}

// listens reports whether anything is bound to the player's port.
func (s *stream) listens() (bool, error) {
	found := false
	err := s.in(func() error {
		for _, table := range []string{"udp", "udp6"} {
			text, err := os.ReadFile("/proc/thread-self/net/" + table)
			if err != nil && !errors.Is(err, os.ErrNotExist) { // a kernel without IPv6
				return fmt.Errorf("look whether the player listens: %w", err)
			}
			found = found || bound(text, s.port)
		}
		return nil
	})
	return found, err
}

// bound finds a local port in a table of sockets (proc(5), /proc/net/udp): the second
// field of each line but the first is address:port in hexadecimal digits.
func bound(table []byte, port uint16) bool {
	for line := range bytes.Lines(table) {
		fields := bytes.Fields(line)
		if len(fields) < 2 {
			continue
		}
		_, text, _ := bytes.Cut(fields[1], []byte(":"))
		if n, err := strconv.ParseUint(string(text), 16, 16); err == nil && uint16(n) == port {
			return true
		}
	}
	return false
}

// ask sends the request from the player's port. A raw socket takes that port from
// nobody, and no datagram of the stream ends in it.
func (s *stream) ask() error {
	family := unix.AF_INET
	var to unix.Sockaddr
	if a := s.from.Addr(); a.Is4() {
		to = &unix.SockaddrInet4{Addr: a.As4()}
	} else {
		family, to = unix.AF_INET6, &unix.SockaddrInet6{Addr: a.As16()}
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
	if err != nil {
		return fmt.Errorf("open a raw socket: %w", err)
	}
	defer unix.Close(fd)
	if family == unix.AF_INET6 { // there the checksum is no choice, and the kernel computes it
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_CHECKSUM, 6); err != nil {
			return fmt.Errorf("have the checksum computed: %w", err)
		}
	}
	return unix.Sendto(fd, datagram(s.port, s.from.Port(), subscription), 0, to)
}

// datagram is a UDP datagram without a checksum (RFC 768).
func datagram(from, to uint16, payload string) []byte {
	b := binary.BigEndian.AppendUint16(nil, from)
	b = binary.BigEndian.AppendUint16(b, to)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(payload)))
	return append(append(b, 0, 0), payload...)
}
