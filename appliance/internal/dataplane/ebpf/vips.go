package ebpf

import (
	"errors"
	"fmt"
	"net/netip"
)

// Codes and sizes of bpf/consts.h and bpf/vip.h.
const (
	vipRemoved = 3
	vipSlots   = 2048
	vipProbes  = 16
)

// vipHome is where the search for an address begins, as in bpf/vip.h.
func vipHome(a drAddr) uint32 { return uint32((a.W[0] ^ a.W[1]) * 0x9E3779B97F4A7C15 >> 53) }

// adoptVIPs reads the table of an earlier process.
func (p *Plane) adoptVIPs() error {
	for i := range uint32(vipSlots) {
		var s drVipSlot
		if err := p.objs.Vips.Lookup(i, &s); err != nil {
			return fmt.Errorf("read the address table: %w", err)
		}
		if s.Vip.Kind == 0 || s.Vip.Kind == vipRemoved {
			continue
		}
		addr := unwire(s.Addr)
		p.vipSlots.restore(int(s.Vip.Slot), 0, identify(addr.String()))
		p.kernel.vips[addr] = s.Vip
	}
	return nil
}

// putVIP writes an address into its place, or the first free one after its home.
func (p *Plane) putVIP(a netip.Addr, v drVip) error {
	want := drVipSlot{Addr: wire(a), Vip: v}
	free := int64(-1)
	at := vipHome(want.Addr)
	for range vipProbes {
		var s drVipSlot
		if err := p.objs.Vips.Lookup(at, &s); err != nil {
			return err
		}
		used := s.Vip.Kind != 0 && s.Vip.Kind != vipRemoved
		if used && s.Addr == want.Addr {
			free = int64(at)
			break
		}
		if !used && free < 0 {
			free = int64(at)
		}
		if s.Vip.Kind == 0 {
			break
		}
		at = (at + 1) % vipSlots
	}
	if free < 0 {
		return errors.New("the address table is too crowded")
	}
	return p.objs.Vips.Put(uint32(free), want)
}

// dropVIP marks an address's place as removed; searches go on past it.
func (p *Plane) dropVIP(a netip.Addr) error {
	raw := wire(a)
	at := vipHome(raw)
	for range vipProbes {
		var s drVipSlot
		if err := p.objs.Vips.Lookup(at, &s); err != nil || s.Vip.Kind == 0 {
			return err
		}
		if s.Addr == raw && s.Vip.Kind != vipRemoved {
			return p.objs.Vips.Put(at, drVipSlot{Addr: raw, Vip: drVip{Kind: vipRemoved}})
		}
		at = (at + 1) % vipSlots
	}
	return nil
}
