package appliance

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/internal/draft"
	"github.com/vosbed/vosbed/appliance/internal/mgmt"
	"github.com/vosbed/vosbed/appliance/internal/system"
	"github.com/vosbed/vosbed/appliance/lb"
)

func (a *Appliance) openSystem() {
	a.system = system.New(system.Options{
		State: filepath.Join(a.opts.StateDir, "system.json"), Etc: a.opts.Etc,
		Changed: a.publish, Refuse: a.refuse, Leased: a.leased, Logger: a.log,
	})
}

// setSystem hands over what the machine is to be. It keeps no address from being served:
// what cannot be done is a problem, and nothing else. An appliance that leaves the kernel
// alone leaves all of the machine alone.
func (a *Appliance) setSystem(want lb.System) {
	a.stats.Off(want.Graphing.Off)
	if a.opts.Dataplane != memoryEngine {
		a.system.Set(want)
	}
}

func (a *Appliance) systemProblems() []string {
	var out []string
	for _, text := range a.system.Problems() {
		out = append(out, "local configuration: "+text)
	}
	return out
}

// unfit tells what this machine, rather than any, does not let take effect of the node's
// own settings. Those that are in force are not judged again: cables and addresses of
// others come and go.
func (a *Appliance) unfit(cfg lb.Config) []draft.Mistake {
	now, _ := a.facts.current()
	out := a.atLeased(cfg)
	if reflect.DeepEqual(now.Node, cfg.Node) {
		return out
	}
	if zone := cfg.Node.System.Clock.Zone; zone != "" && !a.system.HasZone(zone) {
		out = append(out, draft.Mistake{Path: "node.system.time.zone", Message: fmt.Sprintf("this machine has no time zone %q", zone), Hint: "write a name of its tz database such as Europe/London, or install tzdata"})
	}
	if len(cfg.Node.System.Interfaces) == 0 && len(now.Node.System.Interfaces) == 0 {
		return out // no address comes or goes
	}
	facts, err := a.system.Facts()
	if err != nil {
		a.log.Warn("the machine's addresses cannot be read: whether the configuration keeps those of this node is not judged", "err", err)
		return out
	}
	for i, one := range cfg.Node.System.Interfaces {
		out = append(out, unfitMembers(cfg.Node.System, facts, i)...)
		if v := one.VLAN; !v.Zero() && !there(cfg.Node.System, facts, v.Link) {
			out = append(out, draft.Mistake{
				Path: fmt.Sprintf("node.system.interfaces[%d].vlan.link", i), Message: fmt.Sprintf("there is no interface %q on this machine that could carry VLAN %d", v.Link, v.ID),
				Hint: "write the name of one that Network Interface Configuration (lbctl system) shows",
			})
		}
	}
	for _, need := range config.Needs(cfg.Node) {
		if !keeps(cfg.Node.System, facts, need) {
			out = append(out, draft.Mistake{
				Path: need.Key, Message: fmt.Sprintf("this node needs %s, which no interface would have", need.Addr),
				Hint: "add it to the addresses of an interface, or write another one here; an address by DHCP may change and does not count",
			})
		}
	}
	return out
}

// unfitMembers tells what an interface is to be made of and this machine has not, or has as
// something else.
func unfitMembers(want lb.System, facts system.Facts, i int) (out []draft.Mistake) {
	bond := want.Interfaces[i]
	for j, name := range bond.Bond.Members {
		m := draft.Mistake{Path: fmt.Sprintf("node.system.interfaces[%d].bond.members[%d]", i, j)}
		k := slices.IndexFunc(facts.NICs, func(n system.NIC) bool { return n.Name == name })
		switch {
		case k < 0:
			m.Message = fmt.Sprintf("there is no interface %q on this machine that could be a member of %s", name, bond.Name)
			m.Hint = "write the names of network cards that Network Interface Configuration (lbctl system) shows"
		case slices.ContainsFunc(facts.NICs[k].Addrs, foreign):
			m.Message = fmt.Sprintf("%s has an address by others, which would be lost as a member of %s", name, bond.Name)
			m.Hint = "remove it where it was made, or use another network card"
		default:
			continue
		}
		out = append(out, m)
	}
	return out
}

func foreign(h system.Held) bool { return h.Origin == system.Foreign }

