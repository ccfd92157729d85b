package sentinel_test

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// isolate makes a bridge port swallow everything while it keeps its carrier: it is
// taken out of the bridge.
func isolate(port string) error {
	l, err := netlink.LinkByName(port)
	if err != nil {
		return err
	}
	return netlink.LinkSetNoMaster(l)
}

// mute cuts the nodes from each other on the bridge while both reach the switch
// itself, and its ping node.
func mute(cut bool) error {
	var errs []error
	for i := range 2 {
		l, err := netlink.LinkByName(fmt.Sprintf("port%d", i))
		if err != nil {
			return err
		}
		errs = append(errs, netlink.LinkSetIsolated(l, cut))
	}
	return errors.Join(errs...)
}

// deafen makes a node drop what comes for one of its own addresses, while it still
// sends from it: the kernel's table of local addresses loses it.
func deafen(name, ip string) error {
	return local(name, ip, netlink.RouteDel)
}

// undeafen ends it.
func undeafen(name, ip string) error {
	return local(name, ip, netlink.RouteAdd)
}

func local(name, ip string, do func(*netlink.Route) error) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	to := &net.IPNet{IP: net.ParseIP(ip).To4(), Mask: net.CIDRMask(32, 32)}
	return do(&netlink.Route{
		LinkIndex: l.Attrs().Index, Dst: to, Src: to.IP,
		Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Scope: netlink.SCOPE_HOST, Protocol: unix.RTPROT_KERNEL,
	})
}
