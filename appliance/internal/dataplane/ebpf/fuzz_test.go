package ebpf

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/vosbed/vosbed/appliance/internal/plan"
)

// FuzzPrograms puts frames through both programs: whatever they hold, the kernel runs
// them without an error, the verdict is one of three, a drop is counted under one
// reason, what is dropped or passed is left as it was, and what is sent on differs in
// the MACs alone. Both families have a service, with a lease that is over or without one.
func FuzzPrograms(f *testing.F) {
	for _, seed := range seeds(f) {
		seed = append(seed, make([]byte, max(0, 60-len(seed)))...) // as Ethernet pads
		f.Add(seed, false)
		f.Add(seed, true)
	}
	plane := func(leased bool) (*Plane, func(func() error) error) {
		table := service(vip4)
		six := service(vip6).Services[0]
		six.Name = "six"
		table.Services, table.Leased = append(table.Services, six), leased
		table.OtherVIPs = []plan.VIP{{Addr: netip.MustParseAddr("10.77.0.110"), Interface: "eth0"}}
		p, ns := testPlane(f, Options{Flows: 256, Entries: 256}, table)
		return p, ns.Do
	}
	free, inFree := plane(false)
	silent, inSilent := plane(true)
	f.Fuzz(func(t *testing.T, data []byte, leased bool) {
		p, do := free, inFree
		if leased {
			p, do = silent, inSilent
		}
		if fr := fitted(data); fr != nil {
			throughBoth(t, p, do, fr)
		}
	})
}

// fitted makes a frame that the kernel takes for a test run: it wants a whole Ethernet
// header and room for that of IP. The destination is loopback's own MAC, as elsewhere.
func fitted(data []byte) []byte {
	const least, most = 14 + 40, 1514
	if len(data) < least {
		return nil
	}
	fr := slices.Clone(data[:min(len(data), most)])
	if fr[0]&1 == 0 {
		clear(fr[:6])
	}
	return fr
}

func throughBoth(t *testing.T, p *Plane, do func(func() error) error, in []byte) {
	t.Helper()
	for _, prog := range p.hooks() {
		before := counted(t, p)
		var (
			ret uint32
			out []byte
		)
		if err := do(func() (err error) { ret, out, err = prog.prog.Test(in); return err }); err != nil {
			t.Fatalf("%s: %v", prog.name, err)
		}
		dropped := counted(t, p) - before
		good := false
		switch ret {
		case 0xffffffff: // pass
			good = dropped == 0 && slices.Equal(in, out)
		case 2: // drop
			good = dropped == 1 && slices.Equal(in, out)
		case redirected:
			good = dropped == 0 && slices.Equal(in[12:], out[12:]) && prog.name == "ingress"
		}
		if !good {
			t.Errorf("%s: verdict %d, %d drops counted; the frame went in as\n%x and came out as\n%x", prog.name, int32(ret), dropped, in, out)
		}
	}
}

// counted is the sum of all drops.
func counted(t *testing.T, p *Plane) (sum uint64) {
	t.Helper()
	for i := range dropReasons() {
		c, err := total(p.objs.Drops, uint32(i))
		if err != nil {
			t.Fatal(err)
		}
		if dropReasons()[i] != "table_full" {
			sum += c.Packets
		}
	}
	return sum
}

// seeds are frames of all kinds that the programs look into.
func seeds(tb testing.TB) [][]byte {
	tb.Helper()
	eth := func(kind layers.EthernetType) *layers.Ethernet {
		return &layers.Ethernet{SrcMAC: []byte{2, 0, 0, 0, 0, 9}, DstMAC: make([]byte, 6), EthernetType: kind}
	}
	client4, client6 := netip.MustParseAddr("10.77.0.10"), netip.MustParseAddr("fd77::10")
	four := func(proto layers.IPProtocol, more ...gopacket.SerializableLayer) []byte {
		ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: proto, SrcIP: client4.AsSlice(), DstIP: netip.MustParseAddr(vip4).AsSlice()}
		return frame(tb, append([]gopacket.SerializableLayer{eth(layers.EthernetTypeIPv4), ip}, more...)...)
	}
	six := func(next layers.IPProtocol, more ...gopacket.SerializableLayer) []byte {
		ip := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: next, SrcIP: client6.AsSlice(), DstIP: netip.MustParseAddr(vip6).AsSlice()}
		return frame(tb, append([]gopacket.SerializableLayer{eth(layers.EthernetTypeIPv6), ip}, more...)...)
	}
	// A SYN to port 80, and 8 bytes that are an option header, a fragment header or both.
	tcp := gopacket.Payload(synFrame(1, 1000)[34:54])
	udp := gopacket.Payload{0x13, 0x88, 0x13, 0x88, 0, 16, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8}
	ext := func(next byte, offset uint16) gopacket.Payload {
		return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16([]byte{next, 0}, offset), 7)
	}
	first, later := four(layers.IPProtocolUDP, udp), four(layers.IPProtocolUDP, udp)
	first[20], later[21] = 0x20, 185
	options := four(layers.IPProtocolUDP, gopacket.Payload{1, 1, 1, 0}, udp)
	options[14] = 0x46
	unreachable4 := append([]byte{3, 1, 0, 0, 0, 0, 0, 0}, four(layers.IPProtocolTCP, tcp)[14:]...)
	copy(unreachable4[8+12:], netip.MustParseAddr(vip4).AsSlice())
	copy(unreachable4[8+16:], client4.AsSlice())
	unreachable6 := append([]byte{1, 0, 0, 0, 0, 0, 0, 0}, six(layers.IPProtocolTCP, tcp)[14:]...)
	copy(unreachable6[8+8:], netip.MustParseAddr(vip6).AsSlice())
	copy(unreachable6[8+24:], client6.AsSlice())
	solicit := append([]byte{135, 0, 0, 0, 0, 0, 0, 0}, netip.MustParseAddr(vip6).AsSlice()...)
	arp := question([]byte{2, 0, 0, 0, 0, 9}, netip.MustParseAddr(vip4), netip.Addr{})
	guarded := four(layers.IPProtocolTCP, tcp)
	guarded[33] = 110
	check := four(layers.IPProtocolTCP, tcp)
	copy(check[30:], []byte{198, 19, 224, 0})
	return [][]byte{
		four(layers.IPProtocolTCP, tcp), four(layers.IPProtocolUDP, udp), first, later, options, guarded, check, arp,
		four(layers.IPProtocolICMPv4, gopacket.Payload{8, 0, 0, 0, 0, 1, 0, 1}), four(layers.IPProtocolICMPv4, gopacket.Payload(unreachable4)),
		six(layers.IPProtocolTCP, tcp), six(layers.IPProtocolUDP, udp),
		six(0, ext(60, 0x0104), ext(43, 0x0104), ext(17, 0), udp),
		six(44, ext(17, 1), udp), six(44, ext(17, 185<<3), udp), six(60, ext(44, 0x0104), ext(6, 0), tcp),
		six(58, gopacket.Payload{128, 0, 0, 0, 0, 1, 0, 1}), six(58, gopacket.Payload(unreachable6)), six(58, gopacket.Payload(solicit)),
	}
}