// there says whether the machine has an interface, or will have it as a VLAN or a bond.
func there(want lb.System, facts system.Facts, name string) bool {
	i, ours := want.Interface(name)
	return ours && (!i.VLAN.Zero() || !i.Bond.Zero()) || slices.ContainsFunc(facts.NICs, func(n system.NIC) bool { return n.Name == name })
}

// keeps says whether a node would have an address: by its configuration, or as somebody
// else gave it to an interface that stays up.
func keeps(want lb.System, facts system.Facts, need config.Need) bool {
	for _, i := range want.Interfaces {
		for _, p := range i.Addrs {
			if !i.Disabled && p.Addr() == need.Addr {
				return true
			}
		}
	}
	for _, nic := range facts.NICs {
		i, _ := want.Interface(nic.Name)
		if i.Disabled || want.BondOf(nic.Name) != "" {
			continue
		}
		for _, h := range nic.Addrs {
			if foreign(h) && h.Prefix.Addr() == need.Addr {
				return true
			}
		}
	}
	return false
}

func unfitError(wrong []draft.Mistake) error {
	var errs []error
	for _, m := range wrong {
		errs = append(errs, fmt.Errorf("%s: %s: %s", m.Path, m.Message, m.Hint))
	}
	return errors.Join(errs...)
}

// cutsOff reports whether changes could cut this node off from who makes them: they go back
// by themselves unless they are kept.
func cutsOff(changes []draft.Change) bool {
	return slices.ContainsFunc(changes, func(c draft.Change) bool {
		return strings.HasPrefix(c.Path, "node/system.interfaces") || strings.HasPrefix(c.Path, "node/system.routes")
	})
}

var errTrialOnly = fmt.Errorf("%w: changes of interfaces and routes could cut this node off, so they are applied on trial: "+
	"apply them with auto-rollback (lbctl apply --trial 60s), look whether all is well, and keep them (lbctl keep)", mgmt.ErrRefused)

// System is the machine as it is now.
func (b backend) System(context.Context) (api.System, error) {
	f, err := b.system.Facts()
	if err != nil {
		return api.System{}, err
	}
	out := api.System{
		Hostname: f.Hostname, Interfaces: []api.NIC{}, Routes: []api.Route{},
		Resolver: api.Resolver{File: f.Resolver.File, Link: f.Resolver.Link, Servers: some(f.Resolver.Servers), Search: some(f.Resolver.Search)},
		Clock: api.Clock{
			Now: f.Clock.Now, Zone: f.Clock.Zone, Synchronized: f.Clock.Synced,
			ErrorMS: float64(f.Clock.Error.Microseconds()) / 1000, Servers: some(f.Clock.Servers),
		},
		Problems: some(b.system.Problems()),
	}
	for _, n := range f.NICs {
		one := api.NIC{Name: n.Name, MAC: n.MAC, MTU: n.MTU, Up: n.Up, Carrier: n.Carrier, SpeedMbps: n.Speed, Addresses: []api.NICAddress{}}
		if l := n.Lease; l.Addr.IsValid() {
			one.Lease = leaseText(l)
		}
		if v := n.VLAN; !v.Zero() {
			one.VLAN = &api.NICVLAN{Link: v.Link, ID: v.ID}
		}
		one.Bond, one.BondOf = bondShown(n.Bond), n.BondOf
		for _, h := range n.Addrs {
			one.Addresses = append(one.Addresses, api.NICAddress{Address: h.Prefix.String(), Origin: string(h.Origin)})
		}
		out.Interfaces = append(out.Interfaces, one)
	}
	for _, r := range f.Routes {
		one := api.Route{To: r.To.String(), Interface: r.Interface, Metric: r.Metric, Origin: string(r.Origin)}
		if r.To.Bits() == 0 {
			one.To = "default"
		}
		if r.Via.IsValid() {
			one.Via = r.Via.String()
		}
		out.Routes = append(out.Routes, one)
	}
	return out, nil
}

func bondShown(f system.BondFact) *api.NICBond {
	if f.Mode == "" {
		return nil
	}
	out := &api.NICBond{Mode: f.Mode, Members: []api.NICMember{}}
	for _, m := range f.Members {
		out.Members = append(out.Members, api.NICMember{Name: m.Name, Carrier: m.Carrier, Active: m.Active})
	}
	return out
}

// some is a list that JSON shows as one, whatever it holds.
func some(list []string) []string { return append([]string{}, list...) }
