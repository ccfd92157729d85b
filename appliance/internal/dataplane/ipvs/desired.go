package ipvs

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
)

// Marks of this engine are markBase and a hash of the service's name, so that the next
// daemon gives the same. Services with other marks, or none, belong to somebody else.
const (
	markBase = 0x4c000000 // "L"
	markBits = 0x00ffffff
)

// Flags of a service and limits of the kernel (linux/ip_vs.h).
const (
	flagPersistent = 0x0001
	flagHashed     = 0x0002 // the kernel's own
	flagMHFallback = 0x0008 // maglev: a client of a full server goes to another
	maxTimeout     = 31 * 24 * time.Hour
)

// service is a virtual service as the kernel has it.
type service struct {
	name    string
	addr    netip.Addr
	mark    uint32
	sched   string
	flags   uint32
	timeout uint32 // of persistence, in seconds
	prefix  int    // of persistence, in bits
	dests   []dest
	// reals names all its servers: those that are not in the kernel now were, and counted.
	reals map[netip.Addr]string
}

// dest is a real server.
type dest struct {
	name         string
	addr         netip.Addr
	weight       int
	upper, lower uint32 // connections: full at upper, free again below lower; 0 = no limit
	// adopt: there is no verdict on it yet. What the kernel has of it stays.
	adopt bool
}

// desired is what the kernel shall have.
type desired struct {
	services []service
	vips     []vip
	// keepClients lets a draining server's persistent clients come back to it. IPVS knows
	// that for all services or none: one that asks for it decides.
	keepClients bool
}

// vip is an address with the services behind it.
type vip struct {
	addr  netip.Addr
	iface string
	ports []portsOf
}

// portsOf are the ports of one service at its address.
type portsOf struct {
	mark   uint32
	ports  lb.PortSet
	protos lb.Protocols
}

// resolve turns a table into what the kernel shall have, and says what it cannot have.
func resolve(t plan.L4Table) (desired, *plan.UnservedError) {
	var (
		d    desired
		errs []error
		bad  []netip.Addr
	)
	taken := map[uint32]bool{}
	for _, s := range t.Services {
		if err := refuse(t, s); err != nil {
			errs, bad = append(errs, fmt.Errorf("service %s: %w", s.Name, err)), append(bad, s.Addr)
			continue
		}
		one := serviceOf(s)
		one.mark = markOf(s.Name, taken)
		d.services = append(d.services, one)
		d.keepClients = d.keepClients || s.DrainPersistent
		d.place(s, one.mark)
	}
	if errs == nil {
		return d, nil
	}
	return d, &plan.UnservedError{Addrs: d.without(bad), Err: errors.Join(errs...)}
}

// without returns those addresses that have no service.
func (d desired) without(addrs []netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, a := range addrs {
		if !slices.Contains(out, a) && !slices.ContainsFunc(d.vips, func(v vip) bool { return v.addr == a }) {
			out = append(out, a)
		}
	}
	return out
}

// refuse says why a service cannot be programmed.
func refuse(t plan.L4Table, s plan.L4Service) error {
	var errs []error
	if t.Leased {
		errs = append(errs, errors.New("IPVS cannot watch the pair's lease: use the eBPF data plane, or set cluster.lease_guard to false"))
	}
	if schedulerOf(s.Scheduler) == "" {
		errs = append(errs, fmt.Errorf("layer 4 has no scheduler %s: use wlc or maglev", s.Scheduler))
	}
	if len(s.Ports) == 0 {
		errs = append(errs, errors.New("it has no ports"))
	}
	if len(s.Interface) >= ifNameSize {
		errs = append(errs, fmt.Errorf("interface name %q is too long", s.Interface))
	}
	for _, r := range s.Reals {
		if r.Addr.Is4() != s.Addr.Is4() {
			errs = append(errs, fmt.Errorf("real server %s: %s and %s are not of one family", r.Name, r.Addr, s.Addr))
		}
		if r.Weight < 0 || r.Weight > math.MaxUint16 {
			errs = append(errs, fmt.Errorf("real server %s: weight %d is not between 0 and %d", r.Name, r.Weight, math.MaxUint16))
		}
	}
	return errors.Join(errs...)
}

// schedulerOf names the kernel's scheduler. IPVS's wlc counts what is idle as well, as a
// 256th of a connection: UDP is never more to it, so its sed and lc would send all UDP to
// one server.
func schedulerOf(s lb.Scheduler) string {
	switch s {
	case lb.WLC:
		return "wlc"
	case lb.Maglev:
		return "mh"
	case lb.RoundRobin: // layer 7 only
	}
	return ""
}

func serviceOf(s plan.L4Service) service {
	out := service{name: s.Name, addr: s.Addr, sched: schedulerOf(s.Scheduler), prefix: s.Addr.BitLen(), reals: map[netip.Addr]string{}}
	if s.Scheduler == lb.Maglev {
		out.flags |= flagMHFallback
	}
	if s.Persistence.Kind == lb.PersistSourceIP {
		out.flags |= flagPersistent
		// Rounded up: the kernel knows seconds.
		out.timeout = uint32((min(max(s.Persistence.Timeout, time.Second), maxTimeout) + time.Second - 1) / time.Second)
		out.prefix = s.Persistence.Mask4
		if s.Addr.Is6() {
			out.prefix = s.Persistence.Mask6
		}
	}
	for _, r := range s.Reals {
		out.reals[r.Addr] = r.Name
		if d, ok := destOf(r); ok {
			out.dests = append(out.dests, d)
		}
	}
	return out
}

// destOf is a real server that the kernel shall have: a draining one has no weight, one
// that is down or halted is not there at all.
func destOf(r plan.L4Real) (dest, bool) {
	d := dest{name: r.Name, addr: r.Addr, weight: r.Weight}
	switch r.State {
	case lb.Serving:
	case lb.Draining:
		d.weight = 0
	case lb.Unchecked:
		d.adopt = true
	case lb.Down, lb.Halted:
		return d, false
	}
	if r.MaxConns > 0 {
		d.upper, d.lower = uint32(r.MaxConns), uint32(r.MaxConns)
		if r.MinConns > 0 {
			d.lower = uint32(min(r.MinConns+1, r.MaxConns))
		}
	}
	return d, true
}

// markOf is a service's mark: the same for the same name, unless two names collide.
func markOf(name string, taken map[uint32]bool) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	for n := h.Sum32() & markBits; ; n = (n + 1) & markBits {
		if mark := markBase | n; !taken[mark] {
			taken[mark] = true
			return mark
		}
	}
}

// place puts a service's ports behind its address.
func (d *desired) place(s plan.L4Service, mark uint32) {
	p := portsOf{mark, s.Ports, s.Protocols}
	for i := range d.vips {
		if d.vips[i].addr == s.Addr {
			d.vips[i].ports = append(d.vips[i].ports, p)
			return
		}
	}
	d.vips = append(d.vips, vip{s.Addr, s.Interface, []portsOf{p}})
}
