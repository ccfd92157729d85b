package config

import (
	"fmt"

	"github.com/vosbed/vosbed/appliance/lb"
)

// mostVLAN is the highest number of a VLAN (IEEE 802.1Q: 0 is a priority alone, 4095 is
// reserved).
const mostVLAN = 4094

// vlanFile says that an interface is a VLAN of another one.
type vlanFile struct {
	Link string `yaml:"link,omitempty"`
	ID   *int   `yaml:"id,omitempty"`
}

func (r *reader) vlan(f vlanFile, path string) lb.VLAN {
	switch {
	case f.Link == "" && f.ID == nil:
		r.empty(path, "{link: eth0, id: 100}")
	case f.Link == "":
		r.fail(path+".link", "the interface is missing that carries the VLAN -- write link: eth0")
	case f.ID == nil:
		r.fail(path+".id", "the VLAN's number is missing -- write id: with 1 to %d", mostVLAN)
	}
	if f.ID != nil {
		between(r, path+".id", *f.ID, 1, mostVLAN)
	}
	return lb.VLAN{Link: f.Link, ID: or(f.ID, 0)}
}

func vlanToFile(v lb.VLAN) vlanFile {
	out := vlanFile{Link: v.Link}
	if v.ID != 0 {
		out.ID = new(v.ID)
	}
	return out
}

// validateVLANs reports VLANs that no kernel makes, or that carry nothing.
func validateVLANs(r *reader, all []lb.Interface) {
	s := lb.System{Interfaces: all}
	stacked := lb.System{Interfaces: s.Stacked()}
	first := map[lb.VLAN]string{}
	for i, one := range all {
		if one.VLAN.Link == "" {
			continue
		}
		path := fmt.Sprintf("node.system.interfaces[%d]", i)
		checkInterface(r, path+".vlan.link", one.VLAN.Link)
		if other, twice := first[one.VLAN]; twice && one.VLAN.ID != 0 {
			r.fail(path+".vlan.id", "%s is VLAN %d of %s already -- remove one of the two, or write another number", other, one.VLAN.ID, one.VLAN.Link)
		}
		first[one.VLAN] = one.Name
		if _, ends := stacked.Interface(one.Name); !ends {
			r.fail(path+".vlan.link", "%s is a VLAN of itself by %s -- write the network interface that carries it", one.Name, one.VLAN.Link)
			continue
		}
		validateCarrier(r, s, one, path)
	}
}

// validateCarrier compares a VLAN with what carries it.
func validateCarrier(r *reader, s lb.System, one lb.Interface, path string) {
	link, ours := s.Interface(one.VLAN.Link)
	switch {
	case !ours:
	case link.Disabled && !one.Disabled:
		r.fail(path+".vlan.link", "%s is disabled -- enable it, or disable %s too", link.Name, one.Name)
	case link.MTU != 0 && one.MTU > link.MTU:
		r.fail(path+".mtu", "%d is more than the %d of %s, which carries the VLAN -- lower it, or raise that", one.MTU, link.MTU, link.Name)
	}
}
