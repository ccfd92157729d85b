// Package hostnet prepares the network of one real server for Direct Routing:
// it puts the virtual addresses where the server finds them and decides
// whether the server answers ARP for them (guide, section 8.2: "the ARP
// problem").
package hostnet

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ARP says how a server treats ARP for its virtual addresses.
type ARP string

// The two ways of a Direct Routing server.
const (
	// Solved: the server owns the address silently.
	Solved ARP = "solved"
	// Unsolved: the server answers for the address and announces it, so that
	// clients reach it past the balancer.
	Unsolved ARP = "unsolved"
)

// localLimit bounds awaitLocal.
const localLimit = 5 * time.Second

// loopback is the interface that carries the virtual addresses.
const loopback = "lo"

// Config is what Setup does.
type Config struct {
	// Iface is the network card of the server.
	Iface string
	VIPs  []netip.Addr
	ARP   ARP
	// Proc is where /proc/sys/net is; empty means there.
	Proc string
}

// Setup puts the addresses up and sets the ARP behaviour, in the network
// namespace of the calling thread. It returns a function that takes back the
// addresses that Setup added.
func Setup(c Config, log *slog.Logger) (func() error, error) {
	if err := c.sysctls(); err != nil {
		return nil, err
	}
	var added []placed
	undo := func() error {
		var errs []error
		for _, p := range slices.Backward(added) {
			errs = append(errs, p.remove())
		}
		return errors.Join(errs...)
	}
	for _, vip := range c.VIPs {
		p, fresh, err := c.place(vip)
		if err != nil {
			return nil, errors.Join(err, undo())
		}
		if fresh {
			added = append(added, p)
			log.Info("virtual address added", "vip", vip, "iface", p.iface)
		}
		if err = awaitLocal(vip); err != nil {
			return nil, errors.Join(err, undo())
		}
	}
	return undo, nil
}

// awaitLocal waits until the kernel takes packets for the address. It adds the
// local route of an IPv6 address from a work queue, some time after the call
// that added the address, and silently drops packets that come before.
func awaitLocal(vip netip.Addr) error {
	end := time.NewTimer(localLimit)
	defer end.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		routes, err := netlink.RouteGet(vip.AsSlice())
		if err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL {
			return nil
		}
		select {
		case <-tick.C:
		case <-end.C:
			return fmt.Errorf("the kernel does not take packets for %s within %s of adding it", vip, localLimit)
		}
	}
}

// placed is an address on an interface.
type placed struct {
	iface string
	vip   netip.Addr
}

// place adds one virtual address; fresh is false when it was there already.
// An IPv6 address on loopback is never answered for, so the unsolved server
// carries it on its card.
func (c Config) place(vip netip.Addr) (p placed, fresh bool, err error) {
	p = placed{iface: loopback, vip: vip}
	if c.ARP == Unsolved && vip.Is6() {
		p.iface = c.Iface
	}
	link, err := netlink.LinkByName(p.iface)
	if err != nil {
		return p, false, fmt.Errorf("find interface %s for %s: %w", p.iface, vip, err)
	}
	if err = netlink.LinkSetUp(link); err != nil {
		return p, false, fmt.Errorf("set %s up: %w", p.iface, err)
	}
	err = netlink.AddrAdd(link, p.address())
	if errors.Is(err, unix.EEXIST) {
		return p, false, nil
	}
	if err != nil {
		return p, false, fmt.Errorf("add %s to %s: %w", vip, p.iface, err)
	}
	return p, true, nil
}

func (p placed) remove() error {
	link, err := netlink.LinkByName(p.iface)
	if err != nil {
		return fmt.Errorf("find interface %s to remove %s: %w", p.iface, p.vip, err)
	}
	if err := netlink.AddrDel(link, p.address()); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("remove %s from %s: %w", p.vip, p.iface, err)
	}
	return nil
}

// address is the VIP as a host address, without duplicate address detection:
// the balancer has the same one.
func (p placed) address() *netlink.Addr {
	bits := p.vip.BitLen()
	a := &netlink.Addr{IPNet: &net.IPNet{IP: p.vip.AsSlice(), Mask: net.CIDRMask(bits, bits)}}
	if p.vip.Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	return a
}

// sysctls sets arp_ignore and arp_announce for the whole namespace and for the
// card (the kernel uses the larger of both).
func (c Config) sysctls() error {
	if !slices.ContainsFunc(c.VIPs, netip.Addr.Is4) {
		return nil
	}
	ignore, announce := "1", "2"
	if c.ARP == Unsolved {
		ignore, announce = "0", "0"
	}
	for _, iface := range []string{"all", c.Iface} {
		dir := filepath.Join("ipv4", "conf", iface)
		if err := c.write(filepath.Join(dir, "arp_ignore"), ignore); err != nil {
			return err
		}
		if err := c.write(filepath.Join(dir, "arp_announce"), announce); err != nil {
			return err
		}
	}
	return nil
}

func (c Config) proc() string {
	if c.Proc != "" {
		return c.Proc
	}
	return "/proc/sys/net"
}

func (c Config) write(name, value string) error {
	path := filepath.Join(c.proc(), name)
	if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
		return fmt.Errorf("set %s to %s (is the interface there, and is this root?): %w", path, value, err)
	}
	return nil
}

// EphemeralOverlap returns the local port range of the namespace as text when
// it overlaps [low, high], so that outgoing connections could take ports that
// the server needs; empty when it does not.
func EphemeralOverlap(low, high uint16) (string, error) {
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return "", fmt.Errorf("read the local port range: %w", err)
	}
	f := strings.Fields(string(b))
	if len(f) != 2 {
		return "", fmt.Errorf("local port range %q has no two numbers", b)
	}
	first, err1 := strconv.ParseUint(f[0], 10, 16)
	last, err2 := strconv.ParseUint(f[1], 10, 16)
	if err := errors.Join(err1, err2); err != nil {
		return "", fmt.Errorf("local port range %q: %w", b, err)
	}
	if uint16(first) > high || uint16(last) < low {
		return "", nil
	}
	return f[0] + "-" + f[1], nil
}

// OwnAddrs returns the global addresses of the interface, without those in
// vips: the real server's own addresses (RIPs).
func OwnAddrs(iface string, vips []netip.Addr) ([]netip.Addr, error) {
	link, err := netlink.LinkByName(iface)
	if err != nil {
		return nil, fmt.Errorf("find interface %s: %w", iface, err)
	}
	list, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list the addresses of %s: %w", iface, err)
	}
	var out []netip.Addr
	for _, a := range list {
		ip, ok := netip.AddrFromSlice(a.IP)
		ip = ip.Unmap()
		if ok && !ip.IsLinkLocalUnicast() && !slices.Contains(vips, ip) {
			out = append(out, ip)
		}
	}
	return out, nil
}
