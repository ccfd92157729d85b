package draft

import (
	"slices"
	"strings"

	"github.com/vosbed/vosbed/appliance/lb"
)

// rebase makes the draft's changes to what is in force now. ok is false if the same
// object was changed to something else there, or if there is no telling what is the same.
func (s *Store) rebase(current lb.Config) (want lb.Config, ok bool) {
	base, mine := s.draft.base, objects(s.draft.changes)
	if ambiguous(base) || ambiguous(s.draft.want) || ambiguous(current) {
		return want, false
	}
	differs := objects(s.opts.Tools.Diff(current, s.draft.want))
	for object := range objects(s.opts.Tools.Diff(base, current)) {
		if mine[object] && differs[object] {
			return want, false
		}
	}
	want = clone(current)
	for _, c := range s.draft.changes { // in their order, so that services added keep theirs
		object := objectOf(c)
		switch name, service := strings.CutPrefix(object, servicesPrefix); {
		case !differs[object]:
		case service:
			want.Services = withService(want.Services, s.draft.want.Services, name)
		case object == "node":
			want.Node = s.draft.want.Node
		case object == "cluster":
			want.Cluster = s.draft.want.Cluster
		case object == "order" && slices.EqualFunc(base.Services, current.Services, sameName):
		default:
			return want, false // the order of other services: there is no telling whose holds
		}
	}
	if mine["order"] && differs["order"] {
		arrange(want.Services, s.draft.want.Services)
	}
	return want, true
}

func sameName(a, b lb.VirtualService) bool { return a.Name == b.Name }

// ambiguous says whether two services have one name, as those of a draft may.
func ambiguous(c lb.Config) bool {
	seen := make(map[string]bool, len(c.Services))
	for _, s := range c.Services {
		if seen[s.Name] {
			return true
		}
		seen[s.Name] = true
	}
	return false
}

// arrange gives services the order of like, which has all of them.
func arrange(services, like []lb.VirtualService) {
	at := make(map[string]int, len(like))
	for i, s := range like {
		at[s.Name] = i
	}
	slices.SortStableFunc(services, func(a, b lb.VirtualService) int { return at[a.Name] - at[b.Name] })
}

// clone shares nothing with c.
func clone(c lb.Config) lb.Config {
	n := &c.Node
	n.Management, n.Paths, n.PingNodes = slices.Clone(n.Management), slices.Clone(n.Paths), slices.Clone(n.PingNodes)
	n.ManagementDHCP = slices.Clone(n.ManagementDHCP)
	n.ManagementHTTP, n.Fallback = slices.Clone(n.ManagementHTTP), slices.Clone(n.Fallback)
	n.Authentication.Servers = slices.Clone(n.Authentication.Servers)
	n.System = cloneSystem(n.System)
	c.Services = slices.Clone(c.Services)
	for i := range c.Services {
		s := &c.Services[i]
		s.Ports, s.Check.Statuses, s.Reals = slices.Clone(s.Ports), slices.Clone(s.Check.Statuses), slices.Clone(s.Reals)
	}
	return c
}

func cloneSystem(s lb.System) lb.System {
	s.DNS.Servers, s.DNS.Search = slices.Clone(s.DNS.Servers), slices.Clone(s.DNS.Search)
	s.Routes, s.Clock.Servers = slices.Clone(s.Routes), slices.Clone(s.Clock.Servers)
	s.Interfaces = slices.Clone(s.Interfaces)
	for i := range s.Interfaces {
		one := &s.Interfaces[i]
		one.Addrs, one.Bond.Members = slices.Clone(one.Addrs), slices.Clone(one.Bond.Members)
	}
	return s
}

const servicesPrefix = "services/"

// objects are what changes are about.
func objects(changes []Change) map[string]bool {
	out := map[string]bool{}
	for _, c := range changes {
		out[objectOf(c)] = true
	}
	return out
}

// objectOf is a whole service, the node, the cluster, or the order.
func objectOf(c Change) string {
	parts := strings.SplitN(c.Path, "/", 3)
	if parts[0] == "services" && len(parts) > 1 {
		return servicesPrefix + parts[1]
	}
	return parts[0]
}

// withService returns services with the one of that name as it is in from.
func withService(services, from []lb.VirtualService, name string) []lb.VirtualService {
	named := func(s lb.VirtualService) bool { return s.Name == name }
	mine, have := slices.IndexFunc(from, named), slices.IndexFunc(services, named)
	switch {
	case mine < 0:
		return slices.DeleteFunc(services, named)
	case have < 0:
		return append(services, from[mine])
	}
	services[have] = from[mine]
	return services
}

// Rescue makes changes that were in force, from base to mine, pending changes to what is
// in force now, and returns how many. ok is false where they clash with that, or where
// something else is pending: then nothing has changed.
func (s *Store) Rescue(author string, base, mine lb.Config) (changes int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	current, revision := s.refresh()
	if s.draft != nil {
		return 0, false
	}
	fresh := note{author, s.opts.Now().UTC()}
	next, err := s.transplant(base, mine, current, revision, fresh)
	if err != nil {
		s.opts.Logger.Error("changes that were overtaken cannot be kept as pending ones", "err", err)
		return 0, false
	}
	if next == nil {
		return 0, true
	}
	return len(next.changes), true
}

// transplant leaves nothing pending on an error.
func (s *Store) transplant(base, mine, current lb.Config, revision string, fresh note) (*draft, error) {
	former, err := s.build(base, s.opts.Tools.Revision(base), mine, nil, fresh)
	if err != nil || former == nil {
		return nil, err
	}
	s.draft = former
	want, ok := s.rebase(current)
	s.draft = nil
	if !ok {
		return nil, ErrStale
	}
	next, err := s.build(current, revision, want, nil, fresh)
	if err != nil || next == nil {
		return nil, err
	}
	return next, s.replace(next)
}
