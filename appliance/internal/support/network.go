package support

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/lb"
)

func (f Facts) network() []api.SupportCheck {
	var out []api.SupportCheck
	for _, v := range f.VIPs {
		out = append(out, f.carrier(v))
	}
	for _, m := range f.Config.Node.Management {
		out = append(out, f.management(m))
	}
	out = append(out, f.kernelFilters()...)
	return append(out, f.portRange(), f.mtu())
}

func (f Facts) link(name string) (Link, bool) {
	i := slices.IndexFunc(f.Machine.Links, func(l Link) bool { return l.Name == name })
	if i < 0 {
		return Link{}, false
	}
	return f.Machine.Links[i], true
}

// carrier looks for the interface of a VIP.
func (f Facts) carrier(v VIP) api.SupportCheck {
	name := "Interface of " + v.Addr.String()
	l, known := f.link(v.Interface)
	switch {
	case v.Interface == "":
		return fail(name, "give an interface an address in the VIP's network, or name the interface in the virtual service", "no interface has a network that holds the VIP, and there is no default route")
	case !known:
		return fail(name, "plug it in, or name another interface in the virtual service", "there is no interface %s", v.Interface)
	case !l.Up:
		return fail(name, "ip link set "+v.Interface+" up, and look at the cable or the virtual switch", "%s is down", v.Interface)
	}
	return okay(name, "%s is up", v.Interface)
}

// management looks for an address that the WebUI is served at.
func (f Facts) management(m netip.AddrPort) api.SupportCheck {
	name := "Management address " + m.String()
	if m.Addr().IsUnspecified() || m.Addr().IsLoopback() {
		return okay(name, "every address of this machine, or its own")
	}
	for _, l := range f.Machine.Links {
		if slices.ContainsFunc(l.Prefixes, func(p netip.Prefix) bool { return p.Addr() == m.Addr().WithZone("") }) {
			if !l.Up {
				return fail(name, "ip link set "+l.Name+" up", "on %s, which is down", l.Name)
			}
			return okay(name, "on %s, which is up", l.Name)
		}
	}
	return fail(name, "give this machine the address, or change node.management", "no interface has it")
}

// carriers are the interfaces of the VIPs, each once.
func (f Facts) carriers() []Link {
	var out []Link
	for _, v := range f.VIPs {
		l, known := f.link(v.Interface)
		if known && !slices.ContainsFunc(out, func(o Link) bool { return o.Name == l.Name }) {
			out = append(out, l)
		}
	}
	return out
}

// kernelFilters looks at the settings that make the kernel drop packets for a VIP, or
// not answer for it. Those of all interfaces and of one combine: the greater holds
// (Documentation/networking/ip-sysctl.rst).
func (f Facts) kernelFilters() []api.SupportCheck {
	var out []api.SupportCheck
	for _, l := range f.carriers() {
		out = append(out, f.reversePath(l), f.answersARP(l))
	}
	return out
}

// setting is the greater of a setting of all interfaces and of one.
func (f Facts) setting(l Link, key string) string {
	all, own := f.Machine.Sysctls["net.ipv4.conf.all."+key], f.Machine.Sysctls["net.ipv4.conf."+l.sysctl()+"."+key]
	return max(all, own) // one digit each
}

// sysctl is the interface's name in a sysctl, where a dot parts the words.
func (l Link) sysctl() string { return strings.ReplaceAll(l.Name, ".", "/") }

func (f Facts) reversePath(l Link) api.SupportCheck {
	name := "rp_filter of " + l.Name
	switch v := f.setting(l, "rp_filter"); {
	case v == "":
		return skip(name, "could not be read")
	case v == "1" && !l.Default:
		return warn(name, fmt.Sprintf("sysctl -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.%s.rp_filter=2", l.sysctl()),
			"1: packets of clients that the routes would answer over another interface are dropped, and %s has no default route", l.Name)
	default:
		return okay(name, "%s", v)
	}
}

func (f Facts) answersARP(l Link) api.SupportCheck {
	name := "arp_ignore of " + l.Name
	switch v := f.setting(l, "arp_ignore"); v {
	case "":
		return skip(name, "could not be read")
	case "8":
		return fail(name, fmt.Sprintf("sysctl -w net.ipv4.conf.all.arp_ignore=0 net.ipv4.conf.%s.arp_ignore=0", l.sysctl()), "8: the kernel answers no ARP request, so nobody finds the VIPs")
	case "0", "1":
		return okay(name, "%s", v)
	default:
		return warn(name, fmt.Sprintf("sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.%s.arp_ignore=1", l.sysctl()), "%s: the kernel answers some requests for the VIPs only", v)
	}
}

// portRange keeps the ports that the kernel gives away apart from those that are served
// (guide 10.2: the ports 50000-65535 of the traffic).
func (f Facts) portRange() api.SupportCheck {
	const name, key = "Local port range", "net.ipv4.ip_local_port_range"
	var first, last uint16
	text := strings.Join(strings.Fields(f.Machine.Sysctls[key]), " ")
	if n, err := fmt.Sscanf(text, "%d %d", &first, &last); n != 2 || err != nil {
		return skip(name, "could not be read")
	}
	given, err := lb.ParsePortSet(fmt.Sprintf("%d-%d", first, last))
	if err != nil {
		return skip(name, "%s makes no sense", text)
	}
	var touched []string
	for _, s := range f.Config.Services {
		if s.Ports.Overlaps(given) {
			touched = append(touched, fmt.Sprintf("%s (%s)", s.Name, s.Ports))
		}
	}
	if len(touched) == 0 {
		return okay(name, "%d to %d: no virtual service uses those", first, last)
	}
	return warn(name, "sysctl -w "+key+`="10240 49151", and keep it in /etc/sysctl.d`,
		"%d to %d: the kernel gives ports to its own connections that are served by %s", first, last, strings.Join(touched, ", "))
}

func (f Facts) mtu() api.SupportCheck {
	const name = "MTU"
	var texts []string
	sizes := map[int]bool{}
	for _, l := range f.Machine.Links {
		if l.Loopback || !l.Up || len(l.Prefixes) == 0 {
			continue
		}
		texts = append(texts, fmt.Sprintf("%s %d", l.Name, l.MTU))
		sizes[l.MTU] = true
	}
	switch len(sizes) {
	case 0:
		return skip(name, "no interface is up and has an address")
	case 1:
		return okay(name, "%s", strings.Join(texts, ", "))
	}
	return warn(name, "give all interfaces of the service network the same MTU, as the real servers and the switch have", "the interfaces differ: %s", strings.Join(texts, ", "))
}
