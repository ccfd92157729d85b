package ipvs

import (
	"context"
	_ "embed" // what IPVS lacks
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/dataplane"
	"github.com/vosbed/vosbed/appliance/internal/dataplane/dptest"
	"github.com/vosbed/vosbed/appliance/internal/dataplane/memory"
	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/internal/netns"
	"github.com/vosbed/vosbed/internal/testenv"
)

//go:embed testdata/lacks.txt
var lacksFile string

// lacks reads the list of what IPVS lacks: capabilities and cases, with why.
func lacks(t *testing.T) (capabilities, cases []string) {
	t.Helper()
	for line := range strings.Lines(lacksFile) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, why, _ := strings.Cut(line, " -- ")
		if why == "" {
			t.Fatalf("testdata/lacks.txt: %q does not say why", line)
		}
		if capability, ok := strings.CutPrefix(name, "capability "); ok {
			capabilities = append(capabilities, capability)
		} else {
			cases = append(cases, name)
		}
	}
	return capabilities, cases
}

// The list names each capability that is not declared, and only cases that there are.
func TestLacks(t *testing.T) {
	capabilities, cases := lacks(t)
	var undeclared []string
	v := reflect.ValueOf((&Plane{}).Capabilities())
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Bool && !f.Bool() {
			undeclared = append(undeclared, v.Type().Field(i).Name)
		}
	}
	if !slices.Equal(capabilities, undeclared) {
		t.Errorf("the list has the capabilities %v, the engine does not declare %v", capabilities, undeclared)
	}
	for _, name := range cases {
		if !slices.ContainsFunc(dptest.Cases(), func(c dptest.Case) bool { return c.Name == name }) {
			t.Errorf("the suite has no case %q", name)
		}
	}
}

// The suite waits for timeouts of a quarter of an hour, which only jumping time affords.
func TestConformance(t *testing.T) {
	if os.Getenv("VOSBED_WARP") == "" {
		testenv.Missing(t, "warp", "time does not jump here: run make test-kernel")
	}
	requireIPVS(t)
	_, cases := lacks(t)
	dptest.Run(t, newBench, cases...)
}

func requireIPVS(t *testing.T) {
	t.Helper()
	testenv.RequireRoot(t)
	if _, err := netlink.GenlFamilyGet("IPVS"); err != nil {
		testenv.Missing(t, "ipvs", "the kernel has no IPVS: "+err.Error())
	}
}

// Addresses of the director and of what is on the other end of its wire.
const (
	directorIP = "10.77.0.2"
	outsideIP  = "10.77.0.1"
)

// bench sends frames over a wire to a director and sees which come back, to whom.
type bench struct {
	*Plane
	ns, outside *netns.NS
	fd          int // a raw socket at the other end
	mac         net.HardwareAddr
	reps        map[[6]byte]netip.Addr // real servers by MAC
	pings       uint16
	moved       bool // since the last reading of the counters
}

func newBench(t *testing.T, table plan.L4Table) dptest.Bench {
	t.Helper()
	b := &bench{ns: testenv.NewNS(t), outside: testenv.NewNS(t), reps: map[[6]byte]netip.Addr{}}
	for _, err := range []error{b.wire(), b.ns.Do(func() error { return b.director(table) }), b.listen()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	err := b.ns.Do(func() (err error) { b.Plane, err = New(Options{}); return err })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(b.Close(), unix.Close(b.fd)) })
	return b
}

// wire connects the two namespaces.
func (b *bench) wire() error {
	return b.outside.Do(func() error {
		v := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "wire"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(b.ns.Fd())}
		if err := netlink.LinkAdd(v); err != nil {
			return err
		}
		return up("wire", outsideIP+"/24")
	})
}

// director prepares the balancer's side: addresses, and neighbours that need no asking.
func (b *bench) director(table plan.L4Table) error {
	vips := map[string]bool{dptest.VIP4 + "/32": true, dptest.VIP6 + "/128": true, dptest.Guarded4 + "/32": true, dptest.Guarded6 + "/128": true}
	list := []string{}
	for v := range vips {
		list = append(list, v)
	}
	if err := errors.Join(writeSysctl("net/ipv4/conf/all/rp_filter", "0"), writeSysctl("net/ipv4/conf/default/rp_filter", "0"),
		writeSysctl("net/ipv4/conf/eth0/rp_filter", "0"), up("lo", list...),
		up("eth0", directorIP+"/24", "fd77::2/64")); err != nil {
		return err
	}
	link, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	b.mac = link.Attrs().HardwareAddr
	for _, s := range table.Services {
		for _, r := range s.Reals {
			b.reps[macFor(r.Addr)] = r.Addr
			if err := neighbour(link.Attrs().Index, r.Addr); err != nil {
				return err
			}
		}
	}
	if err := neighbour(link.Attrs().Index, netip.MustParseAddr(outsideIP)); err != nil {
		return err
	}
	return netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: net.ParseIP(outsideIP)})
}

