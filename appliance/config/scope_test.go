package config_test

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/lb"
)

func TestEveryKeyHasAScope(t *testing.T) {
	t.Parallel()
	want := map[string]config.Scope{"node": config.NodeScope, "cluster": config.ClusterScope, "services": config.ClusterScope}
	keys := config.Scopes()
	if len(keys) < 50 {
		t.Fatalf("only %d keys: %v", len(keys), keys)
	}
	for _, k := range keys {
		top := strings.TrimSuffix(strings.SplitN(k.Path, ".", 2)[0], "[]")
		if s, known := want[top]; !known || s != k.Scope {
			t.Errorf("%s: scope %v", k.Path, k.Scope)
		}
		if s, ok := config.ScopeOf(k.Path); !ok || s != k.Scope {
			t.Errorf("ScopeOf(%s) = %v, %v", k.Path, s, ok)
		}
	}
	for path, ok := range map[string]bool{
		"services[3].real_servers[0].weight": true, "cluster": true, "services[1].check.expect": true,
		"services[0].wait": false, "nod": false, "": false, "node.nam": false,
	} {
		if _, got := config.ScopeOf(path); got != ok {
			t.Errorf("ScopeOf(%q): %v, want %v", path, got, ok)
		}
	}
}

// TestNodeScopeNeverTravels compares the scopes of the file with what the types do.
func TestNodeScopeNeverTravels(t *testing.T) {
	t.Parallel()
	mine, theirs := mustParse(t, config.Minimal), mustParse(t, config.Reference)
	got := config.WithCluster(mine, theirs)
	if got.Node.Name != mine.Node.Name || len(got.Node.Paths) != 0 || len(got.Services) != 2 || !got.Cluster.Paired {
		t.Fatalf("%+v", got)
	}
	if config.ClusterRevision(got) != config.ClusterRevision(theirs) || config.Revision(got) == config.Revision(theirs) {
		t.Fatal("revisions do not follow the scopes")
	}
}

func TestRevisionIsOfTheContent(t *testing.T) {
	t.Parallel()
	a, b := mustParse(t, config.Reference), mustParse(t, config.Reference)
	if config.Revision(a) != config.Revision(b) || len(config.Revision(a)) != 16 {
		t.Fatalf("%s and %s", config.Revision(a), config.Revision(b))
	}
	for name, edit := range map[string]func(*lb.Config){
		"node":    func(c *lb.Config) { c.Node.Name = "x" },
		"cluster": func(c *lb.Config) { c.Cluster.Failback = true },
		"weight":  func(c *lb.Config) { c.Services[1].Reals[1].Weight = 7 },
		"port":    func(c *lb.Config) { c.Services[0].Ports = lb.Ports(8080) },
	} {
		edited := mustParse(t, config.Reference)
		edit(&edited)
		if config.Revision(edited) == config.Revision(a) {
			t.Errorf("%s: the revision did not change", name)
		}
	}
}

// TestReferenceExplainsEveryKey: the reference shows every key at least once, and a
// comment that begins with "key:" explains it.
func TestReferenceExplainsEveryKey(t *testing.T) {
	t.Parallel()
	var root yaml.Node
	if err := yaml.Load(everything(t), &root); err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	walk(&root, "", shown)
	text := string(config.Reference)
	for _, k := range config.Scopes() {
		path := strings.TrimSuffix(k.Path, "[]")
		name := path[strings.LastIndex(path, ".")+1:]
		explained := strings.Contains(text, "# "+name+":") || strings.Contains(text, "# "+name+", ") || strings.Contains(text, ", "+name+":")
		if !explained {
			t.Errorf("%s: no comment explains it", k.Path)
		}
		if !shown[path] && path != "services[].real_servers[].port" {
			t.Errorf("%s: not shown", k.Path)
		}
	}
}

func walk(n *yaml.Node, path string, shown map[string]bool) {
	shown[path] = true
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			walk(n.Content[i+1], strings.TrimPrefix(path+"."+n.Content[i].Value, "."), shown)
		}
		return
	}
	if n.Kind == yaml.SequenceNode {
		path += "[]"
	}
	for _, c := range n.Content {
		walk(c, path, shown)
	}
}
