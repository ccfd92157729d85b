package ipvs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/moby/ipvs"
	"golang.org/x/sys/unix"
)

// present is a service that the kernel has, with its servers.
type present struct {
	raw   *ipvs.Service
	dests map[netip.Addr]*ipvs.Destination
}

// read returns the engine's services in the kernel, by mark.
func (p *Plane) read() (map[uint32]present, error) {
	all, err := p.kernel.GetServices()
	if err != nil {
		return nil, fmt.Errorf("read the services of IPVS: %w", err)
	}
	out := map[uint32]present{}
	for _, s := range all {
		if s.FWMark&^markBits != markBase {
			continue
		}
		list, err := p.kernel.GetDestinations(s)
		if err != nil {
			return nil, fmt.Errorf("read the servers of mark %#x: %w", s.FWMark, err)
		}
		one := present{s, map[netip.Addr]*ipvs.Destination{}}
		for _, d := range list {
			if addr, ok := addrOf(d.Address); ok {
				one.dests[addr] = d
			}
		}
		out[s.FWMark] = one
	}
	return out, nil
}

func addrOf(ip net.IP) (netip.Addr, bool) {
	a, ok := netip.AddrFromSlice(ip)
	return a.Unmap(), ok
}

func (d desired) has(mark uint32) bool {
	return slices.ContainsFunc(d.services, func(s service) bool { return s.mark == mark })
}

// program makes one service as wanted and returns how many servers it then has.
func (p *Plane) program(s service, have present) (int, error) {
	raw := s.raw()
	switch {
	case have.raw == nil:
		if err := p.kernel.NewService(raw); err != nil {
			return 0, fmt.Errorf("make it (scheduler %s): %w", s.sched, err)
		}
	case have.raw.AddressFamily != raw.AddressFamily:
		if err := errors.Join(p.kernel.DelService(have.raw), p.kernel.NewService(raw)); err != nil {
			return 0, fmt.Errorf("change its family: %w", err)
		}
		have.dests = nil
	case !sameService(have.raw, raw):
		if err := p.kernel.UpdateService(raw); err != nil {
			return 0, fmt.Errorf("change it: %w", err)
		}
	}
	return p.servers(s, raw, have.dests)
}

// servers makes the servers of a service as wanted. The kernel looks at the newest first,
// so new ones are made from the last to the first.
func (p *Plane) servers(s service, raw *ipvs.Service, have map[netip.Addr]*ipvs.Destination) (n int, err error) {
	stays, fresh := map[netip.Addr]bool{}, false
	for _, d := range slices.Backward(s.dests) {
		old, is := have[d.addr]
		if d.adopt {
			if is {
				stays[d.addr] = true
			}
			continue
		}
		stays[d.addr] = true
		want := d.raw(p.opts.Forward)
		switch {
		case !is:
			if err = p.kernel.NewDestination(raw, want); err != nil {
				return 0, fmt.Errorf("add the server %s: %w", d.name, err)
			}
			fresh = true
		case !sameDest(old, want):
			if err = p.kernel.UpdateDestination(raw, want); err != nil {
				return 0, fmt.Errorf("change the server %s: %w", d.name, err)
			}
		}
	}
	for addr, d := range have {
		if !stays[addr] {
			if err = p.kernel.DelDestination(raw, d); err != nil {
				return 0, fmt.Errorf("remove the server %s: %w", addr, err)
			}
		}
	}
	if fresh {
		err = p.baseline(raw, have)
	}
	return len(stays), err
}

// baseline begins the counts of new servers: the kernel may revive one that it had not
// quite forgotten, counts and all.
func (p *Plane) baseline(raw *ipvs.Service, have map[netip.Addr]*ipvs.Destination) error {
	list, err := p.kernel.GetDestinations(raw)
	if err != nil {
		return fmt.Errorf("read the new servers: %w", err)
	}
	for _, d := range list {
		if addr, ok := addrOf(d.Address); ok && have[addr] == nil {
			p.stats.at(counted{raw.FWMark, addr}).last = ipvs.SvcStats(d.Stats)
		}
	}
	return nil
}

// raw is the service in the kernel's words.
func (s service) raw() *ipvs.Service {
	out := &ipvs.Service{
		FWMark: s.mark, AddressFamily: familyOf(s.addr), SchedName: s.sched,
		Flags: s.flags, Timeout: s.timeout, Netmask: uint32(s.prefix),
	}
	if s.addr.Is4() { // a mask in network order, where IPv6 has a number of bits
		out.Netmask = binary.NativeEndian.Uint32(net.CIDRMask(s.prefix, 32))
	}
	return out
}

func familyOf(a netip.Addr) uint16 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func sameService(have, want *ipvs.Service) bool {
	return have.SchedName == want.SchedName && have.Flags&^flagHashed == want.Flags &&
		have.Timeout == want.Timeout && have.Netmask == want.Netmask
}

// raw is the server in the kernel's words. Port 0 keeps the client's.
func (d dest) raw(f Forward) *ipvs.Destination {
	out := &ipvs.Destination{
		Address: d.addr.AsSlice(), AddressFamily: familyOf(d.addr), Weight: d.weight,
		UpperThreshold: d.upper, LowerThreshold: d.lower, ConnectionFlags: ipvs.ConnectionFlagDirectRoute,
	}
	if f == NAT {
		out.ConnectionFlags = ipvs.ConnectionFlagMasq
	}
	return out
}

func sameDest(have, want *ipvs.Destination) bool {
	return have.Weight == want.Weight && have.UpperThreshold == want.UpperThreshold && have.LowerThreshold == want.LowerThreshold &&
		have.ConnectionFlags&ipvs.ConnectionFlagFwdMask == want.ConnectionFlags
}