func up(name string, cidrs ...string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	for _, c := range cidrs {
		a, err := netlink.ParseAddr(c)
		if err != nil {
			return err
		}
		a.Flags |= unix.IFA_F_NODAD
		if err := netlink.AddrAdd(link, a); err != nil {
			return fmt.Errorf("add %s to %s: %w", c, name, err)
		}
	}
	return netlink.LinkSetUp(link)
}

func macFor(a netip.Addr) [6]byte {
	b := a.As16()
	return [6]byte{2, 0, b[12], b[13], b[14], b[15]}
}

func neighbour(ifindex int, a netip.Addr) error {
	mac := macFor(a)
	return netlink.NeighSet(&netlink.Neigh{
		LinkIndex: ifindex, Family: int(familyOf(a)), IP: a.AsSlice(), HardwareAddr: mac[:], State: netlink.NUD_PERMANENT,
	})
}

// listen opens the raw socket.
func (b *bench) listen() error {
	return b.outside.Do(func() (err error) {
		link, err := netlink.LinkByName("wire")
		if err != nil {
			return err
		}
		all := binary.NativeEndian.Uint16([]byte{unix.ETH_P_ALL >> 8, unix.ETH_P_ALL & 0xff})
		if b.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(all)); err != nil {
			return err
		}
		return errors.Join(unix.Bind(b.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Attrs().Index}),
			unix.SetsockoptTimeval(b.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2}))
	})
}

// Ingress puts a frame on the wire and a ping behind it: what comes back before the
// answer is what became of the frame. Both take the same way through one processor.
func (b *bench) Ingress(_ memory.Packet, frame []byte) (v memory.Verdict, err error) {
	before, err := b.drops()
	if err != nil {
		return v, err
	}
	frame = append([]byte{}, frame...)
	if [6]byte(frame[:6]) == [6]byte{} {
		copy(frame, b.mac)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	b.pings++
	ping, err := b.ping(b.pings)
	if err != nil {
		return v, err
	}
	for _, f := range [][]byte{frame, ping} {
		if _, err = unix.Write(b.fd, f); err != nil {
			return v, err
		}
	}
	if v, err = b.watch(b.pings); err != nil || v.Action == memory.Forward {
		b.moved = true
		return v, err
	}
	after, err := b.drops()
	for reason, n := range after {
		if n != before[reason] {
			v.Action = memory.Drop
			v.Reason += reason
		}
	}
	return v, err
}

// watch reads what comes back until the answer to the ping.
func (b *bench) watch(id uint16) (v memory.Verdict, err error) {
	buf := make([]byte, 2048)
	for {
		n, from, err := unix.Recvfrom(b.fd, buf, 0)
		if err != nil {
			return v, fmt.Errorf("the director is silent: %w", err)
		}
		if at, ok := from.(*unix.SockaddrLinklayer); n < 42 || ok && at.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		if rip, ok := b.reps[[6]byte(buf[:6])]; ok {
			if v.Server.IsValid() {
				return v, fmt.Errorf("one frame went to %s and to %s", v.Server, rip)
			}
			v = memory.Verdict{Action: memory.Forward, Server: rip}
		}
		if buf[12] == 8 && buf[13] == 0 && buf[23] == unix.IPPROTO_ICMP && buf[34] == 0 && binary.BigEndian.Uint16(buf[38:]) == id {
			return v, nil
		}
	}
}

func (b *bench) ping(id uint16) ([]byte, error) {
	buf := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: b.mac, EthernetType: layers.EthernetTypeIPv4},
		&layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolICMPv4, SrcIP: net.ParseIP(outsideIP), DstIP: net.ParseIP(directorIP)},
		&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0), Id: id, Seq: 1}, gopacket.Payload("ping"))
	return buf.Bytes(), err
}

// Egress is nothing to IPVS: it has no lease to watch.
func (b *bench) Egress(memory.Packet, []byte) (memory.Verdict, error) { return memory.Verdict{}, nil }

// Age waits.
func (b *bench) Age(d time.Duration) error { <-time.After(d); return nil }

// Lease is nothing to IPVS, and it sweeps by itself.
func (b *bench) Lease(bool)   {}
func (b *bench) Sweep() error { return nil }

// settle waits until the kernel has added up its counts, which it does every two seconds.
func (b *bench) settle() {
	if b.moved {
		<-time.After(3 * time.Second)
		b.moved = false
	}
}

func (b *bench) Counters(ctx context.Context) (dataplane.Counters, error) {
	b.settle()
	return b.Plane.Counters(ctx)
}

func (b *bench) Set(ctx context.Context, table plan.L4Table) error {
	b.settle()
	return b.Plane.Set(ctx, table)
}

// Restart closes the engine and opens another.
func (b *bench) Restart() error {
	if err := b.Close(); err != nil {
		return err
	}
	return b.ns.Do(func() (err error) { b.Plane, err = New(Options{}); return err })
}
