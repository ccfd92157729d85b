package dptest

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/vosbed/vosbed/appliance/internal/dataplane/memory"
)

// options are what only the frame shows, not the abstract packet.
type options struct {
	out, opts bool
	broken    string
}

// reader takes the words of a packet line one by one.
type reader struct {
	c     Case
	words []string
}

func (r *reader) next() string {
	if len(r.words) == 0 {
		return ""
	}
	word := r.words[0]
	r.words = r.words[1:]
	return word
}

func (r *reader) addr(word string) (netip.Addr, error) {
	vip, guarded := VIP4, Guarded4
	if r.c.has("v6") {
		vip, guarded = VIP6, Guarded6
	}
	switch word {
	case "V":
		word = vip
	case "W":
		word = guarded
	}
	return netip.ParseAddr(word)
}

// endpoint reads "V:80", "10.0.0.1:9", "[fd00::1]:9" or a bare address.
func (r *reader) endpoint(word string) (netip.Addr, uint16, error) {
	host, port, err := net.SplitHostPort(word)
	if err != nil {
		a, bad := r.addr(word)
		return a, 0, bad
	}
	a, err := r.addr(host)
	n, err2 := strconv.ParseUint(port, 10, 16)
	return a, uint16(n), errors.Join(err, err2)
}

// parse reads a packet line.
func parse(c Case, words []string) (p memory.Packet, o options, err error) {
	r := &reader{c, words}
	p.MAC = [6]byte{2, 0, 0, 0, 0, 9}
	kind := r.next()
	switch kind {
	case "tcp":
		p.Kind, p.Flags = memory.TCP, flags(r.next())
	case "udp":
		p.Kind = memory.UDP
	case "gre":
		p.Kind = memory.OtherIP
	case "icmp":
		p.Kind = icmpKinds()[r.next()]
	case "arp", "ns", "na":
		p.Kind = map[string]memory.Kind{"arp": memory.ARP, "ns": memory.Solicit, "na": memory.Advert}[kind]
	default:
		return p, o, fmt.Errorf("unknown packet kind %q", kind)
	}
	word := r.modifiers(&p, &o)
	if p.Kind >= memory.ARP {
		mac, err := net.ParseMAC(word)
		if err != nil {
			return p, o, err
		}
		copy(p.MAC[:], mac)
		word = r.next()
	}
	return p, o, r.ends(&p, word)
}

func icmpKinds() map[string]memory.Kind {
	return map[string]memory.Kind{"echo": memory.Echo, "error": memory.ICMPError, "other": memory.OtherICMP}
}

func flags(text string) (f memory.Flags) {
	for _, c := range text {
		f |= map[rune]memory.Flags{'S': memory.SYN, 'A': memory.ACK, 'F': memory.FIN, 'R': memory.RST}[c]
	}
	return f
}

// modifiers reads the options and returns the first word after them.
func (r *reader) modifiers(p *memory.Packet, o *options) string {
	for {
		word := r.next()
		place, id, isFragment := strings.Cut(word, "#")
		broken, isBroken := strings.CutPrefix(word, "malformed:")
		switch {
		case isFragment:
			n, _ := strconv.Atoi(id)
			p.ID = uint32(n)
			p.Fragment = map[string]memory.Fragment{"first": memory.First, "later": memory.Later}[place]
		case isBroken:
			p.Malformed, o.broken = true, broken
		case word == "foreign":
			p.Foreign = true
		case word == "broadcast":
			p.Broadcast = true
		case word == "opts":
			o.opts = true
		case word == "out":
			o.out = true
		default:
			return word
		}
	}
}

func (r *reader) ends(p *memory.Packet, first string) (err error) {
	if p.Src, p.SrcPort, err = r.endpoint(first); err != nil {
		return err
	}
	if arrow := r.next(); arrow != ">" {
		return fmt.Errorf("%q where > was expected", arrow)
	}
	if p.Dst, p.DstPort, err = r.endpoint(r.next()); err != nil {
		return err
	}
	if p.Kind == memory.ICMPError {
		p.Inner, err = r.quoted(p)
	}
	return err
}

