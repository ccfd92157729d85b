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
	maxRoster = 256
	maxShared = 8

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

// validate refuses, all at once, what this engine cannot do.
func validate(t plan.L4Table) error {
	var errs []error
	for i, s := range t.Services {
		errs = append(errs, validateService(s))
		for _, o := range t.Services[:i] {
			if o.Name == s.Name {
				errs = append(errs, fmt.Errorf("service %s: the name is used twice", s.Name))
			}
			if o.Addr == s.Addr && o.Protocols&s.Protocols != 0 && o.Ports.Overlaps(s.Ports) {
				errs = append(errs, fmt.Errorf("services %s and %s share ports of %s", o.Name, s.Name, s.Addr))
			}
		}
	}
	return errors.Join(errs...)
}

func validateService(s plan.L4Service) error {
	switch {
	case !s.Addr.IsValid():
		return fmt.Errorf("service %s: no address", s.Name)
	case s.Interface == "":
		return fmt.Errorf("service %s: no interface", s.Name)
	case s.Scheduler != lb.WLC && s.Scheduler != lb.Maglev:
		return fmt.Errorf("service %s: layer 4 cannot schedule by %s: use wlc or maglev", s.Name, s.Scheduler)
	case len(s.Reals) > maxRoster:
		return fmt.Errorf("service %s: %d real servers, at most %d", s.Name, len(s.Reals), maxRoster)
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
