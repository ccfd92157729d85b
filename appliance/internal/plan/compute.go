package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vosbed/vosbed/appliance/lb"
)

// Compute derives the plan. Equal inputs give equal plans, sorted by name and
// address, so that an actuator can compare by value.
func Compute(in Inputs) Plan {
	c := computation{in: in, plan: Plan{System: in.Config.Node.System, Reals: map[lb.RealID]Decision{}}}
	for _, svc := range sortedServices(in.Config.Services) {
		c.decide(svc)
		c.probes(svc)
		vip := c.vip(svc)
		if svc.Layer == lb.Layer7 {
			c.plan.L7.Frontends = append(c.plan.L7.Frontends, c.frontend(svc))
			continue
		}
		if vip.Interface == "" {
			continue // a problem by now: nothing can carry it, and the others are to work
		}
		c.plan.L4.Services = append(c.plan.L4.Services, c.l4Service(svc, vip.Interface))
	}
	c.plan.L4.Leased = in.Config.Cluster.Paired && in.Config.Cluster.Lease
	c.plan.L4.OtherVIPs = c.otherVIPs()
	slices.SortFunc(c.plan.VIPs, compareVIP)
	return c.plan
}

// computation carries what Compute has derived so far.
type computation struct {
	in   Inputs
	plan Plan
}

func sortedServices(in []lb.VirtualService) []lb.VirtualService {
	out := slices.Clone(in)
	slices.SortFunc(out, func(a, b lb.VirtualService) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func compareVIP(a, b VIP) int {
	return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Interface, b.Interface))
}

// decide works out the state of every real server of a service.
func (c *computation) decide(svc lb.VirtualService) {
	for _, r := range svc.Reals {
		id := lb.RealID{Service: svc.Name, Real: r.Name}
		c.plan.Reals[id] = c.decision(id)
	}
}

func (c *computation) decision(id lb.RealID) Decision {
	over := c.in.Overrides[id]
	up, known := c.in.Health[id]
	switch {
	case over.State == lb.Halt:
		return Decision{lb.Halted, "halted by the operator"}
	case over.State == lb.Drain && c.expired(over):
		return Decision{lb.Halted, "halted: its drain deadline has passed"}
	case known && !up:
		return Decision{lb.Down, "failing its health check"}
	case over.State == lb.Drain: // the operator's word needs no verdict
		return Decision{lb.Draining, "draining: no new clients"}
	case !known:
		return Decision{lb.Unchecked, "not checked yet"}
	}
	return Decision{lb.Serving, "healthy"}
}

// expired judges a drain deadline and remembers the next one still to come.
func (c *computation) expired(over lb.Override) bool {
	if over.Deadline.IsZero() {
		return false
	}
	if !c.in.Now.Before(over.Deadline) {
		return true
	}
	if c.plan.Wake.IsZero() || over.Deadline.Before(c.plan.Wake) {
		c.plan.Wake = over.Deadline
	}
	return false
}

func (c *computation) state(service, server string) lb.ServeState {
	return c.plan.Reals[lb.RealID{Service: service, Real: server}].State
}

func (c *computation) probes(svc lb.VirtualService) {
	for _, r := range svc.Reals {
		p := Probe{
			ID: lb.RealID{Service: svc.Name, Real: r.Name}, Target: r.Addr,
			Port: svc.Check.Port, Check: svc.Check, Layer: svc.Layer,
		}
		if svc.Method == lb.DR {
			p.VIP, p.Served = svc.Addr, svc.Protocols.Has(lb.TCP) && svc.Ports.Contains(p.Port)
		}
		c.plan.Probes = append(c.plan.Probes, p)
	}
}

// vip records the service's address once, on its interface.
func (c *computation) vip(svc lb.VirtualService) VIP {
	v := VIP{Addr: svc.Addr, Interface: svc.Interface}
	if v.Interface == "" {
		v.Interface = c.interfaceFor(svc.Addr)
	}
	if v.Interface == "" {
		c.plan.Problems = append(c.plan.Problems, fmt.Sprintf(
			"%s: no interface of this node is in a subnet with %s and there is no default route: set the service's interface",
			svc.Name, svc.Addr))
		return v
	}
	if !slices.Contains(c.plan.VIPs, v) {
		c.plan.VIPs = append(c.plan.VIPs, v)
	}
	return v
}

// interfaceFor prefers the most specific subnet, then the default route.
func (c *computation) interfaceFor(addr netip.Addr) string {
	best, bits := "", -1
	for _, link := range c.in.Links {
		for _, p := range link.Prefixes {
			// A host prefix is a VIP, perhaps this one, and says nothing about subnets.
			if p.IsSingleIP() || !p.Contains(addr) || p.Bits() <= bits {
				continue
			}
			best, bits = link.Name, p.Bits()
		}
	}
	if best != "" {
		return best
	}
	for _, link := range c.in.Links {
		if link.Default {
			return link.Name
		}
	}
	return ""
}

// otherVIPs are the addresses without a layer-4 service: the engine guards them.
func (c *computation) otherVIPs() []VIP {
	var out []VIP
	for _, v := range c.plan.VIPs {
		balanced := slices.ContainsFunc(c.plan.L4.Services, func(s L4Service) bool { return s.Addr == v.Addr })
		if !balanced {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, compareVIP)
	return out
}

func (c *computation) l4Service(svc lb.VirtualService, iface string) L4Service {
	out := L4Service{
		Name: svc.Name, Addr: svc.Addr, Interface: iface, Ports: svc.Ports, Protocols: svc.Protocols,
		Scheduler: svc.Scheduler, Persistence: svc.Persistence, DrainPersistent: svc.DrainPersistent,
	}
	for _, r := range sortedReals(svc.Reals) {
		out.Reals = append(out.Reals, L4Real{
			Name: r.Name, Addr: r.Addr, Weight: r.Weight, State: c.state(svc.Name, r.Name),
			MinConns: r.MinConns, MaxConns: r.MaxConns,
		})
	}
	return out
}

func (c *computation) frontend(svc lb.VirtualService) Frontend {
	out := Frontend{
		Name: svc.Name, Addr: svc.Addr, Ports: svc.Ports, Scheduler: svc.Scheduler,
		Persistence: svc.Persistence, DrainPersistent: svc.DrainPersistent, Settings: svc.Proxy,
	}
	for _, r := range sortedReals(svc.Reals) {
		out.Backends = append(out.Backends, Backend{
			Name: r.Name, Addr: r.Addr, Port: r.Port, Weight: r.Weight, State: c.state(svc.Name, r.Name),
			MinConns: r.MinConns, MaxConns: r.MaxConns,
		})
	}
	if svc.Proxy.Fallback && !slices.ContainsFunc(out.Backends, Backend.present) {
		out.Fallback = c.in.Fallback
	}
	return out
}

// present reports whether a backend may have clients, or may turn out to: it is neither
// down nor halted.
func (b Backend) present() bool { return b.State != lb.Down && b.State != lb.Halted }

func sortedReals(in []lb.RealServer) []lb.RealServer {
	out := slices.Clone(in)
	slices.SortFunc(out, func(a, b lb.RealServer) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
