package system

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/lb"
)

// What bonds that are made here have beside what is configured (Linux:
// Documentation/networking/bonding).
const (
	// bondMonitor is how often the carrier of the members is looked at, in ms (miimon).
	bondMonitor = 100
	// bondNotify is how often, after another member has begun to work, each address is
	// announced, the VIPs too (num_grat_arp, num_unsol_na).
	bondNotify = 3
	// bondMTU is that of a bond without one in the configuration (RFC 894).
	bondMTU = 1500
)

// kernelMode is a mode as the kernel knows it.
func kernelMode(m lb.BondMode) netlink.BondMode {
	switch m {
	case lb.LACP:
		return netlink.BOND_MODE_802_3AD
	case lb.BalanceXOR:
		return netlink.BOND_MODE_BALANCE_XOR
	case lb.ActiveBackup:
	}
	return netlink.BOND_MODE_ACTIVE_BACKUP
}

// kernelBond is what the kernel is told of a bond. All members have one MAC address
// (fail_over_mac none): what knows a VIP by it need not learn another one.
func kernelBond(want lb.Interface) *netlink.Bond {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = want.Name, bondMTU
	if want.MTU != 0 {
		attrs.MTU = want.MTU
	}
	b := netlink.NewLinkBond(attrs)
	b.Mode, b.FailOverMac = kernelMode(want.Bond.Mode), netlink.BOND_FAIL_OVER_MAC_NONE
	b.Miimon, b.NumPeerNotif = bondMonitor, bondNotify
	if want.Bond.Mode != lb.ActiveBackup { // a connection stays on one cable
		b.XmitHashPolicy = netlink.BOND_XMIT_HASH_POLICY_LAYER3_4
	}
	if want.Bond.Mode == lb.LACP { // a dead partner is noticed after 3 s, not 90
		b.LacpRate = netlink.BOND_LACP_RATE_FAST
	}
	return b
}

// release frees the members of bonds of ours that are to be members no longer, so that
// they can have addresses of their own in the same pass. The bond's MAC address goes with
// the member that has lent it: then all of them leave, and come back.
func (p *pass) release() error {
	have, _, err := allLinks()
	if err != nil {
		return err
	}
	bonds := map[int]*netlink.Bond{}
	for _, l := range have {
		if b, ok := l.(*netlink.Bond); ok && madeHere(l) {
			bonds[l.Attrs().Index] = b
		}
	}
	var errs []error
	for _, l := range have {
		b, ours := bonds[l.Attrs().MasterIndex]
		if !ours || p.want.BondOf(l.Attrs().Name) == b.Name {
			continue
		}
		errs = append(errs, leave(l))
		if s, ok := l.Attrs().Slave.(*netlink.BondSlave); ok && bytes.Equal(s.PermHardwareAddr, b.HardwareAddr) {
			errs = append(errs, empty(b))
		}
	}
	return errors.Join(errs...)
}

// leave takes an interface out of its bond. The kernel takes it down, and gives it back the
// MAC address and MTU that it had.
func leave(l netlink.Link) error {
	if err := netlink.LinkSetNoMaster(l); err != nil && !missing(err) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("take %s out of its bond: %w", l.Attrs().Name, err)
	}
	return nil
}

// empty takes all members out of a bond.
func empty(b *netlink.Bond) error {
	have, err := membersOf(b)
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range have {
		errs = append(errs, leave(l))
	}
	return errors.Join(errs...)
}

func membersOf(b *netlink.Bond) ([]netlink.Link, error) {
	all, _, err := allLinks()
	return slices.DeleteFunc(all, func(l netlink.Link) bool { return l.Attrs().MasterIndex != b.Index }), err
}

// bond makes one that is missing, or that others made and do not use, and fills it.
func (p *pass) bond(want lb.Interface) error {
	have, err := netlink.LinkByName(want.Name)
	if missing(err) {
		have, err = makeBond(want)
	}
	if err != nil {
		return err
	}
	b, ok := have.(*netlink.Bond)
	if !ok {
		return errors.New("there is an interface of this name that is no bond, made by others: remove it, or choose another name")
	}
	if !madeHere(b) {
		if serves, err := serving(b, want.Bond); serves || err != nil {
			return err
		}
		if err := adopt(b); err != nil {
			return err
		}
	}
	if b.Mode != kernelMode(want.Bond.Mode) || b.Miimon != bondMonitor {
		if err := tune(b, want); err != nil {
			return err
		}
	}
	for _, name := range want.Bond.Members {
		p.fail("interface "+want.Name, p.member(b, name))
	}
	return nil
}

