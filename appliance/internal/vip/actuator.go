// Package vip owns the virtual addresses on this node's interfaces and announces
// them on the segment.
//
// An [Actuator] adds each address as /32 or /128 (IPv6 without duplicate address
// detection: the address must serve at once) and removes only what it is
// configured to own: an address of the list that is found in place at start is
// adopted. What it adds it marks as its own, so that an address that was taken out of
// the configuration while no daemon ran is found and removed by the next one.
// Everything else on the interface is left alone. IPv6 VIPs are added
// with no preferred lifetime, so that the node never uses them as a source of its
// own connections. What could not be added or removed is tried again by Fire.
//
// Announcements (gratuitous ARP in request and reply form, unsolicited neighbour
// advertisements) go out as raw frames in a burst at 0, 50, 100, 200 and 500 ms and
// then once a minute; they end at once on release. The package owns no goroutine
// and no clock: the caller calls Fire at NextAnnouncement.
package vip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/plan"
)

// Actuator adds, removes and announces. It is not safe for concurrent use.
type Actuator struct {
	nl       *netlink.Handle
	addrs    addresses
	raw      int
	want     []plan.VIP
	links    map[string]netlink.Link
	owning   bool
	looked   bool       // for what an earlier daemon has left
	surplus  []plan.VIP // to be removed
	lacking  []plan.VIP // to be added
	again    again
	schedule schedule
	late     late
}

// New opens the sockets in the calling thread's network namespace. It needs
// CAP_NET_ADMIN and CAP_NET_RAW.
func New() (*Actuator, error) {
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	addrs, err := openAddresses()
	if err != nil {
		nl.Close()
		return nil, err
	}
	// Protocol 0: the socket sends, and receives nothing.
	raw, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		nl.Close()
		addrs.sock.Close()
		return nil, fmt.Errorf("open a packet socket (CAP_NET_RAW is needed): %w", err)
	}
	return &Actuator{nl: nl, addrs: addrs, raw: raw, links: map[string]netlink.Link{}}, nil
}

// Close releases the sockets; addresses stay: they outlive the daemon.
func (a *Actuator) Close() error {
	a.nl.Close()
	a.addrs.sock.Close()
	return unix.Close(a.raw)
}

// Configure sets the addresses to own while active. Addresses that are no longer
// wanted are removed, the first time those of an earlier daemon too; while owning, new
// ones are added. A second equal call changes nothing but what has failed before.
func (a *Actuator) Configure(vips []plan.VIP) error {
	had := a.want
	var errs []error
	if !a.looked {
		found, err := a.found()
		a.looked, had = err == nil, append(slices.Clone(had), found...)
		errs = append(errs, err)
	}
	a.want = slices.Clone(vips)
	a.surplus = union(a.surplus, without(had, vips))
	if a.owning {
		a.lacking = union(keep(a.lacking, vips), without(vips, had))
		a.surplus = without(a.surplus, vips)
	}
	clear(a.links)
	for _, v := range vips {
		_, err := a.link(v.Interface)
		errs = append(errs, err)
	}
	return errors.Join(append(errs, a.settle())...)
}

// Take adds all addresses as a group. One failure does not stop the others.
func (a *Actuator) Take() error {
	a.owning = true
	a.lacking, a.surplus = slices.Clone(a.want), without(a.surplus, a.want)
	return a.settle()
}

// Release ends announcing and removes all addresses.
func (a *Actuator) Release() error {
	a.schedule.stop()
	a.late = late{}
	a.owning = false
	a.lacking, a.surplus = nil, union(a.surplus, a.want)
	return a.settle()
}

// settle removes and adds what is due and keeps what fails for another time.
func (a *Actuator) settle() error {
	var errs []error
	failing := func(do func(plan.VIP) error) func(plan.VIP) bool {
		return func(v plan.VIP) bool {
			err := do(v)
			errs = append(errs, err)
			return err == nil
		}
	}
	a.surplus = slices.DeleteFunc(a.surplus, failing(a.remove))
	a.lacking = slices.DeleteFunc(a.lacking, failing(a.add))
	a.again = again{due: len(a.surplus)+len(a.lacking) > 0 || !a.looked}
	return errors.Join(errs...)
}

func union(a, b []plan.VIP) []plan.VIP { return append(slices.Clone(a), without(b, a)...) }

func without(a, b []plan.VIP) []plan.VIP {
	return slices.DeleteFunc(slices.Clone(a), func(v plan.VIP) bool { return slices.Contains(b, v) })
}

func keep(a, b []plan.VIP) []plan.VIP {
	return slices.DeleteFunc(slices.Clone(a), func(v plan.VIP) bool { return !slices.Contains(b, v) })
}

