package dptest

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
)

// Addresses of all scripts: V, W and the real servers, IPv4 and IPv6. A bench must
// reach the real servers by an interface named eth0.
const (
	VIP4     = "10.77.0.100"
	Guarded4 = "10.77.0.110"
	Real4    = "10.77.0.%d"
	VIP6     = "fd77::100"
	Guarded6 = "fd77::110"
	Real6    = "fd77::%d"
)

// Table is the table of a case: two servers (or three) behind ports 80 and
// 5000-6000, and a guarded address.
func Table(c Case) plan.L4Table {
	vip, guarded, rip := VIP4, Guarded4, Real4
	if c.has("v6") {
		vip, guarded, rip = VIP6, Guarded6, Real6
	}
	s := plan.L4Service{
		Name: "media", Addr: netip.MustParseAddr(vip), Interface: "eth0",
		Ports: lb.PortSet{{First: 80, Last: 80}, {First: 5000, Last: 6000}}, Protocols: lb.TCPUDP,
		Scheduler:       lb.WLC,
		Persistence:     lb.Persistence{Kind: lb.PersistSourceIP, Timeout: time.Minute, Mask4: 32, Mask6: 64},
		DrainPersistent: c.has("drainpersistent"),
	}
	if c.has("maglev") {
		s.Scheduler = lb.Maglev
	}
	if c.has("nopersist") {
		s.Persistence = lb.Persistence{}
	}
	if c.has("mask24") {
		s.Persistence.Mask4 = 24
	}
	if c.has("tcponly") {
		s.Protocols = lb.TCP
	}
	s.Reals = servers(rip, 105, c)
	t := plan.L4Table{
		Services: []plan.L4Service{s}, Leased: c.has("leased"),
		OtherVIPs: []plan.VIP{{Addr: netip.MustParseAddr(guarded), Interface: "eth0"}},
	}
	if c.has("shared") {
		o := s
		o.Name, o.Ports = "web", lb.Ports(8080, 8081)
		o.Reals = servers(rip, 115, c)
		t.Services = append(t.Services, o)
	}
	return t
}

func servers(format string, first int, c Case) []plan.L4Real {
	n := 2
	if c.has("three") {
		n = 3
	}
	out := make([]plan.L4Real, n)
	for i := range out {
		out[i] = plan.L4Real{
			Name: fmt.Sprintf("s%d", first+i), Weight: 100,
			Addr: netip.MustParseAddr(fmt.Sprintf(format, first+i)),
		}
	}
	return out
}

func clone(t plan.L4Table) plan.L4Table {
	t.Services = slices.Clone(t.Services)
	for i := range t.Services {
		t.Services[i].Reals = slices.Clone(t.Services[i].Reals)
	}
	return t
}
