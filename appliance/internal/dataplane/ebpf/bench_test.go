package ebpf

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/vishvananda/netlink"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/netns"
	"github.com/vosbed/vosbed/internal/testenv"
)

// testPlane is an engine on the loopback interface of an empty namespace, with the
// real servers as permanent neighbours of a dead-end veth.
func testPlane(tb testing.TB, opts Options, table plan.L4Table) (*Plane, *netns.NS) {
	tb.Helper()
	ns := testenv.NewNS(tb)
	var p *Plane
	err := ns.Do(func() (err error) {
		if err = deadEnd(table); err != nil {
			return err
		}
		set(&opts.Flows, 1<<13)
		set(&opts.Entries, 1<<13)
		if p, err = New(opts); err != nil {
			return err
		}
		return p.Set(tb.Context(), table)
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = p.Close() })
	return p, ns
}

func deadEnd(table plan.L4Table) error {
	v := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "peer0"}
	if err := up(v); err != nil {
		return err
	}
	if err := linkUp("lo"); err != nil {
		return err
	}
	l, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	for _, cidr := range []string{"10.77.0.2/24", "fd77::2/64"} {
		a, err := netlink.ParseAddr(cidr)
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(l, a); err != nil {
			return err
		}
	}
	for _, s := range table.Services {
		for _, r := range s.Reals {
			if err := neighbour(l.Attrs().Index, r.Addr); err != nil {
				return err
			}
		}
	}
	return nil
}

// macFor is the MAC that test neighbours get: 02 and the end of the address.
func macFor(a netip.Addr) [6]byte {
	b := a.As16()
	return [6]byte{2, 0, b[12], b[13], b[14], b[15]}
}

func neighbour(ifindex int, a netip.Addr) error {
	mac := macFor(a)
	return netlink.NeighSet(&netlink.Neigh{
		LinkIndex: ifindex, Family: family(a), IP: a.AsSlice(),
		HardwareAddr: mac[:], State: netlink.NUD_PERMANENT,
	})
}

// frame serializes layers with lengths and checksums.
func frame(tb testing.TB, l ...gopacket.SerializableLayer) []byte {
	tb.Helper()
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, l...); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

func benchFrame(b *testing.B, vip string, src netip.Addr) []byte {
	b.Helper()
	dst := netip.MustParseAddr(vip)
	tcp := &layers.TCP{SrcPort: 40000, DstPort: 80, ACK: true, Window: 100}
	eth := &layers.Ethernet{SrcMAC: []byte{2, 0, 0, 0, 0, 9}, DstMAC: make([]byte, 6), EthernetType: layers.EthernetTypeIPv4}
	if dst.Is4() {
		ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
		_ = tcp.SetNetworkLayerForChecksum(ip)
		return frame(b, eth, ip, tcp, gopacket.Payload("sixteen bytes!!!"))
	}
	eth.EthernetType = layers.EthernetTypeIPv6
	ip := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
	_ = tcp.SetNetworkLayerForChecksum(ip)
	return frame(b, eth, ip, tcp, gopacket.Payload("sixteen bytes!!!"))
}

// BenchmarkProgram measures the ingress program alone; subtract the floor.
func BenchmarkProgram(b *testing.B) {
	wlc := func(s *plan.L4Service) {}
	hash := func(s *plan.L4Service) { s.Scheduler = lb.Maglev }
	leased := service(vip4)
	leased.Leased = true
	c4, c6 := netip.MustParseAddr("10.77.0.10"), netip.MustParseAddr("fd77::10")
	for _, c := range []struct {
		name   string
		table  plan.L4Table
		frame  []byte
		prog   func(*Plane) *ebpf.Program
		result uint32
	}{
		{"floor", service(vip4), benchFrame(b, vip4, c4), func(p *Plane) *ebpf.Program { return p.objs.Idle }, 0xffffffff},
		{"established_v4", service(vip4), benchFrame(b, vip4, c4), ingressOf, redirected},
		{"established_v4_leased", leased, benchFrame(b, vip4, c4), ingressOf, redirected},
		{"established_v6", service(vip6), benchFrame(b, vip6, c6), ingressOf, redirected},
		{"no_match", service(vip4), benchFrame(b, "10.77.0.99", c4), ingressOf, 0xffffffff},
		{"port_not_served", service(vip4), withPort(benchFrame(b, vip4, c4), 81), ingressOf, 2},
		// What the node itself sends; egress of what it forwards has a benchmark of its own.
		{"egress_own", service(vip4), benchFrame(b, "10.77.0.99", c4), egressOf, 0xffffffff},
		{"egress_own_leased", leased, benchFrame(b, "10.77.0.99", c4), egressOf, 0xffffffff},
	} {
		b.Run(c.name, func(b *testing.B) {
			p, ns := testPlane(b, Options{Flows: 1 << 18, Entries: 1 << 18}, c.table)
			if err := p.lease.RenewFor(1 << 40); err != nil {
				b.Fatal(err)
			}
			run(b, ns, c.prog(p), c.frame, c.result)
		})
	}
	for name, change := range map[string]func(*plan.L4Service){"new_flow_wlc": wlc, "new_flow_maglev": hash} {
		b.Run(name, func(b *testing.B) { newFlows(b, service(vip4, change)) })
	}
}