// Announce begins a burst at now and sends its first round.
func (a *Actuator) Announce(now time.Duration) error {
	a.schedule.begin(now)
	return a.Fire(now)
}

// NextAnnouncement is when Fire wants to be called, or Forever.
func (a *Actuator) NextAnnouncement() time.Duration {
	return min(a.schedule.next(), a.late.next(), a.again.next())
}

// Fire announces if it is due, and tries again what has failed. An IPv6 address whose
// packets the kernel does not take yet waits for a later call.
func (a *Actuator) Fire(now time.Duration) error {
	errs := []error{a.repeat(now)}
	if a.schedule.due(now) {
		a.late = late{}
		for _, v := range without(a.want, a.lacking) {
			if v.Addr.Is6() && !a.local(v.Addr) {
				a.late.add(v, now)
				continue
			}
			errs = append(errs, a.announce(v))
		}
	}
	for _, v := range a.late.take(now, a.local) {
		if !a.local(v.Addr) {
			errs = append(errs, fmt.Errorf("announced %s on %s, although the kernel does not take packets for it within %v of adding it", v.Addr, v.Interface, lateLimit))
		}
		errs = append(errs, a.announce(v))
	}
	return errors.Join(errs...)
}

// repeat tries again what could not be added or removed. What is added late by it is
// announced at once.
func (a *Actuator) repeat(now time.Duration) error {
	if !a.again.take(now) {
		return nil
	}
	before := slices.Clone(a.lacking)
	var err error
	if a.looked {
		err = a.settle()
	} else {
		err = a.Configure(a.want)
	}
	a.again.take(now)
	if a.schedule.on && len(a.lacking) < len(before) {
		a.schedule.begin(now)
	}
	return err
}

// local reports whether the kernel takes packets for an address: IPv6 makes the local
// route in a work queue, some time after the address. No lock is taken for it.
func (a *Actuator) local(addr netip.Addr) bool {
	routes, err := a.nl.RouteGet(addr.AsSlice())
	return err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL
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
	return a.retry(v, func(l netlink.Link) error { return a.addrs.put(l, v.Addr) }, "add")
}

func (a *Actuator) remove(v plan.VIP) error {
	err := a.retry(v, func(l netlink.Link) error {
		err := a.nl.AddrDel(l, address(v.Addr))
		if errors.Is(err, unix.EADDRNOTAVAIL) {
			return nil
		}
		return err
	}, "remove")
	if missing(err) {
		return nil // the interface took it along
	}
	return err
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
	return &netlink.Addr{IPNet: &net.IPNet{IP: vip.AsSlice(), Mask: net.CIDRMask(bits, bits)}}
}

func (a *Actuator) announce(v plan.VIP) error {
	index, mac, err := a.hardware(v.Interface)
	if err != nil {
		return fmt.Errorf("announce %s: %w", v.Addr, err)
	}
	if mac == nil {
		return nil // loopback and tunnels have no neighbours
	}
	frames := [][]byte{GratuitousARP(mac, v.Addr, ARPRequest), GratuitousARP(mac, v.Addr, ARPReply)}
	if v.Addr.Is6() {
		frames = [][]byte{UnsolicitedNA(mac, v.Addr)}
	}
	to := &unix.SockaddrLinklayer{Ifindex: index, Halen: 6}
	for _, f := range frames {
		copy(to.Addr[:], f[:6])
		if err := unix.Sendto(a.raw, f, 0, to); err != nil {
			return fmt.Errorf("announce %s on %s: %w", v.Addr, v.Interface, err)
		}
	}
	return nil
}

// hardware asks for index and address of an Ethernet interface now: a bond takes
// another address with another port, and an old one would lead neighbours astray.
// The ioctl, unlike netlink, does not wait for the kernel's network lock. The address
// is nil where the interface is not Ethernet.
func (a *Actuator) hardware(name string) (index int, mac net.HardwareAddr, err error) {
	var req struct {
		name [unix.IFNAMSIZ]byte
		data [24]byte
	}
	copy(req.name[:unix.IFNAMSIZ-1], name)
	for _, ask := range [...]uintptr{unix.SIOCGIFINDEX, unix.SIOCGIFHWADDR} {
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(a.raw), ask, uintptr(unsafe.Pointer(&req))); errno != 0 {
			return 0, nil, fmt.Errorf("ask for the address of interface %s: %w", name, errno)
		}
		if ask == unix.SIOCGIFINDEX {
			index = int(binary.NativeEndian.Uint32(req.data[:]))
		}
	}
	if binary.NativeEndian.Uint16(req.data[:]) != unix.ARPHRD_ETHER {
		return index, nil, nil
	}
	return index, net.HardwareAddr(req.data[2:8:8]), nil
}
