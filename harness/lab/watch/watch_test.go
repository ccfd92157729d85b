package watch

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/simvos/control"
)

const (
	routerPort = 1
	serverPort = 2
)

func mac(last byte) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 0, last} }

// watching returns a watcher of one VIP that is not started, and what it emits.
func watching() (*Watch, *[]observe.Frame) {
	var seen []observe.Frame
	w := &Watch{
		carrier: map[netip.Addr]carrying{}, counts: map[Carrier]uint64{},
		eyes: Eyes{
			Claims: map[int]bool{routerPort: true},
			Carry:  map[int]net.HardwareAddr{serverPort: mac(115)},
			VIPs:   map[netip.Addr]bool{netip.MustParseAddr("192.168.94.110"): true, netip.MustParseAddr("fd94::110"): true},
			Owner: func(m net.HardwareAddr) string {
				return map[byte]string{10: "lb1", 11: "lb2", 1: "router"}[m[5]]
			},
			Emit: func(f observe.Frame) { seen = append(seen, f) },
			Now:  func() time.Duration { return 10 * time.Second },
			Sent: func(at int64) time.Duration { return time.Duration(at) },
		},
	}
	return w, &seen
}

// datagram is a UDP packet to the probe port.
func datagram(dst, src net.HardwareAddr, to string) []byte {
	a := netip.MustParseAddr(to)
	b := make([]byte, 128)
	copy(b, dst)
	copy(b[6:], src)
	if a.Is4() {
		binary.BigEndian.PutUint16(b[12:], 0x0800)
		b[14] = 0x45
		copy(b[30:], a.AsSlice())
		return b
	}
	binary.BigEndian.PutUint16(b[12:], 0x86dd)
	b[20] = 17
	copy(b[38:], a.AsSlice())
	return b
}

// arp is an ARP frame of that operation.
func arp(dst, src net.HardwareAddr, op byte, sender, target string) []byte {
	b := make([]byte, 60)
	copy(b, dst)
	copy(b[6:], src)
	binary.BigEndian.PutUint16(b[12:], 0x0806)
	b[21] = op
	copy(b[22:], src)
	copy(b[28:], netip.MustParseAddr(sender).AsSlice())
	copy(b[38:], netip.MustParseAddr(target).AsSlice())
	return b
}

func TestOnlyWhatIsMeantForTheServerIsCarried(t *testing.T) {
	w, seen := watching()
	w.frame(serverPort, datagram(mac(115), mac(10), "192.168.94.110")) // lb1 delivers
	w.frame(serverPort, datagram(mac(10), mac(1), "192.168.94.110"))   // the switch floods what is for lb1
	w.frame(serverPort, datagram(mac(115), mac(10), "192.168.94.115")) // not to the VIP
	w.frame(routerPort, datagram(mac(115), mac(11), "192.168.94.110")) // not at a server
	w.frame(serverPort, datagram(mac(115), mac(11), "fd94::110"))      // lb2, over IPv6
	w.frame(serverPort, datagram(mac(115), mac(10), "192.168.94.110")) // lb1 still
	got := w.Carried()
	if len(got) != 2 || got[Carrier{"lb1", 4}] != 2 || got[Carrier{"lb2", 6}] != 1 {
		t.Errorf("carried %v", got)
	}
	var who []string
	for _, f := range *seen {
		who = append(who, f.Node+" "+f.Sort)
	}
	if want := []string{"lb1 carrier", "lb2 carrier"}; !slices.Equal(who, want) {
		t.Errorf("changes of the carrier %v, want %v", who, want)
	}
	if left := w.Carried(); len(left) != 0 {
		t.Errorf("counted twice: %v", left)
	}
}

// TestLatePackets: of those that were long on their way it matters when they were sent.
func TestLatePackets(t *testing.T) {
	w, seen := watching()
	carry := func(node byte, to string, sent time.Duration) {
		b := datagram(mac(115), mac(node), to)
		at := 42
		if b[12] == 0x86 {
			at = 62
		}
		w.frame(serverPort, control.ProbeRequest{Sent: int64(sent)}.AppendTo(b[:at]))
	}
	const v4, v6 = "192.168.94.110", "fd94::110"
	carry(10, v4, 9900*time.Millisecond) // the first
	carry(10, v4, 9950*time.Millisecond) // in time
	carry(11, v4, 8*time.Second)         // another carrier, late
	carry(11, v4, 8005*time.Millisecond) // too near to the one before
	carry(11, v4, 8500*time.Millisecond) // late
	carry(11, v4, 7*time.Second)         // later, but an older one is told
	carry(10, v6, 3*time.Second)
	var got []string
	for _, f := range *seen {
		got = append(got, f.Node+" "+f.Sent.String())
	}
	if want := []string{"lb1 9.9s", "lb2 8s", "lb2 8.5s", "lb1 3s"}; !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
}

func TestClaims(t *testing.T) {
	broadcast := net.HardwareAddr{255, 255, 255, 255, 255, 255}
	for _, tt := range []struct {
		name  string
		port  int
		frame []byte
		want  string // node and sort, "" = nothing
	}{
		{"announcement", routerPort, arp(broadcast, mac(10), 1, "192.168.94.110", "192.168.94.110"), "lb1 garp"},
		{"the same at another port", serverPort, arp(broadcast, mac(10), 1, "192.168.94.110", "192.168.94.110"), ""},
		{"answer to a server", serverPort, arp(mac(115), mac(11), 2, "192.168.94.110", "192.168.94.115"), "lb2 arp-reply"},
		{"question", routerPort, arp(broadcast, mac(115), 1, "192.168.94.115", "192.168.94.110"), ""},
		{"another address", routerPort, arp(broadcast, mac(10), 1, "192.168.94.10", "192.168.94.10"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, seen := watching()
			w.frame(tt.port, tt.frame)
			got := ""
			for _, f := range *seen {
				got += f.Node + " " + f.Sort
			}
			if got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