// makeBond makes one. Its name may be taken by then: the kernel's module makes a bond0 of
// its own when it is loaded.
func makeBond(want lb.Interface) (netlink.Link, error) {
	err := netlink.LinkAdd(kernelBond(want))
	taken := errors.Is(err, unix.EEXIST)
	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		return nil, errors.New("the kernel of this machine has no bonds: load its module bonding")
	case err != nil && !taken:
		return nil, fmt.Errorf("make the bond: %w", err)
	}
	made, err := netlink.LinkByName(want.Name)
	if err != nil || taken {
		return made, err
	}
	made.Attrs().Alias = linkMark
	return made, netlink.LinkSetAlias(made, linkMark)
}

// serving says whether a bond of others is the one that is wanted.
func serving(b *netlink.Bond, want lb.Bond) (bool, error) {
	have, err := membersOf(b)
	if err != nil || b.Mode != kernelMode(want.Mode) || len(have) != len(want.Members) {
		return false, err
	}
	return !slices.ContainsFunc(have, func(l netlink.Link) bool { return !slices.Contains(want.Members, l.Attrs().Name) }), nil
}

// adopt takes a bond that nobody uses: it is down, and empty.
func adopt(b *netlink.Bond) error {
	have, err := membersOf(b)
	if err != nil {
		return err
	}
	if isUp(b) || len(have) > 0 || b.Alias != "" {
		return errors.New("there is another bond of this name, made by others: remove it, leave bond out to use it as it is, or choose another name")
	}
	b.Alias = linkMark
	return netlink.LinkSetAlias(b, linkMark)
}

// tune gives a bond another mode, which the kernel takes only while it is down and empty.
// Its IPv4 addresses stay, and so does what is stacked upon it.
func tune(b *netlink.Bond, want lb.Interface) error {
	if err := empty(b); err != nil {
		return err
	}
	if isUp(b) {
		if err := setUp(b, false); err != nil {
			return err
		}
	}
	if err := netlink.LinkModify(kernelBond(want)); err != nil {
		return fmt.Errorf("set the mode %s: %w", want.Bond.Mode, err)
	}
	return nil
}

// member has an interface in a bond. One that joins is down for a moment; what was up
// before is remembered.
func (p *pass) member(b *netlink.Bond, name string) error {
	l, err := netlink.LinkByName(name)
	if missing(err) {
		return fmt.Errorf("its member %s is not on this machine: mend bond.members", name)
	}
	if err != nil {
		return err
	}
	switch l.Attrs().MasterIndex {
	case 0:
	case b.Index:
		if isUp(l) {
			return nil
		}
		return setUp(l, true)
	default:
		return fmt.Errorf("its member %s belongs to a bond or bridge that others made: take it out there, or mend bond.members", name)
	}
	if err := p.turn(l, false); err != nil {
		return err
	}
	if err := netlink.LinkSetMaster(l, b); err != nil {
		return fmt.Errorf("take %s as a member: %w", name, err)
	}
	return nil
}

// BondFact is a bond as it is; without a mode it is none.
type BondFact struct {
	Mode    string // Linux's word
	Members []MemberFact
}

// MemberFact is a member of a bond.
type MemberFact struct {
	Name    string
	Carrier bool // a cable, and a link partner
	Active  bool // packets go by it
}

func bondFact(l netlink.Link, all []netlink.Link) (out BondFact) {
	b, ok := l.(*netlink.Bond)
	if !ok {
		return out
	}
	out.Mode = b.Mode.String()
	for _, m := range all {
		if m.Attrs().MasterIndex != b.Index {
			continue
		}
		one := MemberFact{Name: m.Attrs().Name}
		if s, known := m.Attrs().Slave.(*netlink.BondSlave); known {
			one.Carrier = s.MiiStatus == netlink.BondLinkUp
			one.Active = one.Carrier && s.State == netlink.BondStateActive
		}
		out.Members = append(out.Members, one)
	}
	return out
}
