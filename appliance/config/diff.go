package config

import (
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/vosbed/vosbed/appliance/lb"
)

// Change is one difference between two configurations. Path is "services/NAME/check.port",
// "services/NAME/servers/NAME/weight", "node/role", "cluster/dead", "order/services". Ends
// says that present sessions of the service, or of its real server, end.
type Change struct {
	Path, Text, Before, After string
	Service, Real             string
	Ends                      bool
}

// Diff tells the differences as an operator would. It is empty exactly if the two are
// equal. Objects are the same if they have the same name.
func Diff(before, after lb.Config) []Change {
	var d differ
	d.node(before.Node, after.Node)
	d.fields("cluster", "cluster", ClusterFields(before.Cluster), ClusterFields(after.Cluster))
	serviceName := func(s lb.VirtualService) string { return s.Name }
	was, is := ids(before.Services, serviceName), ids(after.Services, serviceName)
	for i, old := range before.Services {
		if !slices.Contains(is, was[i]) {
			d.add(Change{Path: "services/" + old.Name, Text: "VIP " + old.Name + " removed", Before: old.Addr.String(), Service: old.Name, Ends: true})
		}
	}
	for i, s := range after.Services {
		if j := slices.Index(was, is[i]); j >= 0 {
			d.service(before.Services[j], s)
			continue
		}
		d.add(Change{
			Path: "services/" + s.Name, After: s.Addr.String(), Service: s.Name,
			Text: fmt.Sprintf("VIP %s added (%s:%s, layer %s)", s.Name, host(s.Addr), s.Ports, s.Layer),
		})
		for _, r := range s.Reals {
			d.newReal(s, r)
		}
	}
	if reordered(was, is) {
		d.add(Change{Path: "order/services", Text: "order of the virtual services"})
	}
	return d.changes
}

// id tells objects of a list apart. A configuration that is being edited may have a name
// twice; nth counts them.
type id struct {
	name string
	nth  int
}

func ids[T any](list []T, name func(T) string) []id {
	seen := make(map[string]int)
	out := make([]id, len(list))
	for i, v := range list {
		out[i] = id{name(v), seen[name(v)]}
		seen[name(v)]++
	}
	return out
}

// reordered says whether those that are in both lists are in another order.
func reordered(before, after []id) bool {
	common := func(in, other []id) []id {
		return slices.DeleteFunc(slices.Clone(in), func(v id) bool { return !slices.Contains(other, v) })
	}
	return !slices.Equal(common(before, after), common(after, before))
}

type differ struct{ changes []Change }

func (d *differ) add(c Change) { d.changes = append(d.changes, c) }

// fields compares the settings of two objects that are the same.
func (d *differ) fields(path, who string, before, after Fields) {
	keys := maps.Clone(before)
	maps.Copy(keys, after)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if before[key] == after[key] {
			continue
		}
		d.add(Change{
			Path: path + "/" + key, Before: before[key], After: after[key],
			Text: fmt.Sprintf("%s: %s %s → %s", who, words(key), shown(before[key]), shown(after[key])),
		})
	}
}

// words is a key as people say it.
func words(key string) string { return strings.NewReplacer(".", " ", "_", " ").Replace(key) }

// shown is a value within a line: one that would break it, or end unseen, is quoted.
func shown(text string) string {
	switch {
	case text == "":
		return "(blank)"
	case text != strings.TrimSpace(text) || strings.ContainsFunc(text, func(c rune) bool { return !strconv.IsPrint(c) }):
		return strconv.Quote(text)
	}
	return text
}

// host is an address before a port.
func host(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}

// service compares two services of one name.
func (d *differ) service(before, after lb.VirtualService) {
	if reflect.DeepEqual(before, after) {
		return // most are, and their texts cost a hundred times as much
	}
	from := len(d.changes)
	path := "services/" + after.Name
	d.fields(path, "VIP "+after.Name, ServiceFields(before), ServiceFields(after))
	for i := range d.changes[from:] {
		c := &d.changes[from+i]
		c.Service = after.Name
		c.Ends = slices.Contains([]string{"address", "ports", "protocol", "layer", "method"}, strings.TrimPrefix(c.Path, path+"/"))
	}
	d.reals(path, before, after)
}

// reals compares the real servers of two services of one name.
func (d *differ) reals(path string, before, after lb.VirtualService) {
	realName := func(r lb.RealServer) string { return r.Name }
	was, is := ids(before.Reals, realName), ids(after.Reals, realName)
	for i, old := range before.Reals {
		if !slices.Contains(is, was[i]) {
			d.add(Change{
				Path: path + "/servers/" + old.Name, Before: old.Addr.String(), Service: after.Name, Real: old.Name, Ends: true,
				Text: fmt.Sprintf("RIP %s removed from %s", old.Name, after.Name),
			})
		}
	}
	for i, r := range after.Reals {
		if j := slices.Index(was, is[i]); j >= 0 {
			d.real(after.Name, before.Reals[j], r)
			continue
		}
		d.newReal(after, r)
	}
	if reordered(was, is) {
		d.add(Change{Path: path + "/servers", Text: "VIP " + after.Name + ": order of the real servers", Service: after.Name})
	}
}

func (d *differ) newReal(s lb.VirtualService, r lb.RealServer) {
	d.add(Change{
		Path: "services/" + s.Name + "/servers/" + r.Name, After: r.Addr.String(), Service: s.Name, Real: r.Name,
		Text: fmt.Sprintf("RIP %s added to %s (%s)", r.Name, s.Name, r.Addr),
	})
}

func (d *differ) real(service string, before, after lb.RealServer) {
	from := len(d.changes)
	path := "services/" + service + "/servers/" + after.Name
	d.fields(path, fmt.Sprintf("RIP %s of %s", after.Name, service), RealFields(before), RealFields(after))
	for i := range d.changes[from:] {
		c := &d.changes[from+i]
		c.Service, c.Real = service, after.Name
		c.Ends = slices.Contains([]string{"address", "port"}, strings.TrimPrefix(c.Path, path+"/"))
	}
}