// quoted reads "tcp 80 1000": the packet that the server had sent to the client.
func (r *reader) quoted(p *memory.Packet) (*memory.Packet, error) {
	in := &memory.Packet{Src: p.Dst, Dst: p.Src}
	switch kind := r.next(); kind {
	case "tcp":
		in.Kind = memory.TCP
	case "udp":
		in.Kind = memory.UDP
	case "icmp":
		in.Kind = memory.Echo
		return in, nil
	default:
		return nil, fmt.Errorf("unknown quoted packet %q", kind)
	}
	sport, err := strconv.ParseUint(r.next(), 10, 16)
	dport, err2 := strconv.ParseUint(r.next(), 10, 16)
	in.SrcPort, in.DstPort = uint16(sport), uint16(dport)
	if len(r.words) > 0 {
		var bad error
		in.Src, bad = r.addr(r.next())
		return in, errors.Join(err, err2, bad)
	}
	return in, errors.Join(err, err2)
}

// build makes the frame of a packet. Its destination MAC is zero, loopback's own.
func build(p memory.Packet, o options) ([]byte, error) {
	eth := &layers.Ethernet{SrcMAC: p.MAC[:], DstMAC: make([]byte, 6)}
	if p.Foreign {
		eth.DstMAC = []byte{2, 0, 0, 0, 0, 0x77}
	}
	if p.Broadcast {
		eth.DstMAC = layers.EthernetBroadcast
	}
	var (
		frame []byte
		err   error
	)
	switch {
	case p.Kind == memory.ARP:
		eth.EthernetType = layers.EthernetTypeARP
		frame, err = serialize(eth, arp(p))
	case p.Dst.Is4():
		eth.EthernetType = layers.EthernetTypeIPv4
		frame, err = build4(eth, p, o)
	default:
		eth.EthernetType = layers.EthernetTypeIPv6
		frame, err = build6(eth, p, o)
	}
	if err != nil {
		return nil, err
	}
	return damage(frame, p, o.broken), nil
}

func serialize(l ...gopacket.SerializableLayer) ([]byte, error) {
	buf := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, l...)
	return buf.Bytes(), err
}

func arp(p memory.Packet) *layers.ARP {
	return &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4,
		HwAddressSize: 6, ProtAddressSize: 4, Operation: layers.ARPRequest,
		SourceHwAddress: p.MAC[:], SourceProtAddress: p.Src.AsSlice(),
		DstHwAddress: make([]byte, 6), DstProtAddress: p.Dst.AsSlice(),
	}
}

// transport is what follows the IP header, as bytes.
func transport(p memory.Packet, ip gopacket.NetworkLayer) (layers.IPProtocol, []byte, error) {
	body := gopacket.Payload("sixty bytes of frame need no pad")
	switch p.Kind {
	case memory.TCP:
		t := &layers.TCP{
			SrcPort: layers.TCPPort(p.SrcPort), DstPort: layers.TCPPort(p.DstPort), Window: 100,
			SYN: p.Flags&memory.SYN != 0, ACK: p.Flags&memory.ACK != 0,
			FIN: p.Flags&memory.FIN != 0, RST: p.Flags&memory.RST != 0,
		}
		_ = t.SetNetworkLayerForChecksum(ip)
		b, err := serialize(t, body)
		return layers.IPProtocolTCP, b, err
	case memory.UDP:
		u := &layers.UDP{SrcPort: layers.UDPPort(p.SrcPort), DstPort: layers.UDPPort(p.DstPort)}
		_ = u.SetNetworkLayerForChecksum(ip)
		b, err := serialize(u, body)
		return layers.IPProtocolUDP, b, err
	case memory.OtherIP:
		return layers.IPProtocolGRE, body, nil
	case memory.Echo, memory.ICMPError, memory.OtherICMP, memory.ARP, memory.Solicit, memory.Advert:
	}
	return icmp(p)
}

func icmp(p memory.Packet) (layers.IPProtocol, []byte, error) {
	v6 := p.Dst.Is6()
	proto := layers.IPProtocolICMPv4
	types := map[memory.Kind]byte{memory.Echo: 8, memory.ICMPError: 3, memory.OtherICMP: 13}
	if v6 {
		proto = layers.IPProtocolICMPv6
		types = map[memory.Kind]byte{
			memory.Echo: 128, memory.ICMPError: 1, memory.OtherICMP: 139,
			memory.Solicit: 135, memory.Advert: 136,
		}
	}
	b := make([]byte, 8)
	b[0] = types[p.Kind]
	switch p.Kind {
	case memory.Solicit, memory.Advert:
		b = append(b, p.Dst.AsSlice()...)
	case memory.ICMPError:
		inner, err := build(*p.Inner, options{})
		if err != nil {
			return proto, nil, err
		}
		b = append(b, inner[14:]...)
	case memory.TCP, memory.UDP, memory.Echo, memory.OtherICMP, memory.OtherIP, memory.ARP:
		b = append(b, "ping"...)
	}
	return proto, b, nil
}

