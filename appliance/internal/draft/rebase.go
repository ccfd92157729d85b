package draft

import (
	"slices"
	"strings"

	"github.com/vosbed/vosbed/appliance/lb"
)

// rebase makes the draft's changes to what is in force now. ok is false if the same
// object was changed there.
func (s *Store) rebase(current lb.Config) (want lb.Config, ok bool) {
	mine := objects(s.opts.Tools.Diff(s.draft.base, s.draft.want))
	for object := range objects(s.opts.Tools.Diff(s.draft.base, current)) {
		if mine[object] {
			return want, false
		}
	}
	want = current
	want.Services = slices.Clone(current.Services)
	for object := range mine {
		switch name, service := strings.CutPrefix(object, servicesPrefix); {
		case service:
			want.Services = withService(want.Services, s.draft.want.Services, name)
		case object == "node":
			want.Node = s.draft.want.Node
		case object == "cluster":
			want.Cluster = s.draft.want.Cluster
		default:
			return want, false // the order of the services: there is no telling whose holds
		}
	}
	return want, true
}

const servicesPrefix = "services/"

// objects are what changes are about: whole services, the node, the cluster.
func objects(changes []Change) map[string]bool {
	out := map[string]bool{}
	for _, c := range changes {
		parts := strings.SplitN(c.Path, "/", 3)
		object := parts[0]
		if object == "services" && len(parts) > 1 {
			object = servicesPrefix + parts[1]
		}
		out[object] = true
	}
	return out
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
