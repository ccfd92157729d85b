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
	"encoding/binary"
	"errors"
	"fmt"
	"math"
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
	raw      int
	want     []plan.VIP
	links    map[string]netlink.Link
	owning   bool
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
	a.late = late{}
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
func (a *Actuator) NextAnnouncement() time.Duration {
	return min(a.schedule.next(), a.late.next())
}

// Fire announces if it is due. An IPv6 address whose packets the kernel does not take
// yet waits for a later call.
func (a *Actuator) Fire(now time.Duration) error {
	var errs []error
	if a.schedule.due(now) {
		a.late = late{}
		for _, v := range a.want {
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
