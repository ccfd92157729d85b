// Package watch looks at the segment the way its members see it: who claims a
// VIP (ARP and neighbour advertisements), and whose MAC carries the probe packets
// that reach the real servers.
package watch

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/harness/lab/capture"
	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/internal/netns"
	"github.com/vosbed/vosbed/simvos/control"
)

// ProbePort is the UDP port of the probe responder of simulated servers.
const ProbePort = 60000

// Eyes says what to look at. Ports are interface indexes in the switch.
type Eyes struct {
	Claims map[int]bool // ports whose outgoing broadcasts and multicasts are looked at
	// Carry are the ports whose outgoing probe packets show the carrier, with the
	// MAC of the node there: what the switch floods to it is for somebody else.
	Carry map[int]net.HardwareAddr
	VIPs  map[netip.Addr]bool
	Owner func(net.HardwareAddr) string // node of a MAC, "" = unknown
	Emit  func(observe.Frame)
	// Now is the run's clock, and Sent puts a time that a probe packet names on it.
	Now  func() time.Duration
	Sent func(int64) time.Duration
}

// A packet that was longer than lateAfter on its way is late. Of late packets one is told
// for every lateStep of sending, whoever carries them: what was sent when decides what
// they say about their carrier.
const (
	lateAfter = 200 * time.Millisecond
	lateStep  = 10 * time.Millisecond
)

// Watch is a running watcher.
type Watch struct {
	eyes    Eyes
	mu      sync.Mutex
	fd      int
	done    chan struct{}
	carrier map[netip.Addr]carrying
	counts  map[Carrier]uint64
}

// carrying is who carried the packet that was told last, and when that was sent.
type carrying struct {
	node string
	sent time.Duration
}

// Carrier is a node that delivers probe packets to real servers, over IPv4 or IPv6.
type Carrier struct {
	Node   string // "" = a MAC of no node
	Family int    // 4 or 6
}

func family(a netip.Addr) int {
	if a.Is4() {
		return 4
	}
	return 6
}

// Start opens a packet socket in ns. Close ends the watcher.
func Start(ns *netns.NS, eyes Eyes) (*Watch, error) {
	w := &Watch{eyes: eyes, fd: -1, done: make(chan struct{}), carrier: map[netip.Addr]carrying{}, counts: map[Carrier]uint64{}}
	if err := ns.Do(w.open); err != nil {
		return nil, fmt.Errorf("watch the segment: %w", err)
	}
	go w.loop()
	return w, nil
}

func (w *Watch) open() error {
	raw, err := bpf.Assemble(filter())
	if err != nil {
		return fmt.Errorf("assemble filter: %w", err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a packet socket: %w", err)
	}
	prog := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		prog[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	tv := unix.Timeval{Usec: 100_000}
	err = errors.Join(
		unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: capture.Htons(unix.ETH_P_ALL)}),
	)
	if err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	w.fd = fd
	return nil
}

// filter keeps frames that leave a port: ARP, neighbour advertisements, and UDP
// to the probe port.
func filter() []bpf.Instruction {
	const keep, none = 128, 0
	return []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType}, // packet type
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.PACKET_OUTGOING, SkipFalse: 18},
		bpf.LoadAbsolute{Off: 12, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_ARP, SkipTrue: 15},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_IP, SkipFalse: 5},
		bpf.LoadAbsolute{Off: 23, Size: 1}, // IPv4 protocol
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_UDP, SkipFalse: 13},
		bpf.LoadMemShift{Off: 14},
		bpf.LoadIndirect{Off: 16, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: ProbePort, SkipTrue: 9, SkipFalse: 10},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_IPV6, SkipFalse: 9},
		bpf.LoadAbsolute{Off: 20, Size: 1}, // IPv6 next header
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_UDP, SkipTrue: 3},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_ICMPV6, SkipFalse: 6},
		bpf.LoadAbsolute{Off: 54, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 136, SkipTrue: 3, SkipFalse: 4},
		bpf.LoadAbsolute{Off: 56, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: ProbePort, SkipTrue: 1},
		bpf.RetConstant{Val: none},
		bpf.RetConstant{Val: keep},
		bpf.RetConstant{Val: none},
	}
}

