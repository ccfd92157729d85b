package ebpf

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
)

// Limits and codes of bpf/consts.h.
const (
	maxVIPs     = lb.MaxVIPs
	maxServices = lb.MaxServices
	maxReals    = lb.MaxAllRealServers
	maxRoster   = lb.MaxRealServers
	maxShared   = lb.MaxShared

	vipBalanced = 1
	vipGuarded  = 2

	realGone = 0
	realKeep = 1
	realOpen = 2

	realResolved = 1
	realV4       = 2

	serviceMaglev          = 1
	servicePersist         = 2
	serviceDrainPersistent = 4

	defaultTimeout = 300 * time.Second
)

// image is the content of the kernel's maps as wanted or as known to be.
type image struct {
	services map[uint16]drService
	reals    map[uint16]drReal
	rosters  map[uint16]drRoster
	rings    map[uint16][]uint16 // nil = no server
	ports    map[uint16][]uint16 // by vip slot * 2 + protocol
	vips     map[netip.Addr]drVip
}

func newImage() image {
	return image{
		map[uint16]drService{},
		map[uint16]drReal{},
		map[uint16]drRoster{},
		map[uint16][]uint16{},
		map[uint16][]uint16{},
		map[netip.Addr]drVip{},
	}
}

// admission picks what this engine can do from a table, in the table's order.
type admission struct {
	table     plan.L4Table
	names     map[string]bool
	on        map[netip.Addr][]plan.L4Service
	addresses map[netip.Addr]bool
	reals     int
	errs      []error
}

// admit returns the part of a table that can be programmed and says why the rest cannot.
// A mistake in one service takes nothing from the others.
func admit(t plan.L4Table) (plan.L4Table, []error) {
	a := admission{
		table: plan.L4Table{Leased: t.Leased}, names: map[string]bool{},
		on: map[netip.Addr][]plan.L4Service{}, addresses: map[netip.Addr]bool{},
	}
	for _, s := range t.Services {
		if err := a.refuses(s); err != nil {
			a.errs = append(a.errs, fmt.Errorf("service %s: %w", s.Name, err))
			continue
		}
		a.table.Services = append(a.table.Services, s)
		a.names[s.Name], a.addresses[s.Addr] = true, true
		a.on[s.Addr] = append(a.on[s.Addr], s)
		a.reals += len(s.Reals)
	}
	for _, v := range t.OtherVIPs {
		if err := a.crowded(v.Addr); err != nil {
			a.errs = append(a.errs, fmt.Errorf("address %s: %w", v.Addr, err))
			continue
		}
		a.table.OtherVIPs = append(a.table.OtherVIPs, v)
		a.addresses[v.Addr] = true
	}
	return a.table, a.errs
}

func (a *admission) crowded(addr netip.Addr) error {
	if !a.addresses[addr] && len(a.addresses) == maxVIPs {
		return fmt.Errorf("more than %d virtual addresses", maxVIPs)
	}
	return nil
}

// refuses says why a service cannot be programmed beside those that are in.
func (a *admission) refuses(s plan.L4Service) error {
	if err := validateService(s); err != nil {
		return err
	}
	switch {
	case a.names[s.Name]:
		return errors.New("the name is used twice")
	case len(a.table.Services) == maxServices:
		return fmt.Errorf("more than %d services", maxServices)
	case len(a.on[s.Addr]) == maxShared:
		return fmt.Errorf("more than %d services on %s", maxShared, s.Addr)
	case a.reals+len(s.Reals) > maxReals:
		return fmt.Errorf("more than %d real servers of all services", maxReals)
	}
	for _, o := range a.on[s.Addr] {
		if o.Protocols&s.Protocols != 0 && o.Ports.Overlaps(s.Ports) {
			return fmt.Errorf("shares ports of %s with service %s", s.Addr, o.Name)
		}
	}
	return a.crowded(s.Addr)
}

func validateService(s plan.L4Service) error {
	switch {
	case !s.Addr.IsValid():
		return errors.New("no address")
	case s.Interface == "":
		return errors.New("no interface")
	case s.Scheduler != lb.WLC && s.Scheduler != lb.Maglev:
		return fmt.Errorf("layer 4 cannot schedule by %s: use wlc or maglev", s.Scheduler)
	case len(s.Reals) > maxRoster:
		return fmt.Errorf("%d real servers, at most %d", len(s.Reals), maxRoster)
	}
	seen := map[string]bool{}
	for _, r := range s.Reals {
		key := r.Name + "\x00" + r.Addr.String()
		if !r.Addr.IsValid() || seen[key] {
			return fmt.Errorf("real server %s: no address, or listed twice", r.Name)
		}
		seen[key] = true
	}
	return nil
}

func (p *Plane) serviceRecord(s plan.L4Service, ref uint32) drService {
	out := drService{Ref: ref}
	if s.Scheduler == lb.Maglev {
		out.Flags |= serviceMaglev
	}
	if s.Persistence.Kind == lb.PersistSourceIP {
		out.Flags |= servicePersist
	}
	if s.DrainPersistent {
		out.Flags |= serviceDrainPersistent
	}
	out.Timeout = p.stamps(timeoutOf(s))
	out.Mask4, out.Mask6 = masks(s.Persistence)
	return out
}

func timeoutOf(s plan.L4Service) time.Duration {
	if s.Persistence.Timeout > 0 {
		return s.Persistence.Timeout
	}
	return defaultTimeout
}

func realRecord(r plan.L4Real, ref uint32, service uint16) drReal {
	out := drReal{
		Addr: wire(r.Addr), Ref: ref, State: realState(r), Service: uint32(service),
		Weight: clamp(r.Weight), MinConns: clamp(r.MinConns), MaxConns: clamp(r.MaxConns),
	}
	if r.Addr.Unmap().Is4() {
		out.Flags |= realV4
	}
	return out
}

func clamp(n int) uint32 { return uint32(min(max(n, 0), math.MaxInt32)) }

func realState(r plan.L4Real) uint16 {
	switch {
	case r.State == lb.Serving && r.Weight > 0:
		return realOpen
	case r.State == lb.Serving || r.State == lb.Draining:
		return realKeep
	default:
		return realGone
	}
}

// paint writes a service's ports into the table of one protocol.
func paint(table []uint16, ports lb.PortSet, service uint16) {
	for port := range ports.Each {
		table[port] = service + 1
	}
}