func build4(eth *layers.Ethernet, p memory.Packet, o options) ([]byte, error) {
	ip := &layers.IPv4{Version: 4, TTL: 64, Id: uint16(p.ID), SrcIP: p.Src.AsSlice(), DstIP: p.Dst.AsSlice()}
	if o.opts {
		ip.Options = []layers.IPv4Option{{OptionType: 1}, {OptionType: 1}, {OptionType: 1}, {OptionType: 0}}
	}
	if p.Fragment == memory.First {
		ip.Flags = layers.IPv4MoreFragments
	}
	if p.Fragment == memory.Later {
		ip.FragOffset = 185
	}
	proto, body, err := transport(p, ip)
	if err != nil {
		return nil, err
	}
	ip.Protocol = proto
	return serialize(eth, ip, gopacket.Payload(body))
}

func build6(eth *layers.Ethernet, p memory.Packet, o options) ([]byte, error) {
	ip := &layers.IPv6{Version: 6, HopLimit: 255, SrcIP: p.Src.AsSlice(), DstIP: p.Dst.AsSlice()}
	if p.Kind == memory.Solicit || p.Kind == memory.Advert {
		ip.DstIP = netip.MustParseAddr("ff02::1").AsSlice()
	}
	next, body, err := transport(p, ip)
	if err != nil {
		return nil, err
	}
	if p.Fragment != memory.Whole {
		body, next = append(fragmentHeader(p, next), body...), layers.IPProtocolIPv6Fragment
	}
	if o.opts { // destination options and hop-by-hop options, padded to 8 bytes each
		body = append([]byte{byte(next), 0, 1, 4, 0, 0, 0, 0}, body...)
		body = append([]byte{60, 0, 1, 4, 0, 0, 0, 0}, body...)
		next = 0
	}
	ip.NextHeader = next
	// The payload is already complete; gopacket must not add headers of its own.
	head, err := serialize(eth)
	if err != nil {
		return nil, err
	}
	return append(append(head[:14], header6(ip, len(body))...), body...), nil
}

func header6(ip *layers.IPv6, n int) []byte {
	h := make([]byte, 8, 40)
	h[0] = 0x60
	h[4], h[5] = byte(n>>8), byte(n)
	h[6], h[7] = byte(ip.NextHeader), ip.HopLimit
	return append(append(h, ip.SrcIP...), ip.DstIP...)
}

func fragmentHeader(p memory.Packet, next layers.IPProtocol) []byte {
	h := []byte{byte(next), 0, 0, 1, byte(p.ID >> 24), byte(p.ID >> 16), byte(p.ID >> 8), byte(p.ID)}
	if p.Fragment == memory.Later {
		h[2], h[3] = 185>>5, (185<<3)&0xff
	}
	return h
}

// damage breaks a frame on purpose.
func damage(f []byte, p memory.Packet, how string) []byte {
	switch how {
	case "ihl": // header length below the least
		f[14] = 0x43
	case "version":
		f[14] = f[14]&0x0f | 0x70
	case "length": // longer than the frame
		at := 16
		if p.Dst.Is6() {
			at = 18
		}
		f[at] = 0xff
	case "short": // total length shorter than the header
		f[16], f[17] = 0, 10
	case "cut": // ports cut off
		n := 14 + 20 + 2
		if p.Dst.Is6() {
			n = 14 + 40 + 2
			f[18], f[19] = 0, 2
		} else {
			f[16], f[17] = 0, 22
		}
		f = f[:n]
	case "chain": // more extension headers than anyone sends
		chain := []byte{}
		for range 8 {
			chain = append(chain, 60, 0, 1, 4, 0, 0, 0, 0)
		}
		rest := f[54:]
		f = append(append(append([]byte{}, f[:54]...), chain...), rest...)
		f[20] = 60
		f[18], f[19] = 0, byte(len(f)-54)
	}
	return f
}
