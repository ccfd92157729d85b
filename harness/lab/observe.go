package lab

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/harness/lab/capture"
	"github.com/vosbed/vosbed/harness/lab/watch"
	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/harness/topo"
)

// ports maps the switch's interface indexes to port names.
func (l *Lab) ports() (map[int]string, error) {
	h, err := netlink.NewHandleAt(netns.NsHandle(l.sw.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("talk to the switch's namespace: %w", err)
	}
	defer h.Close()
	links, err := h.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the switch's ports: %w", err)
	}
	out := map[int]string{}
	for _, link := range links {
		if strings.Contains(link.Attrs().Name, ".") {
			out[link.Attrs().Index] = link.Attrs().Name
		}
	}
	return out, nil
}

// StartCapture records the heads of all frames on the switches.
func (l *Lab) StartCapture() (*capture.Capture, error) {
	ports, err := l.ports()
	if err != nil {
		return nil, err
	}
	return capture.Start(l.sw, ports)
}

// SaveCapture writes capture.pcapng into the run directory.
func (l *Lab) SaveCapture(c *capture.Capture, comment string) error {
	f, err := os.Create(filepath.Join(l.opt.Dir, "capture.pcapng"))
	if err != nil {
		return fmt.Errorf("write capture: %w", err)
	}
	defer f.Close()
	return c.WriteTo(f, comment)
}

// StartWatch records the claims to the VIPs as the router sees them, and the
// nodes that carry probe packets to the servers.
func (l *Lab) StartWatch() (*watch.Watch, error) {
	ports, err := l.ports()
	if err != nil {
		return nil, err
	}
	eyes := watch.Eyes{
		Claims: map[int]bool{}, Carry: map[int]net.HardwareAddr{}, VIPs: map[netip.Addr]bool{},
		Owner: l.plan.Owner, Now: l.Now,
		Sent: func(at int64) time.Duration { return time.Duration(at - l.opt.Epoch) },
		Emit: func(f observe.Frame) { l.Record(observe.KindFrame, f.Node, "", f) },
	}
	for index, name := range ports {
		node, _, _ := strings.Cut(name, ".")
		eyes.Claims[index] = l.nodes[node].Kind == topo.KindRouter
		if p := l.nodes[node].AtSwitch(name); p != nil && l.nodes[node].Kind == topo.KindSimVOS {
			eyes.Carry[index] = p.MAC
		}
	}
	for _, v := range l.plan.VIPs {
		for _, a := range v.Addrs() {
			eyes.VIPs[a] = true
		}
	}
	return watch.Start(l.sw, eyes)
}
