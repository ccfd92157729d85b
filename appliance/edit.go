package appliance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/internal/mgmt"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/strictyaml"
)

// edit changes one object of a configuration and returns its path, "" if it was removed.
func edit(cfg *lb.Config, at mgmt.Place, fields config.Fields, add bool) (path string, err error) {
	cfg.Services = slices.Clone(cfg.Services) // the caller's stays as it is
	switch {
	case at.Part == "node":
		cfg.Node, err = config.SetNode(cfg.Node, fields)
		return "node", err
	case at.Part == "cluster":
		cfg.Cluster, err = config.SetCluster(cfg.Cluster, fields)
		return "cluster", err
	case at.Part != "":
		return "", fmt.Errorf("%w: the configuration has no part %q: use node or cluster", mgmt.ErrNotFound, at.Part)
	case at.Service == "":
		return addService(cfg, fields)
	}
	i, j, err := find(*cfg, at)
	if err != nil {
		return "", err
	}
	switch {
	case at.Server == "" && add:
		return addServer(cfg, i, fields)
	case at.Server == "":
		return editService(cfg, i, fields)
	}
	return editServer(cfg, i, j, fields)
}

func addService(cfg *lb.Config, fields config.Fields) (string, error) {
	s, err := config.SetService(lb.VirtualService{}, fields)
	if err != nil {
		return "", err
	}
	cfg.Services = append(cfg.Services, s)
	return fmt.Sprintf("services[%d]", len(cfg.Services)-1), nil
}

func editService(cfg *lb.Config, i int, fields config.Fields) (string, error) {
	if fields == nil {
		cfg.Services = slices.Delete(cfg.Services, i, i+1)
		return "", nil
	}
	s, err := config.SetService(cfg.Services[i], fields)
	cfg.Services[i] = s
	return fmt.Sprintf("services[%d]", i), err
}

func addServer(cfg *lb.Config, i int, fields config.Fields) (string, error) {
	r, err := config.SetReal(cfg.Services[i], lb.RealServer{}, fields)
	if err != nil {
		return "", err
	}
	cfg.Services[i].Reals = append(slices.Clone(cfg.Services[i].Reals), r)
	resolve(&cfg.Services[i])
	return fmt.Sprintf("services[%d].real_servers[%d]", i, len(cfg.Services[i].Reals)-1), nil
}

func editServer(cfg *lb.Config, i, j int, fields config.Fields) (string, error) {
	s := &cfg.Services[i]
	s.Reals = slices.Clone(s.Reals)
	if fields == nil {
		s.Reals = slices.Delete(s.Reals, j, j+1)
		resolve(s)
		return "", nil
	}
	r, err := config.SetReal(*s, s.Reals[j], fields)
	s.Reals[j] = r
	resolve(s)
	return fmt.Sprintf("services[%d].real_servers[%d]", i, j), err
}

// resolve lets a check port that was left blank follow the ports of the real servers.
// Where these differ there is no such port, which is a mistake that is told elsewhere.
func resolve(s *lb.VirtualService) {
	if next, err := config.SetService(*s, nil); err == nil {
		*s = next
	}
}

// fresh refuses an edit that makes mistakes which were not there before: at the fields of
// the object where they are its own. A service without real servers is a step on the way.
func fresh(before, after strictyaml.Errors, path string) error {
	out := config.FieldsError{}
	for _, m := range after {
		known := slices.ContainsFunc(before, func(b strictyaml.Error) bool { return b.Key() == m.Key() && b.Msg == m.Msg })
		if known || strings.HasSuffix(m.Key(), ".real_servers") {
			continue
		}
		key, own := strings.CutPrefix(m.Key(), path+".")
		if !own || path == "" {
			key = ""
		}
		text := m.Msg
		if m.Hint != "" {
			text += ": " + m.Hint
		}
		if key == "" {
			text = m.Key() + ": " + text
		}
		out[key] = text
	}
	if len(out) == 0 {
		return nil
	}
	return out
}
