package appliance

import (
	"errors"
	"testing"

	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/internal/mgmt"
	"github.com/vosbed/vosbed/appliance/lb"
)

// build makes a configuration by edits, each with the object that it is about.
func build(t *testing.T, cfg *lb.Config, at mgmt.Place, fields config.Fields, add bool) error {
	t.Helper()
	before := config.Mistakes(*cfg)
	next := *cfg
	path, err := edit(&next, at, fields, add)
	if err == nil {
		err = fresh(before, config.Mistakes(next), path)
	}
	if err == nil {
		*cfg = next
	}
	return err
}

func empty(t *testing.T) lb.Config {
	t.Helper()
	cfg, err := config.Parse("empty", []byte("node: {name: lb1}"))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// TestBlankCheckPortFollowsTheServers: what is in force is what the file will say.
func TestBlankCheckPortFollowsTheServers(t *testing.T) {
	cfg := empty(t)
	for _, e := range []struct {
		at     mgmt.Place
		fields config.Fields
	}{
		{mgmt.Place{}, config.Fields{"name": "VIP1", "address": "10.0.0.9", "ports": "8443", "layer": "7", "check.type": "negotiate"}},
		{mgmt.Place{Service: "VIP1"}, config.Fields{"name": "r1", "address": "10.0.0.1", "port": "9000"}},
	} {
		if err := build(t, &cfg, e.at, e.fields, true); err != nil {
			t.Fatal(err)
		}
	}
	written, err := asWritten(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if got := cfg.Services[0].Check.Port; got != 9000 || config.Revision(written) != config.Revision(cfg) {
		t.Errorf("the draft checks port %d, the file %d", got, written.Services[0].Check.Port)
	}
	if err := build(t, &cfg, mgmt.Place{Service: "VIP1", Server: "r1"}, config.Fields{"port": ""}, false); err != nil || cfg.Services[0].Check.Port != 8443 {
		t.Errorf("port %d, %v", cfg.Services[0].Check.Port, err)
	}
}

// TestMistakesOfAnEdit are told at the field, those of others are not, and a service
// without servers is a step on the way.
func TestMistakesOfAnEdit(t *testing.T) {
	cfg := empty(t)
	vip := config.Fields{"name": "a", "address": "10.0.0.9", "ports": "80"}
	if err := build(t, &cfg, mgmt.Place{}, vip, true); err != nil {
		t.Fatal(err)
	}
	var wrong config.FieldsError
	for name, e := range map[string]struct {
		at     mgmt.Place
		fields config.Fields
		add    bool
		key    string
	}{
		"the same name":        {mgmt.Place{}, config.Fields{"name": "a", "address": "10.0.0.8", "ports": "80"}, true, "name"},
		"the same port":        {mgmt.Place{}, config.Fields{"name": "b", "address": "10.0.0.9", "ports": "80"}, true, "ports"},
		"the VIP as a server":  {mgmt.Place{Service: "a"}, config.Fields{"name": "r", "address": "10.0.0.9"}, true, "address"},
		"a pair without paths": {mgmt.Place{Part: "cluster"}, config.Fields{"paired": "true", "secret_file": "/x"}, false, ""},
	} {
		if err := build(t, &cfg, e.at, e.fields, e.add); !errors.As(err, &wrong) || wrong[e.key] == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(cfg.Services) != 1 || len(cfg.Services[0].Reals) != 0 {
		t.Errorf("a refused edit changed something: %+v", cfg.Services)
	}
	for name, at := range map[string]mgmt.Place{"service": {Service: "x"}, "server": {Service: "a", Server: "x"}, "part": {Part: "x"}} {
		if err := build(t, &cfg, at, config.Fields{"name": "y"}, false); !errors.Is(err, mgmt.ErrNotFound) {
			t.Errorf("an unknown %s: %v", name, err)
		}
	}
	if err := build(t, &cfg, mgmt.Place{Service: "a"}, nil, false); err != nil || len(cfg.Services) != 0 {
		t.Errorf("removed: %v, %+v", err, cfg.Services)
	}
}
