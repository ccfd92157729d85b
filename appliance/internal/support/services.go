package support

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/lb"
)

func (f Facts) services() []api.SupportCheck {
	var out []api.SupportCheck
	if len(f.Status.Services) == 0 {
		out = append(out, skip("Virtual services", "none is configured"))
	}
	for _, s := range f.Status.Services {
		out = append(out, serving(s))
		for _, r := range s.Reals {
			out = append(out, realServer(s, r))
		}
	}
	return append(out, f.conflicts(), f.portClash())
}

func serving(s lb.ServiceStatus) api.SupportCheck {
	name := fmt.Sprintf("VIP %s (%s)", s.Name, s.Addr)
	n := 0
	for _, r := range s.Reals {
		if r.State == lb.Serving {
			n++
		}
	}
	if n == 0 {
		return fail(name, "bring a real server online, or mend what its check says", "no real server of %d serves", len(s.Reals))
	}
	return okay(name, "%d of %d real servers serve", n, len(s.Reals))
}

func realServer(s lb.ServiceStatus, r lb.RealStatus) api.SupportCheck {
	name := fmt.Sprintf("Real server %s of %s (%s)", r.Name, s.Name, r.Addr)
	last := r.Health.Last
	switch {
	case r.Admin != lb.Online:
		return warn(name, "bring it online when the maintenance is over", "%s", r.Why)
	case !last.At.IsZero() && !last.OK:
		return fail(name, "call the check's target from this node, and look at the server", "the check of %s failed: %s", last.Target, last.Failed)
	case r.State == lb.Unchecked:
		return skip(name, "%s", r.Why)
	case r.State == lb.Down:
		return fail(name, "look at the server and at its check", "%s", r.Why)
	case s.Method == lb.DR && r.MAC == "":
		return fail(name, "direct routing needs the server in a network of this node (guide 5): compare its address, netmask and VLAN", "its link address is not resolved")
	}
	return okay(name, "%s", r.Why)
}

func (f Facts) conflicts() api.SupportCheck {
	const name = "ARP conflicts"
	var texts []string
	for _, c := range f.Status.Conflicts {
		who := "an unknown machine"
		if c.Server != "" {
			who = "real server " + c.Server
		}
		texts = append(texts, fmt.Sprintf("%s (MAC %s) answers for %s, %d times", who, c.MAC, c.VIP, c.Count))
	}
	if len(texts) == 0 {
		return okay(name, "nobody else answers for a VIP")
	}
	return fail(name, "solve the ARP problem on that machine (guide 8.2)", "%s", strings.Join(texts, "; "))
}

// portClash looks for a layer-7 service whose ports the node itself needs at the same
// address. Layer 4 never reaches a socket.
func (f Facts) portClash() api.SupportCheck {
	const name = "Port clash"
	var texts []string
	own := append([]netip.AddrPort{f.Config.Node.Replication.Local}, f.Config.Node.Management...)
	for _, s := range f.Config.Services {
		for _, o := range own {
			if s.Layer == lb.Layer7 && o.IsValid() && (o.Addr() == s.Addr || o.Addr().IsUnspecified()) && s.Ports.Contains(o.Port()) {
				texts = append(texts, fmt.Sprintf("%s of this node and %s", o, s.Name))
			}
		}
	}
	if len(texts) == 0 {
		return okay(name, "no virtual service takes a port of this node")
	}
	return fail(name, "write an address of this node for its own ports (node.management), or other ports", "the same port is used by %s", strings.Join(texts, ", "))
}
