package system

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/lb"
)

// linkMark is the alias (IFLA_IFALIAS) of the interfaces that are made here: only those
// are ever removed.
const linkMark = "made by lbd from node.system"

func madeHere(l netlink.Link) bool { return l.Attrs().Alias == linkMark }

// vlanOf is what VLAN a link is; zero = none of IEEE 802.1Q.
func vlanOf(l netlink.Link, names map[int]string) lb.VLAN {
	v, ok := l.(*netlink.Vlan)
	if !ok || v.VlanProtocol == netlink.VLAN_PROTOCOL_8021AD {
		return lb.VLAN{}
	}
	return lb.VLAN{Link: names[v.ParentIndex], ID: v.VlanId}
}

// stack makes the VLANs and bonds that are missing, after those of ours have gone that are
// in their way. Others of ours that are wanted no longer go at the end.
func (p *pass) stack() error {
	err := errors.Join(p.clear(), p.release())
	for _, want := range p.want.Stacked() {
		switch {
		case !want.Bond.Zero():
			p.fail("interface "+want.Name, p.bond(want))
		case !want.VLAN.Zero():
			p.fail("interface "+want.Name, p.vlan(want))
		}
	}
	return err
}

// clear removes what is in the way.
func (p *pass) clear() error {
	have, names, err := allLinks()
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range have {
		if madeHere(l) && p.inTheWay(l, vlanOf(l, names)) {
			errs = append(errs, remove(l))
		}
	}
	return errors.Join(errs...)
}

// allLinks lists the links, and their names by index.
func allLinks() ([]netlink.Link, map[int]string, error) {
	have, err := netlink.LinkList()
	if err != nil {
		return nil, nil, fmt.Errorf("list the interfaces: %w", err)
	}
	names := map[int]string{}
	for _, l := range have {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	return have, names, nil
}

// inTheWay says whether a link of ours has the name or the number of another one that is
// wanted. A bond that is not wanted is in the way of its members.
func (p *pass) inTheWay(l netlink.Link, is lb.VLAN) bool {
	name := l.Attrs().Name
	if _, bond := l.(*netlink.Bond); bond {
		want, _ := p.want.Interface(name)
		return want.Bond.Zero()
	}
	return slices.ContainsFunc(p.want.Interfaces, func(i lb.Interface) bool { return (i.Name == name) != (i.VLAN == is) })
}

// vlan makes one that is missing.
func (p *pass) vlan(want lb.Interface) error {
	link, err := netlink.LinkByName(want.VLAN.Link)
	if missing(err) {
		return fmt.Errorf("it is a VLAN of %s, which is not on this machine: mend vlan.link", want.VLAN.Link)
	}
	if err != nil {
		return err
	}
	have, err := netlink.LinkByName(want.Name)
	if err == nil {
		if vlanOf(have, map[int]string{link.Attrs().Index: want.VLAN.Link}) != want.VLAN {
			return fmt.Errorf("there is an interface of this name that is not VLAN %d of %s, made by others: remove it, or choose another name", want.VLAN.ID, want.VLAN.Link)
		}
		return nil
	}
	if !missing(err) {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex, attrs.Alias = want.Name, link.Attrs().Index, linkMark
	err = netlink.LinkAdd(&netlink.Vlan{LinkAttrs: attrs, VlanId: want.VLAN.ID, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q})
	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		return errors.New("the kernel of this machine has no VLANs: load its module 8021q")
	case errors.Is(err, unix.EEXIST):
		return fmt.Errorf("VLAN %d of %s is there by another name, made by others: use that name, or remove it", want.VLAN.ID, want.VLAN.Link)
	case err != nil:
		return fmt.Errorf("make VLAN %d of %s: %w", want.VLAN.ID, want.VLAN.Link, err)
	}
	made, err := netlink.LinkByName(want.Name)
	if err != nil {
		return err
	}
	return netlink.LinkSetAlias(made, linkMark)
}

// unstack removes those of ours that are no longer wanted, the uppermost first.
func (p *pass) unstack() error {
	have, _, err := allLinks()
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range slices.Backward(have) {
		if _, wanted := p.want.Interface(l.Attrs().Name); madeHere(l) && !wanted {
			errs = append(errs, remove(l))
		}
	}
	return errors.Join(errs...)
}

// remove removes a link; it may have gone with the one that carried it.
func remove(l netlink.Link) error {
	err := netlink.LinkDel(l)
	if err != nil && !missing(err) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("remove %s: %w", l.Attrs().Name, err)
	}
	return nil
}
