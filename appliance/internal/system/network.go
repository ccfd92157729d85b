package system

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/lb"
)

// network brings links, addresses and routes to what is wanted. What leads away goes
// last: new addresses come before old ones go, so that an interface is never without.
func (p *pass) network() {
	p.fail("interfaces", p.stack())
	links := p.links()
	p.fail("DHCP", p.lease(links))
	p.fail("interfaces", p.addresses(links))
	p.down(links)
	p.fail("routes", p.routes(links))
	p.fail("interfaces", errors.Join(p.unstack(), p.formerLinks()))
}

// links finds the interfaces that are configured, and brings those up that are enabled.
func (p *pass) links() map[string]netlink.Link {
	found := map[string]netlink.Link{}
	for _, want := range p.want.Stacked() {
		if p.want.BondOf(want.Name) != "" {
			continue // it is as its bond is
		}
		l, err := netlink.LinkByName(want.Name)
		if missing(err) && (!want.VLAN.Zero() || !want.Bond.Zero()) {
			continue // told by stack
		}
		if missing(err) {
			p.fail("interface "+want.Name, errors.New("there is no such interface on this machine: remove it from node.system, or mend its name"))
			continue
		}
		if err != nil {
			p.fail("interface "+want.Name, err)
			continue
		}
		found[want.Name] = l
		p.fail("interface "+want.Name, p.size(l, want))
		if !want.Disabled {
			p.fail("interface "+want.Name, p.turn(l, true))
			// An old address that goes shall not take along the others of its network.
			_ = os.WriteFile(filepath.Join("/proc/sys/net/ipv4/conf", want.Name, "promote_secondaries"), []byte("1"), 0o644)
		}
	}
	return found
}

func missing(err error) bool {
	_, gone := errors.AsType[netlink.LinkNotFoundError](err)
	return gone
}

// remember notes how a link was, before it is changed the first time. One that was made
// here was not.
func (p *pass) remember(l netlink.Link, change func(*link)) error {
	if madeHere(l) {
		return nil
	}
	name := l.Attrs().Name
	known, ours := p.state.kept.Links[name]
	if !ours {
		known = link{MTU: l.Attrs().MTU, Up: isUp(l)}
	}
	change(&known)
	p.state.kept.Links[name] = known
	return p.state.save()
}

func isUp(l netlink.Link) bool { return l.Attrs().RawFlags&1 != 0 } // IFF_UP

// size sets the MTU, or puts the former one back.
func (p *pass) size(l netlink.Link, want lb.Interface) error {
	mtu := want.MTU
	known, ours := p.state.kept.Links[want.Name]
	if mtu == 0 && madeHere(l) {
		var err error
		if mtu, err = usualMTU(l); err != nil {
			return err
		}
	}
	if mtu == 0 {
		if !ours || known.OursMTU == 0 || known.OursMTU != l.Attrs().MTU {
			return nil
		}
		mtu = known.MTU
	}
	if mtu == l.Attrs().MTU {
		return nil
	}
	if err := p.remember(l, func(k *link) { k.OursMTU = want.MTU }); err != nil {
		return err
	}
	if err := netlink.LinkSetMTU(l, mtu); err != nil {
		return fmt.Errorf("set the MTU %d: %w", mtu, err)
	}
	return nil
}

// usualMTU is that of a link that was made here: of a VLAN it is what carries it has.
func usualMTU(l netlink.Link) (int, error) {
	if _, bond := l.(*netlink.Bond); bond {
		return bondMTU, nil
	}
	carrier, err := netlink.LinkByIndex(l.Attrs().ParentIndex)
	if err != nil {
		return 0, err
	}
	return carrier.Attrs().MTU, nil
}

// turn takes a link up or down.
func (p *pass) turn(l netlink.Link, up bool) error {
	if isUp(l) == up {
		return nil
	}
	if err := p.remember(l, func(k *link) { k.OursUp = &up }); err != nil {
		return err
	}
	return setUp(l, up)
}

func setUp(l netlink.Link, up bool) error {
	set, word := netlink.LinkSetDown, "down"
	if up {
		set, word = netlink.LinkSetUp, "up"
	}
	err := set(l)
	if errors.Is(err, unix.ENETDOWN) {
		return errors.New("the interface that carries it is down: add that to node.system.interfaces, so that it is taken up")
	}
	if err != nil {
		return fmt.Errorf("take the link %s: %w", word, err)
	}
	return nil
}

// down takes down the links that are disabled.
func (p *pass) down(links map[string]netlink.Link) {
	for _, want := range p.want.Interfaces {
		if l, ok := links[want.Name]; ok && want.Disabled {
			p.fail("interface "+want.Name, p.turn(l, false))
		}
	}
}

// formerLinks puts back those that are no longer configured.
func (p *pass) formerLinks() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(p.state.kept.Links)) {
		if _, wanted := p.want.Interface(name); wanted || p.want.BondOf(name) != "" {
			continue
		}
		if err := former(name, p.state.kept.Links[name]); err != nil {
			errs = append(errs, fmt.Errorf("put %s back: %w", name, err))
			continue
		}
		delete(p.state.kept.Links, name)
		errs = append(errs, p.state.save())
	}
	return errors.Join(errs...)
}

// former puts one back, where nobody else has changed it since.
func former(name string, was link) error {
	l, err := netlink.LinkByName(name)
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	if was.OursMTU != 0 && l.Attrs().MTU == was.OursMTU {
		errs = append(errs, netlink.LinkSetMTU(l, was.MTU))
	}
	if was.OursUp != nil && *was.OursUp == isUp(l) && was.Up != isUp(l) {
		errs = append(errs, setUp(l, was.Up))
	}
	return errors.Join(errs...)
}

// place is an address of an interface.
type place struct {
	index  int
	prefix netip.Prefix
}

// addresses adds those that are missing and removes those of ours that are not wanted.
func (p *pass) addresses(links map[string]netlink.Link) error {
	wanted := p.wanted(links)
	have, err := held()
	if err != nil {
		return err
	}
	errs := add(wanted, have)
	errs = append(errs, p.lifetimes(links, have), p.settle(links, have))
	gone := 0
	for _, h := range have {
		at := place{h.Index, h.Prefix}
		if h.Origin == Ours && !slices.Contains(wanted, at) {
			gone++
			errs = append(errs, delAddress(at))
		}
	}
	if gone == 0 {
		return errors.Join(errs...)
	}
	// The kernel may have taken others of the same network along.
	if have, err = held(); err != nil {
		return err
	}
	return errors.Join(append(errs, add(wanted, have)...)...)
}

// wanted are the addresses of the interfaces that are there and enabled.
func (p *pass) wanted(links map[string]netlink.Link) (out []place) {
	for _, want := range p.want.Interfaces {
		l, ok := links[want.Name]
		if !ok || want.Disabled {
			continue
		}
		for _, a := range want.Addrs {
			out = append(out, place{l.Attrs().Index, a})
		}
		if lease, ok := p.leaseOf(want); ok {
			out = append(out, place{l.Attrs().Index, lease.Addr})
		}
	}
	return out
}

func add(wanted []place, have []Held) (errs []error) {
	for _, at := range wanted {
		if !slices.ContainsFunc(have, func(h Held) bool { return h.Index == at.index && h.Prefix == at.prefix }) {
			errs = append(errs, addAddress(at))
		}
	}
	return errs
}