const redirected = 7 // TC_ACT_REDIRECT

func ingressOf(p *Plane) *ebpf.Program { return p.objs.Ingress }
func egressOf(p *Plane) *ebpf.Program  { return p.objs.Egress }

// forwarded is the context of a packet that came in by another interface: struct
// __sk_buff up to and with ingress_ifindex.
func forwarded() []byte {
	const at = 9 * 4
	return binary.NativeEndian.AppendUint32(make([]byte, at, at+4), 1)
}

// BenchmarkForwarded measures what every packet that ingress has sent on pays once more
// at egress. The kernel's own clock is not to be had with a context: it is the time of
// all runs, system call and all, over their number.
func BenchmarkForwarded(b *testing.B) {
	leased := service(vip4)
	leased.Leased = true
	f := benchFrame(b, vip4, netip.MustParseAddr("10.77.0.10"))
	for name, prog := range map[string]func(*Plane) *ebpf.Program{
		"floor": func(p *Plane) *ebpf.Program { return p.objs.Idle }, "egress": egressOf,
	} {
		b.Run(name, func(b *testing.B) {
			p, ns := testPlane(b, Options{}, leased)
			if err := p.lease.RenewFor(1 << 40); err != nil {
				b.Fatal(err)
			}
			n := max(b.N, 1000)
			b.ResetTimer()
			err := ns.Do(func() error {
				_, err := prog(p).Run(&ebpf.RunOptions{Data: f, Context: forwarded(), Repeat: uint32(n)})
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/packet")
		})
	}
}

// Egress leaves alone what the node forwards: what ingress sends on was judged there,
// and the replies of servers that use the node as their router are not its word. What
// the node itself says about a VIP is dropped once the lease is over.
func TestEgressJudgesOnlyTheNode(t *testing.T) {
	table := service(vip4)
	table.Leased = true
	p, ns := testPlane(t, Options{}, table)
	f := synFrame(1, 1000)
	copy(f[26:30], f[30:34]) // from the VIP
	for _, c := range []struct {
		context []byte
		want    uint32
	}{{nil, 2}, {forwarded(), 0xffffffff}} {
		opts := &ebpf.RunOptions{Data: f}
		if c.context != nil {
			opts.Context = c.context
		}
		var ret uint32
		if err := ns.Do(func() (err error) { ret, err = p.objs.Egress.Run(opts); return err }); err != nil || ret != c.want {
			t.Errorf("forwarded %v: verdict %d, %v; want %d", c.context != nil, int32(ret), err, int32(c.want))
		}
	}
}

func withPort(f []byte, port uint16) []byte {
	binary.BigEndian.PutUint16(f[14+20+2:], port)
	return f
}

func run(b *testing.B, ns *netns.NS, prog *ebpf.Program, frame []byte, want uint32) {
	b.Helper()
	err := ns.Do(func() error {
		ret, ns, err := prog.Benchmark(frame, max(b.N, 1000), b.ResetTimer)
		if ret != want {
			b.Errorf("verdict %d, want %d", ret, want)
		}
		b.ReportMetric(float64(ns.Nanoseconds()), "ns/packet")
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
}

// newFlows gives every packet a source port and address of its own: one run of the
// program each, so the floor of single runs is measured alike and taken off.
func newFlows(b *testing.B, table plan.L4Table) {
	b.Helper()
	p, ns := testPlane(b, Options{Flows: 1 << 18, Entries: 1 << 18}, table)
	f := benchFrame(b, vip4, netip.MustParseAddr("10.77.0.10"))
	var spent, floor uint64
	n := 0
	err := ns.Do(func() error {
		for b.Loop() {
			n++
			binary.BigEndian.PutUint32(f[26:], 0x0b000000|uint32(n)&0xffffff)
			_, d, err := p.objs.Ingress.Benchmark(f, 1, nil)
			if err != nil {
				return err
			}
			spent += uint64(d)
			_, d, err = p.objs.Idle.Benchmark(f, 1, nil)
			if err != nil {
				return err
			}
			floor += uint64(d)
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(spent)/float64(n), "ns/packet")
	b.ReportMetric(float64(floor)/float64(n), "floor-ns/packet")
}

// BenchmarkMemory reports what one place in the tables costs, as the kernel accounts
// it (the tables are allocated whole).
func BenchmarkMemory(b *testing.B) {
	const places = 1 << 18
	p, _ := testPlane(b, Options{Flows: places, Entries: places}, service(vip4))
	for b.Loop() {
		continue
	}
	for unit, m := range map[string]*ebpf.Map{"B/flow": p.objs.Flows, "B/entry": p.objs.Persist} {
		info, err := m.Info()
		if err != nil {
			b.Fatal(err)
		}
		bytes, ok := info.Memlock()
		if !ok {
			b.Fatal("the kernel does not account map memory")
		}
		b.ReportMetric(float64(bytes)/places, unit)
	}
}
