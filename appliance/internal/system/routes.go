package system

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/lb"
)

// path is a route of the main table as the kernel has it.
type path struct {
	to     netip.Prefix
	via    netip.Addr // invalid = on the link
	index  int
	metric int
}

// usualMetric6 is what the kernel gives an IPv6 route without one (IP6_RT_PRIO_USER).
const usualMetric6 = 1024

// routes removes those of ours that are not wanted, then adds those that are missing: a
// new default gateway takes the place of the old one.
func (p *pass) routes(links map[string]netlink.Link) error {
	wanted, errs := p.paths(links)
	have, err := table()
	if err != nil {
		return err
	}
	for _, h := range have {
		if h.origin == Ours && !slices.Contains(wanted, h.path) {
			errs = append(errs, delRoute(h.path))
		}
	}
	for _, w := range wanted {
		if !slices.ContainsFunc(have, func(h placed) bool { return h.path == w }) {
			errs = append(errs, addRoute(w))
		}
	}
	return errors.Join(errs...)
}

// paths are the wanted routes whose interfaces are there.
func (p *pass) paths(links map[string]netlink.Link) (out []path, errs []error) {
	for _, r := range p.want.Routes {
		name := p.want.Outlet(r)
		l, ok := links[name]
		if !ok {
			found, err := netlink.LinkByName(name)
			if missing(err) {
				err = fmt.Errorf("%s: there is no interface %q on this machine", r.To, name)
			}
			if err != nil {
				errs = append(errs, err)
				continue
			}
			l = found
		}
		out = append(out, path{r.To, r.Via, l.Attrs().Index, metricOf(r)})
	}
	return append(out, p.leasedRoutes(links)...), errs
}

func metricOf(r lb.Route) int {
	if r.Metric == 0 && r.To.Addr().Is6() {
		return usualMetric6
	}
	return r.Metric
}

// placed is a route with who made it.
type placed struct {
	path
	origin Origin
}

// table lists the unicast routes of the main table.
func table() ([]placed, error) {
	filter := &netlink.Route{Table: unix.RT_TABLE_MAIN, Type: unix.RTN_UNICAST}
	list, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, filter, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_TYPE)
	if err != nil {
		return nil, fmt.Errorf("list the routes: %w", err)
	}
	var out []placed
	for _, r := range list {
		one := placed{path{destination(r), gateway(r.Gw), r.LinkIndex, r.Priority}, Foreign}
		switch r.Protocol {
		case routeMark:
			one.origin = Ours
		case unix.RTPROT_KERNEL:
			one.origin = Kernel
		}
		out = append(out, one)
	}
	return out, nil
}

func destination(r netlink.Route) netip.Prefix {
	if r.Dst == nil {
		if r.Family == unix.AF_INET6 {
			return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	a, _ := netip.AddrFromSlice(r.Dst.IP)
	ones, bits := r.Dst.Mask.Size()
	if bits == 32 {
		a = a.Unmap()
	}
	return netip.PrefixFrom(a, ones)
}

func gateway(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

func (w path) kernel() *netlink.Route {
	r := &netlink.Route{
		Dst:       &net.IPNet{IP: w.to.Addr().AsSlice(), Mask: net.CIDRMask(w.to.Bits(), w.to.Addr().BitLen())},
		LinkIndex: w.index, Priority: w.metric, Protocol: routeMark, Table: unix.RT_TABLE_MAIN,
	}
	if w.via.IsValid() {
		r.Gw = w.via.AsSlice()
	} else {
		r.Scope = netlink.SCOPE_LINK
	}
	return r
}

func addRoute(w path) error {
	err := netlink.RouteAdd(w.kernel())
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EEXIST):
		return fmt.Errorf("%s: there is another route to it with metric %d, which is not of this configuration: remove it, or write another metric", w.to, w.metric)
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%s: the router %s is not reached by its interface: mend via, or the interface's addresses (%w)", w.to, w.via, err)
	case errors.Is(err, unix.ENETDOWN):
		return fmt.Errorf("%s: its interface is down", w.to)
	}
	return fmt.Errorf("%s: %w", w.to, err)
}

func delRoute(w path) error {
	if err := netlink.RouteDel(w.kernel()); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("remove the route to %s: %w", w.to, err)
	}
	return nil
}
