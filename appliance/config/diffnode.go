package config

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/vosbed/vosbed/appliance/lb"
)

// node compares the settings of the node. Items of its lists are told by what people
// call them: a heartbeat path and an interface by their names, a route by where it leads.
func (d *differ) node(before, after lb.Node) {
	d.fields("node", "node", withoutItems(NodeFields(before)), withoutItems(NodeFields(after)))
	d.items("node/heartbeat", "heartbeat path", pathItems(before), pathItems(after))
	d.items("node/system.interfaces", "interface", interfaceItems(before), interfaceItems(after))
	d.items("node/system.routes", "route", routeItems(before), routeItems(after))
}

func withoutItems(f Fields) Fields {
	maps.DeleteFunc(f, func(key, _ string) bool { return strings.Contains(key, "[") })
	return f
}

// item is one of a list: its name, what it is in words, and its settings.
type item struct {
	name, text string
	fields     Fields
}

func pathItems(n lb.Node) (out []item) {
	for i, f := range nodeToFile(n).Heartbeat {
		out = append(out, item{n.Paths[i].Name, f.Local + " → " + f.Peer, flat(f)})
	}
	return out
}

func interfaceItems(n lb.Node) (out []item) {
	for _, f := range systemToFile(n.System).Interfaces {
		addrs := f.Addresses
		if f.DHCP != nil {
			addrs = append([]string{"DHCP"}, addrs...)
		}
		text := strings.Join(addrs, ", ")
		switch {
		case !*f.Enabled:
			text = "disabled"
		case text == "":
			text = "enabled"
		}
		if f.VLAN.ID != nil {
			text += fmt.Sprintf(", VLAN %d of %s", *f.VLAN.ID, f.VLAN.Link)
		}
		if len(f.Bond.Members) > 0 {
			text += fmt.Sprintf(", bond of %s (%s)", strings.Join(f.Bond.Members, ", "), f.Bond.Mode)
		}
		if f.MTU != nil {
			text += fmt.Sprintf(", MTU %d", *f.MTU)
		}
		out = append(out, item{f.Name, text, flat(f)})
	}
	return out
}

func routeItems(n lb.Node) (out []item) {
	for i, f := range systemToFile(n.System).Routes {
		r := n.System.Routes[i]
		out = append(out, item{f.To + familyOf(r), strings.TrimPrefix(RouteText(r), f.To+" "), flat(f)})
	}
	return out
}

// familyOf tells the default gateways of the two families apart.
func familyOf(r lb.Route) string {
	if r.To == netip.PrefixFrom(netip.IPv6Unspecified(), 0) {
		return " (IPv6)"
	}
	return ""
}

// items compares two lists by the names of what is in them.
func (d *differ) items(path, what string, before, after []item) {
	name := func(i item) string { return i.name }
	was, is := ids(before, name), ids(after, name)
	for i, old := range before {
		if !slices.Contains(is, was[i]) {
			d.add(Change{Path: path + "/" + old.name, Before: old.text, Text: fmt.Sprintf("%s %s removed: %s", what, old.name, shown(old.text))})
		}
	}
	for i, one := range after {
		at := path + "/" + one.name
		if j := slices.Index(was, is[i]); j >= 0 {
			d.fields(at, what+" "+one.name, before[j].fields, one.fields)
			continue
		}
		d.add(Change{Path: at, After: one.text, Text: fmt.Sprintf("%s %s added: %s", what, one.name, shown(one.text))})
	}
	if reordered(was, is) {
		d.add(Change{Path: path, Text: "order of the " + what + "s"})
	}
}
