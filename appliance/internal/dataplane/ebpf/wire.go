package ebpf

import (
	"encoding/binary"
	"net/netip"

	"github.com/vosbed/vosbed/appliance/lb"
)

// wire turns an address into its 16-byte form, IPv4 mapped.
func wire(a netip.Addr) drAddr {
	b := a.As16()
	return drAddr{W: [2]uint64{binary.LittleEndian.Uint64(b[:8]), binary.LittleEndian.Uint64(b[8:])}}
}

func unwire(a drAddr) netip.Addr {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], a.W[0])
	binary.LittleEndian.PutUint64(b[8:], a.W[1])
	return netip.AddrFrom16(b).Unmap()
}

// prefixMask is the mask of the first bits of 128.
func prefixMask(bits int) drAddr {
	var b [16]byte
	for i := range min(max(bits, 0), 128) {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return wire(netip.AddrFrom16(b))
}

// masks returns the IPv4 and IPv6 masks of a service. Without persistence the
// scheduler looks at the whole address.
func masks(p lb.Persistence) (v4, v6 drAddr) {
	if p.Kind == lb.PersistNone {
		return prefixMask(128), prefixMask(128)
	}
	return prefixMask(96 + p.Mask4), prefixMask(p.Mask6)
}
