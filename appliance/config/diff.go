package config

import (
	"fmt"
	"maps"
	"slices"
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
	d.fields("node", "node", NodeFields(before.Node), NodeFields(after.Node))
	d.fields("cluster", "cluster", ClusterFields(before.Cluster), ClusterFields(after.Cluster))
	for _, old := range before.Services {
		if find(after.Services, old.Name) == nil {
			d.add(Change{Path: "services/" + old.Name, Text: "VIP " + old.Name + " removed", Before: old.Addr.String(), Service: old.Name, Ends: true})
		}
	}
	for _, s := range after.Services {
		if old := find(before.Services, s.Name); old != nil {
			d.service(*old, s)
			continue
		}
		d.add(Change{
			Path: "services/" + s.Name, After: s.Addr.String(), Service: s.Name,
			Text: fmt.Sprintf("VIP %s added (%s:%s, layer %s)", s.Name, s.Addr, s.Ports, s.Layer),
		})
		for _, r := range s.Reals {
			d.newReal(s, r)
		}
	}
	if reordered(before.Services, after.Services, func(s lb.VirtualService) string { return s.Name }) {
		d.add(Change{Path: "order/services", Text: "order of the virtual services"})
	}
	return d.changes
}

func find(in []lb.VirtualService, name string) *lb.VirtualService {
	i := slices.IndexFunc(in, func(s lb.VirtualService) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return &in[i]
}

// reordered says whether those that are in both lists are in another order.
func reordered[T any](before, after []T, name func(T) string) bool {
	common := func(in, other []T) []string {
		var out []string
		for _, v := range in {
			if slices.ContainsFunc(other, func(o T) bool { return name(o) == name(v) }) {
				out = append(out, name(v))
			}
		}
		return out
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

func shown(text string) string {
	if text == "" {
		return "(blank)"
	}
	return text
}

// service compares two services of one name.
func (d *differ) service(before, after lb.VirtualService) {
	from := len(d.changes)
	path := "services/" + after.Name
	d.fields(path, "VIP "+after.Name, ServiceFields(before), ServiceFields(after))
	for i := range d.changes[from:] {
		c := &d.changes[from+i]
		c.Service = after.Name
		c.Ends = slices.Contains([]string{"address", "ports", "protocol", "layer", "method"}, strings.TrimPrefix(c.Path, path+"/"))
	}
	named := func(name string) func(lb.RealServer) bool {
		return func(r lb.RealServer) bool { return r.Name == name }
	}
	for _, old := range before.Reals {
		if !slices.ContainsFunc(after.Reals, named(old.Name)) {
			d.add(Change{
				Path: path + "/servers/" + old.Name, Before: old.Addr.String(), Service: after.Name, Real: old.Name, Ends: true,
				Text: fmt.Sprintf("RIP %s removed from %s", old.Name, after.Name),
			})
		}
	}
	for _, r := range after.Reals {
		i := slices.IndexFunc(before.Reals, named(r.Name))
		if i < 0 {
			d.newReal(after, r)
			continue
		}
		d.real(after.Name, before.Reals[i], r)
	}
	if reordered(before.Reals, after.Reals, func(r lb.RealServer) string { return r.Name }) {
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
