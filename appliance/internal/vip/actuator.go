// Package vip owns the virtual addresses on this node's interfaces and announces
// them on the segment.
//
// An [Actuator] adds each address as /32 or /128 (IPv6 without duplicate address
// detection: the address must serve at once) and removes only what it is
// configured to own: an address of the list that is found in place at start is
// adopted, everything else on the interface is left alone. IPv6 VIPs are added
// with no preferred lifetime, so that the node never uses them as a source of its
// own connections.
//
// Announcements (gratuitous ARP in request and reply form, unsolicited neighbour
// advertisements) go out as raw frames in a burst at 0, 50, 100, 200 and 500 ms and
// then once a minute; they end at once on release. The package owns no goroutine
// and no clock: the caller calls Fire at NextAnnouncement.
package vip

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/plan"
)

// Actuator adds, removes and announces. It is not safe for concurrent use.
type Actuator struct {
	nl       *netlink.Handle
	raw      int
	want     []plan.VIP
	links    map[string]netlink.Link
	owning   bool
	schedule schedule
}

// New opens the sockets in the calling thread's network namespace. It needs
// CAP_NET_ADMIN and CAP_NET_RAW.
func New() (*Actuator, error) {
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	// Protocol 0: the socket sends, and receives nothing.
	raw, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		nl.Close()
		return nil, fmt.Errorf("open a packet socket (CAP_NET_RAW is needed): %w", err)
	}
	return &Actuator{nl: nl, raw: raw, links: map[string]netlink.Link{}}, nil
}

// Close releases the sockets; addresses stay: they outlive the daemon.
func (a *Actuator) Close() error {
	a.nl.Close()
	return unix.Close(a.raw)
}

// Configure sets the addresses to own while active. Addresses that are no longer
// wanted are removed; while owning, new ones are added. A second equal call
// changes nothing.
func (a *Actuator) Configure(vips []plan.VIP) error {
	var errs []error
	for _, v := range a.want {
		if !slices.Contains(vips, v) {
			errs = append(errs, a.remove(v))
		}
	}
	added := slices.ContainsFunc(vips, func(v plan.VIP) bool { return !slices.Contains(a.want, v) })
	a.want = slices.Clone(vips)
	clear(a.links)
	for _, v := range vips {
		_, err := a.link(v.Interface)
		errs = append(errs, err)
	}
	if a.owning && added {
		errs = append(errs, a.Take())
	}
	return errors.Join(errs...)
}

// Take adds all addresses as a group. One failure does not stop the others.
func (a *Actuator) Take() error {
	a.owning = true
	var errs []error
	for _, v := range a.want {
		errs = append(errs, a.add(v))
	}
	return errors.Join(errs...)
}

// Release ends announcing and removes all addresses.
func (a *Actuator) Release() error {
	a.schedule.stop()
	a.owning = false
	var errs []error
	for _, v := range a.want {
		errs = append(errs, a.remove(v))
	}
	return errors.Join(errs...)
}

// Announce begins a burst at now and sends its first round.
func (a *Actuator) Announce(now time.Duration) error {
	a.schedule.begin(now)
	return a.Fire(now)
}

// NextAnnouncement is when Fire wants to be called, or Forever.
func (a *Actuator) NextAnnouncement() time.Duration { return a.schedule.next() }

// Fire announces if it is due.
func (a *Actuator) Fire(now time.Duration) error {
	if !a.schedule.due(now) {
		return nil
	}
	var errs []error
	for _, v := range a.want {
		errs = append(errs, a.announce(v))
	}
	return errors.Join(errs...)
}

func (a *Actuator) link(name string) (netlink.Link, error) {
	if l, ok := a.links[name]; ok {
		return l, nil
	}
	l, err := a.nl.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("find interface %s: %w", name, err)
	}
	a.links[name] = l
	return l, nil
}

func (a *Actuator) add(v plan.VIP) error {
	return a.retry(v, func(l netlink.Link) error { return a.nl.AddrReplace(l, address(v.Addr)) }, "add")
}

func (a *Actuator) remove(v plan.VIP) error {
	return a.retry(v, func(l netlink.Link) error {
		err := a.nl.AddrDel(l, address(v.Addr))
		if errors.Is(err, unix.EADDRNOTAVAIL) {
			return nil
		}
		return err
	}, "remove")
}

// retry runs do once more with a fresh look at the interface: it may have been
// made anew under its old name.
func (a *Actuator) retry(v plan.VIP, do func(netlink.Link) error, verb string) error {
	var err error
	for range 2 {
		var l netlink.Link
		if l, err = a.link(v.Interface); err != nil {
			break
		}
		if err = do(l); err == nil {
			return nil
		}
		delete(a.links, v.Interface)
	}
	return fmt.Errorf("%s %s on %s: %w", verb, v.Addr, v.Interface, err)
}

func address(vip netip.Addr) *netlink.Addr {
	bits := vip.BitLen()
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: vip.AsSlice(), Mask: net.CIDRMask(bits, bits)}}
	if vip.Is6() {
		addr.Flags = unix.IFA_F_NODAD
		addr.ValidLft = math.MaxUint32 // for ever, and never preferred
	}
	return addr
}

func (a *Actuator) announce(v plan.VIP) error {
	l, err := a.link(v.Interface)
	if err != nil {
		return err
	}
	mac := l.Attrs().HardwareAddr
	if len(mac) != 6 {
		return nil // loopback and tunnels have no neighbours
	}
	frames := [][]byte{GratuitousARP(mac, v.Addr, ARPRequest), GratuitousARP(mac, v.Addr, ARPReply)}
	if v.Addr.Is6() {
		frames = [][]byte{UnsolicitedNA(mac, v.Addr)}
	}
	to := &unix.SockaddrLinklayer{Ifindex: l.Attrs().Index, Halen: 6}
	for _, f := range frames {
		copy(to.Addr[:], f[:6])
		if err := unix.Sendto(a.raw, f, 0, to); err != nil {
			return fmt.Errorf("announce %s on %s: %w", v.Addr, v.Interface, err)
		}
	}
	return nil
}