func (w *Watch) loop() {
	defer close(w.done)
	buf := make([]byte, 256)
	for {
		w.mu.Lock()
		fd := w.fd
		w.mu.Unlock()
		if fd < 0 {
			return
		}
		n, from, err := unix.Recvfrom(fd, buf, 0)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return
		}
		if ll, ok := from.(*unix.SockaddrLinklayer); ok {
			w.frame(ll.Ifindex, buf[:n])
		}
	}
}

func (w *Watch) frame(port int, b []byte) {
	if len(b) < 42 {
		return
	}
	if dst, ok := probe(b); ok {
		if mine := w.eyes.Carry[port]; mine != nil && bytes.Equal(mine, b[:6]) && w.eyes.VIPs[dst] {
			w.carried(dst, net.HardwareAddr(b[6:12]), w.sent(b))
		}
		return
	}
	group := b[0]&1 == 1 // flooded: it leaves every port, but counts once
	if f, ok := claim(b); ok && (!group || w.eyes.Claims[port]) {
		if vip, err := netip.ParseAddr(f.VIP); err == nil && w.eyes.VIPs[vip] {
			mac, _ := net.ParseMAC(f.MAC)
			f.Node = w.eyes.Owner(mac)
			w.eyes.Emit(f)
		}
	}
}

// probe returns the destination of a UDP packet to the probe port.
func probe(b []byte) (netip.Addr, bool) {
	switch {
	case b[12] == 0x08 && b[13] == 0x00:
		a, ok := netip.AddrFromSlice(b[30:34])
		return a, ok
	case b[12] == 0x86 && len(b) >= 58 && b[20] == unix.IPPROTO_UDP:
		a, ok := netip.AddrFromSlice(b[38:54])
		return a, ok
	}
	return netip.Addr{}, false
}

// claim reads who says to own which address.
func claim(b []byte) (observe.Frame, bool) {
	if b[12] == 0x08 && b[13] == 0x06 {
		sender, _ := netip.AddrFromSlice(b[28:32])
		target, _ := netip.AddrFromSlice(b[38:42])
		f := observe.Frame{VIP: sender.String(), MAC: net.HardwareAddr(b[22:28]).String(), Sort: "arp-reply"}
		if sender == target {
			f.Sort = "garp"
		}
		return f, sender == target || b[21] == 2 // a plain request claims nothing
	}
	if b[12] != 0x86 || len(b) < 78 || b[54] != 136 {
		return observe.Frame{}, false
	}
	target, _ := netip.AddrFromSlice(b[62:78])
	mac := net.HardwareAddr(b[6:12])
	if len(b) >= 86 && b[78] == 2 { // target link-layer address option
		mac = net.HardwareAddr(b[80:86])
	}
	return observe.Frame{VIP: target.String(), MAC: mac.String(), Sort: "na"}, true
}

// sent reads when a probe packet was sent, 0 = it does not say.
func (w *Watch) sent(b []byte) time.Duration {
	at := 14 + 4*int(b[14]&0xf) + 8
	if b[12] == 0x86 {
		at = 14 + 40 + 8
	}
	if len(b) < at {
		return 0
	}
	r, err := control.DecodeProbeRequest(b[at:])
	if err != nil {
		return 0
	}
	return w.eyes.Sent(r.Sent)
}

// carried counts a delivered probe packet and reports a change of carrier, and late packets.
func (w *Watch) carried(vip netip.Addr, mac net.HardwareAddr, sent time.Duration) {
	now := carrying{w.eyes.Owner(mac), sent}
	w.mu.Lock()
	w.counts[Carrier{now.node, family(vip)}]++
	last := w.carrier[vip]
	tell := last.node != now.node || sent > 0 && w.eyes.Now()-sent > lateAfter && sent > last.sent+lateStep
	if tell {
		w.carrier[vip] = now
	}
	w.mu.Unlock()
	if tell {
		w.eyes.Emit(observe.Frame{VIP: vip.String(), MAC: mac.String(), Node: now.node, Sort: observe.SortCarrier, Sent: sent})
	}
}

// Carried returns how many probe packets each node has delivered to real servers
// since the last call.
func (w *Watch) Carried() map[Carrier]uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.counts
	w.counts = map[Carrier]uint64{}
	return out
}

// Close ends the watcher.
func (w *Watch) Close() error {
	w.mu.Lock()
	fd := w.fd
	w.fd = -1
	w.mu.Unlock()
	if fd < 0 {
		return nil
	}
	<-w.done
	return unix.Close(fd)
}
