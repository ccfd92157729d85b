package ipvs

import (
	"encoding/binary"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/lb"
)

// reg is the one register that the rules use.
const reg = 1

// add appends a rule to the transaction.
func (p *Plane) add(chain *nftables.Chain, r rule) error {
	e := append(fromInterface(r.iface), toAddress(r)...)
	switch r.match {
	case anything:
	case notUnicast:
		e = append(e, meta(expr.MetaKeyPKTTYPE), not(unix.PACKET_HOST))
	case icmpMessage:
		proto := byte(unix.IPPROTO_ICMP)
		if r.addr.Is6() {
			proto = unix.IPPROTO_ICMPV6
		}
		e = append(e, meta(expr.MetaKeyL4PROTO), is(proto))
	case laterPart:
		e = append(e, laterFragment(r)...)
	case servedPort:
		set, err := p.portSet(chain.Table, r.ports)
		if err != nil {
			return err
		}
		proto := byte(unix.IPPROTO_TCP)
		if r.proto == lb.UDP {
			proto = unix.IPPROTO_UDP
		}
		e = append(e, meta(expr.MetaKeyL4PROTO), is(proto),
			&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
			&expr.Lookup{SourceRegister: reg, SetName: set.Name, SetID: set.ID})
	}
	p.nft.AddRule(&nftables.Rule{Table: chain.Table, Chain: chain, Exprs: append(e, end(r)...)})
	return nil
}

func meta(key expr.MetaKey) expr.Any { return &expr.Meta{Key: key, Register: reg} }
func is(b ...byte) expr.Any          { return &expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: b} }
func not(b ...byte) expr.Any         { return &expr.Cmp{Op: expr.CmpOpNeq, Register: reg, Data: b} }

func fromInterface(name string) []expr.Any {
	padded := make([]byte, ifNameSize)
	copy(padded, name)
	return []expr.Any{meta(expr.MetaKeyIIFNAME), is(padded...)}
}

func toAddress(r rule) []expr.Any {
	family, offset := byte(unix.NFPROTO_IPV4), uint32(16) // of the destination in the header
	if r.addr.Is6() {
		family, offset = unix.NFPROTO_IPV6, 24
	}
	a := r.addr.AsSlice()
	return []expr.Any{
		meta(expr.MetaKeyNFPROTO), is(family),
		&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: uint32(len(a))}, is(a...),
	}
}

// laterFragment matches fragments but the first: those with an offset.
func laterFragment(r rule) []expr.Any {
	var load expr.Any = &expr.Payload{DestRegister: reg, Base: expr.PayloadBaseNetworkHeader, Offset: 6, Len: 2}
	mask := []byte{0x1f, 0xff}
	if r.addr.Is6() {
		load = &expr.Exthdr{DestRegister: reg, Type: unix.IPPROTO_FRAGMENT, Offset: 2, Len: 2, Op: expr.ExthdrOpIpv6}
		mask = []byte{0xff, 0xf8}
	}
	return []expr.Any{
		load, &expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 2, Mask: mask, Xor: []byte{0, 0}}, not(0, 0),
	}
}

// end is what becomes of a packet.
func end(r rule) []expr.Any {
	switch {
	case r.drop != "":
		return []expr.Any{&expr.Objref{Type: int(nftables.ObjTypeCounter), Name: r.drop}, &expr.Verdict{Kind: expr.VerdictDrop}}
	case r.mark != 0:
		return []expr.Any{
			&expr.Immediate{Register: reg, Data: binary.NativeEndian.AppendUint32(nil, r.mark)},
			&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: reg},
			&expr.Verdict{Kind: expr.VerdictAccept},
		}
	}
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}
}

// portSet is a nameless set of ranges: each begins with its first port and ends before
// the port after its last, which 65535 has not.
func (p *Plane) portSet(table *nftables.Table, ports lb.PortSet) (*nftables.Set, error) {
	set := &nftables.Set{Table: table, Anonymous: true, Constant: true, Interval: true, KeyType: nftables.TypeInetService}
	elements := make([]nftables.SetElement, 0, 2*len(ports)+1)
	if ports[0].First > 0 { // as nft does it: what is not in the set begins with 0
		elements = append(elements, nftables.SetElement{Key: []byte{0, 0}, IntervalEnd: true})
	}
	for _, r := range ports {
		elements = append(elements, nftables.SetElement{Key: binary.BigEndian.AppendUint16(nil, r.First)})
		if r.Last < 65535 {
			elements = append(elements, nftables.SetElement{Key: binary.BigEndian.AppendUint16(nil, r.Last+1), IntervalEnd: true})
		}
	}
	if err := p.nft.AddSet(set, elements); err != nil {
		return nil, fmt.Errorf("make the set of ports %s: %w", ports, err)
	}
	return set, nil
}
