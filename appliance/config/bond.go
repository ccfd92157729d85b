package config

import (
	"fmt"

	"github.com/vosbed/vosbed/appliance/lb"
)

// mostMembers is what a bond has at most: as many ports as LACP has at work at once.
const mostMembers = 8

// bondFile says that an interface is made of others.
type bondFile struct {
	Members []string `yaml:"members,omitempty,flow"`
	Mode    string   `yaml:"mode,omitempty"`
}

func (r *reader) bond(f bondFile, path string) lb.Bond {
	switch {
	case len(f.Members) == 0 && f.Mode == "":
		r.empty(path, "{members: [eth2, eth3]}")
	case len(f.Members) == 0:
		r.fail(path+".members", "the interfaces are missing that the bond is made of -- write members: [eth2, eth3]")
	}
	if why := unsuitable(f.Mode); why != "" {
		r.fail(path+".mode", "%s %s -- use active-backup, or 802.3ad with an aggregate (LACP) at the switch", f.Mode, why)
		return lb.Bond{Members: f.Members}
	}
	return lb.Bond{Members: f.Members, Mode: word(r, path+".mode", text(f.Mode, "active-backup"), lb.ParseBondMode)}
}

// unsuitable tells why a mode that Linux has does not suit virtual addresses.
func unsuitable(mode string) string {
	switch mode {
	case "balance-tlb", "balance-alb":
		return "uses the MAC address of every member, and clients know a VIP by one"
	case "balance-rr":
		return "sends the packets of a connection out of order"
	case "broadcast":
		return "sends every packet by every member"
	}
	return ""
}

func bondToFile(b lb.Bond) bondFile {
	out := bondFile{Members: b.Members}
	if !b.Zero() || b.Mode != lb.ActiveBackup {
		out.Mode = b.Mode.String()
	}
	return out
}

// validateBonds reports bonds that no kernel makes, and members that are used otherwise.
func validateBonds(r *reader, all []lb.Interface) {
	s := lb.System{Interfaces: all}
	first := map[string]string{}
	for i, one := range all {
		path := fmt.Sprintf("node.system.interfaces[%d]", i)
		if link := one.VLAN.Link; link != "" && s.BondOf(link) != "" {
			r.fail(path+".vlan.link", "%s is a member of %s -- write %s", link, s.BondOf(link), s.BondOf(link))
		}
		if one.Bond.Zero() {
			continue
		}
		if !one.VLAN.Zero() {
			r.fail(path+".vlan", "%s is a bond -- write the VLAN as an interface of its own, whose vlan.link is %s", one.Name, one.Name)
		}
		if len(one.Bond.Members) > mostMembers {
			r.fail(path+".bond.members", "%d members, the limit is %d -- remove some", len(one.Bond.Members), mostMembers)
			continue
		}
		for j, name := range one.Bond.Members {
			validateMember(r, s, one, r.item(fmt.Sprintf("%s.bond.members[%d]", path, j)), name)
			if other, twice := first[name]; twice {
				r.fail(fmt.Sprintf("%s.bond.members[%d]", path, j), "%s is a member of %s already -- remove one of the two", name, other)
			}
			first[name] = one.Name
		}
	}
}

// validateMember judges what a bond is made of: its settings are the bond's.
func validateMember(r *reader, s lb.System, bond lb.Interface, path, name string) {
	checkInterface(r, path, name)
	is, _ := s.Interface(name)
	switch {
	case name == "":
	case name == bond.Name:
		r.fail(path, "%s is a member of itself -- write the network cards that it is made of", name)
	case !is.VLAN.Zero():
		r.fail(path, "%s is a VLAN -- write the network card, and have the VLAN upon the bond: vlan: {link: %s, id: %d}", name, bond.Name, is.VLAN.ID)
	case !is.Bond.Zero():
		r.fail(path, "%s is a bond itself -- write the network cards that it is made of", name)
	case len(is.Addrs) > 0:
		r.fail(path, "%s has addresses of its own -- move them to %s", name, bond.Name)
	case is.DHCP:
		r.fail(path, "%s leases an address of its own -- write dhcp: true at %s instead", name, bond.Name)
	case is.MTU != 0:
		r.fail(path, "%s has an MTU of its own, but members have that of their bond -- write it at %s", name, bond.Name)
	case is.Disabled:
		r.fail(path, "%s is disabled -- remove it from the members, or enable it", name)
	}
}
