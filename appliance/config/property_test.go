package config_test

import (
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/lb"
)

// someFields are settings as people could write them, right or wrong; "" = left out.
func someFields() *rapid.Generator[config.Fields] {
	return rapid.Custom(func(t *rapid.T) config.Fields {
		out := config.Fields{}
		for key, values := range map[string][]string{
			"name": {"A", "B.1", "null", "1e3"}, "address": {"192.168.94.100", "2001:db8::1"},
			"ports": {"80", "8080,8443", "443", "1935,554"}, "protocol": {"", "tcp", "udp", "tcp/udp"},
			"layer": {"", "4", "7"}, "scheduler": {"", "wlc", "rr", "maglev"}, "interface": {"", "eth0"},
			"persistence.kind": {"", "none"}, "persistence.timeout": {"", "90s"}, "persistence.mask6": {"", "128"},
			"drain_persistent": {"", "true", "false"}, "check.type": {"", "negotiate", "connect", "ping", "on", "off"},
			"check.jitter": {"", "0.00001", "0"}, "check.interval": {"", "500ms", "1h"}, "check.fast": {"", "100ms"},
			"check.port": {"", "8443", "1935"}, "check.through_vip": {"", "false"}, "proxy.retries": {"", "1"},
		} {
			out[key] = rapid.SampledFrom(values).Draw(t, key)
		}
		if rapid.Bool().Draw(t, "negotiate") {
			out["check.type"] = "negotiate"
			out["check.protocol"] = rapid.SampledFrom([]string{"", "http"}).Draw(t, "scheme")
			out["check.expect.value"] = rapid.String().Draw(t, "value")
			out["check.expect.match"] = rapid.SampledFrom([]string{"", "contains"}).Draw(t, "match")
			out["check.expect.status"] = rapid.SampledFrom([]string{"", "200,204", " 301 , 302"}).Draw(t, "status")
		}
		return out
	})
}

// someService is one that can be written, with a real server.
func someService(t *rapid.T, label string) lb.VirtualService {
	fields := someFields().Filter(func(f config.Fields) bool {
		_, err := config.SetService(lb.VirtualService{}, f)
		return err == nil
	})
	s, err := config.SetService(lb.VirtualService{}, fields.Draw(t, label))
	if err != nil {
		t.Fatal(err)
	}
	r := lb.RealServer{Name: "R", Addr: s.Addr.Next(), Weight: 1}
	if s.Layer == lb.Layer7 {
		r.Port = rapid.SampledFrom([]uint16{0, 9000}).Draw(t, label+" port")
	}
	s.Reals = []lb.RealServer{r}
	if s, err = config.SetService(s, nil); err != nil { // a blank check port follows the server's
		t.Fatal(err)
	}
	return s
}

func TestServicesSurviveFormsAndFiles(t *testing.T) {
	t.Parallel()
	base := mustParse(t, config.Minimal)
	rapid.Check(t, func(t *rapid.T) {
		s := someService(t, "service")
		bare := lb.VirtualService{Reals: s.Reals}
		again, err := config.SetService(bare, config.ServiceFields(s))
		if diff := cmp.Diff(s, again, values()); err != nil || diff != "" {
			t.Fatalf("%v, after its form (-want +got):\n%s", err, diff)
		}
		cfg := base
		cfg.Services = []lb.VirtualService{s}
		text, err := config.Encode(cfg)
		if err != nil {
			t.Fatalf("what a form accepts is refused: %v", err)
		}
		parsed, err := config.Parse("again", text)
		if diff := cmp.Diff(cfg, parsed, values()); err != nil || diff != "" {
			t.Fatalf("%v, after its file (-want +got):\n%s", err, diff)
		}
		draft, err := config.ParseDraft("again", text)
		if diff := config.Diff(cfg, draft); err != nil || len(diff) > 0 {
			t.Fatalf("%v, after a draft: %v", err, diff)
		}
	})
}

func TestDiffIsEmptyExactlyForEqualOnes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var a, b lb.Config
		for i := range rapid.IntRange(0, 3).Draw(t, "before") {
			a.Services = append(a.Services, someService(t, fmt.Sprint("before ", i)))
		}
		b.Services = slices.Clone(a.Services)
		if len(b.Services) > 0 && rapid.Bool().Draw(t, "move") {
			slices.Reverse(b.Services)
		}
		if rapid.Bool().Draw(t, "add") {
			b.Services = append(b.Services, someService(t, "added"))
		}
		equal := cmp.Equal(a, b, values())
		if changes := config.Diff(a, b); (len(changes) == 0) != equal {
			t.Fatalf("equal: %v, but %d changes: %v", equal, len(changes), changes)
		}
	})
}

// TestDiffSeesEveryValue: a new value of lb.Config cannot be forgotten. It changes each
// one in turn; services of both layers are needed to reach all.
func TestDiffSeesEveryValue(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	cfg := mustParse(t, everything(t))
	for i := range leavesOf(reflect.ValueOf(&cfg).Elem(), "") {
		before, after := mustParse(t, everything(t)), mustParse(t, everything(t))
		at := leavesOf(reflect.ValueOf(&after).Elem(), "")[i]
		alter(t, at)
		seen[at.path] = seen[at.path] || len(config.Diff(before, after)) > 0
	}
	if len(seen) < 50 {
		t.Errorf("only %d values: %v", len(seen), seen)
	}
	for path, told := range seen {
		if !told {
			t.Errorf("no change of %s is told", path)
		}
	}
}

// TestRevisionsAndDiffsAgree: a list that was emptied is the one that was never written.
// Otherwise a configuration on trial without its last service would not be known again.
func TestRevisionsAndDiffsAgree(t *testing.T) {
	t.Parallel()
	cfg := mustParse(t, everything(t))
	for i, l := range leavesOf(reflect.ValueOf(&cfg).Elem(), "") {
		if l.v.Kind() != reflect.Slice {
			continue
		}
		none, emptied := mustParse(t, everything(t)), mustParse(t, everything(t))
		leavesOf(reflect.ValueOf(&none).Elem(), "")[i].v.SetZero()
		at := leavesOf(reflect.ValueOf(&emptied).Elem(), "")[i].v
		at.Set(at.Slice(0, 0))
		if changes := config.Diff(none, emptied); len(changes) > 0 {
			t.Errorf("%s: %v", l.path, changes)
		}
		if config.Revision(none) != config.Revision(emptied) {
			t.Errorf("%s: an empty list has another revision than none", l.path)
		}
	}
}

type leaf struct {
	path string // without indices
	v    reflect.Value
}

func leavesOf(v reflect.Value, path string) (out []leaf) {
	switch v.Interface().(type) {
	case netip.Addr, netip.AddrPort, netip.Prefix:
		return []leaf{{path, v}}
	}
	switch {
	case v.Kind() == reflect.Struct:
		for f, value := range v.Fields() {
			out = append(out, leavesOf(value, path+"."+f.Name)...)
		}
	case v.Kind() == reflect.Slice:
		out = append(out, leaf{path, v})
		for i := range v.Len() {
			out = append(out, leavesOf(v.Index(i), path+"[]")...)
		}
	default:
		out = append(out, leaf{path, v})
	}
	return out
}

func alter(t *testing.T, at leaf) {
	t.Helper()
	switch v := at.v.Interface().(type) {
	case netip.Addr:
		at.v.Set(reflect.ValueOf(netip.MustParseAddr("203.0.113.1")))
		return
	case netip.Prefix:
		at.v.Set(reflect.ValueOf(netip.PrefixFrom(v.Addr(), v.Bits()+1)))
		return
	case netip.AddrPort:
		at.v.Set(reflect.ValueOf(netip.AddrPortFrom(v.Addr(), v.Port()+1)))
		return
	}
	switch v := at.v; {
	case v.Kind() == reflect.Slice && v.Len() == 0 && v.Type().Elem().Kind() == reflect.String:
		v.Set(reflect.Append(v, reflect.ValueOf("x")))
	case v.Kind() == reflect.Slice:
		v.Set(v.Slice(0, max(v.Len()-1, 0)))
	case v.Kind() == reflect.Bool:
		v.SetBool(!v.Bool())
	case v.Kind() == reflect.String:
		v.SetString(v.String() + "x")
	case v.CanInt():
		v.SetInt(v.Int() + 1)
	case v.CanUint():
		v.SetUint(v.Uint() + 1)
	case v.CanFloat():
		v.SetFloat(v.Float() + 0.1)
	default:
		t.Fatalf("%s: a %s cannot be altered here", at.path, v.Kind())
	}
}

// TestDefaultsFollow: what was only a default of another setting goes with it, and what
// was written stays.
func TestDefaultsFollow(t *testing.T) {
	t.Parallel()
	base := config.Fields{"name": "A", "address": "192.168.94.100", "ports": "8080", "layer": "7", "check.type": "negotiate"}
	for name, tt := range map[string]struct{ first, then, want config.Fields }{
		"layer":             {nil, config.Fields{"layer": "4"}, config.Fields{"method": "dr", "persistence.timeout": "5m", "check.through_vip": "true", "proxy.retries": ""}},
		"layer, written":    {config.Fields{"persistence.timeout": "10m", "check.interval": "7s"}, config.Fields{"layer": "4"}, config.Fields{"persistence.timeout": "10m", "check.interval": "7s"}},
		"layer, both given": {nil, config.Fields{"layer": "4", "scheduler": "maglev"}, config.Fields{"scheduler": "maglev"}},
		"layer, scheduler":  {nil, config.Fields{"layer": "4"}, config.Fields{"scheduler": "wlc"}},
		"protocol":          {config.Fields{"layer": "4", "check.type": ""}, config.Fields{"protocol": "udp"}, config.Fields{"check.type": "ping", "check.port": ""}},
		"check type":        {config.Fields{"check.interval": "7s", "check.request": "/x"}, config.Fields{"check.type": "ping"}, config.Fields{"check.interval": "7s", "check.request": ""}},
		"interval":          {nil, config.Fields{"check.interval": "500ms"}, config.Fields{"check.fast": "0s"}},
		"interval, written": {config.Fields{"check.fast": "2s"}, config.Fields{"check.interval": "9s"}, config.Fields{"check.fast": "2s"}},
		"expected":          {nil, config.Fields{"check.expect.value": " Healthy"}, config.Fields{"check.expect.match": "equals", "check.expect.value": " Healthy"}},
		"expected no more":  {config.Fields{"check.expect.value": "Healthy"}, config.Fields{"check.expect.value": ""}, config.Fields{"check.expect.match": "any"}},
	} {
		first := config.Fields{}
		maps.Copy(first, base)
		maps.Copy(first, tt.first)
		s, err := config.SetService(lb.VirtualService{}, first)
		if err == nil {
			s, err = config.SetService(s, tt.then)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for key, want := range tt.want {
			if got := config.ServiceFields(s)[key]; got != want {
				t.Errorf("%s: %s is %q, want %q", name, key, got, want)
			}
		}
	}
}

// TestABlankPortFollowsTheServers: with layer 7 a real server may have a port of its own.
func TestABlankPortFollowsTheServers(t *testing.T) {
	t.Parallel()
	s, err := config.SetService(lb.VirtualService{}, config.Fields{"name": "A", "address": "192.168.94.100", "ports": "8443", "layer": "7", "check.type": "negotiate"})
	if err != nil {
		t.Fatal(err)
	}
	for i, port := range []uint16{9000, 9001} {
		s.Reals = append(s.Reals, lb.RealServer{Name: fmt.Sprint("R", i), Addr: netip.MustParseAddr("192.168.94.1"), Port: port, Weight: 1})
		next, err := config.SetService(s, config.Fields{"check.request": "/x"})
		if i == 0 && (err != nil || next.Check.Port != 9000) {
			t.Errorf("%+v, %v", next.Check, err)
		}
		if i == 1 && (err == nil || !strings.Contains(err.Error(), "check.port: the real servers use different ports")) {
			t.Errorf("two ports: %v", err)
		}
	}
}

// TestNodePathsCanBeRemoved closes the gap, and tells mistakes by the numbers of the form.
func TestNodePathsCanBeRemoved(t *testing.T) {
	t.Parallel()
	n := mustParse(t, config.Reference).Node
	gone := config.Fields{"heartbeat[0].name": "", "heartbeat[0].local": "", "heartbeat[0].peer": ""}
	got, err := config.SetNode(n, gone)
	if err != nil || len(got.Paths) != 1 || got.Paths[0] != n.Paths[1] {
		t.Errorf("%+v, %v", got.Paths, err)
	}
	gone["heartbeat[1].peer"] = "nowhere"
	if _, err := config.SetNode(n, gone); err == nil || !strings.HasPrefix(err.Error(), "heartbeat[1].peer: ") {
		t.Errorf("mistakes: %v", err)
	}
	all := config.Fields{"heartbeat[1].name": "", "heartbeat[1].local": "", "heartbeat[1].peer": ""}
	maps.Copy(all, config.Fields{"heartbeat[0].name": "", "heartbeat[0].local": "", "heartbeat[0].peer": ""})
	if got, err := config.SetNode(n, all); err != nil || len(got.Paths) != 0 || got.Replication != n.Replication {
		t.Errorf("none: %+v, %v", got, err)
	}
}

// TestEndsIsForWhatCutsSessions goes through what ends sessions and what does not.
func TestEndsIsForWhatCutsSessions(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		edit func(*lb.VirtualService)
		ends bool
	}{
		"address":        {func(s *lb.VirtualService) { s.Addr = s.Addr.Next() }, true},
		"protocol":       {func(s *lb.VirtualService) { s.Protocols = lb.TCPUDP }, true},
		"layer":          {func(s *lb.VirtualService) { s.Layer = lb.Layer4 }, true},
		"method":         {func(s *lb.VirtualService) { s.Method = lb.DR }, true},
		"server address": {func(s *lb.VirtualService) { s.Reals[0].Addr = s.Addr }, true},
		"server port":    {func(s *lb.VirtualService) { s.Reals[0].Port = 9000 }, true},
		"scheduler":      {func(s *lb.VirtualService) { s.Scheduler = lb.RoundRobin }, false},
		"check":          {func(s *lb.VirtualService) { s.Check.Path = "/x" }, false},
		"weight":         {func(s *lb.VirtualService) { s.Reals[0].Weight = 0 }, false},
	} {
		before, after := mustParse(t, config.Reference), mustParse(t, config.Reference)
		tt.edit(&after.Services[0])
		changes := config.Diff(before, after)
		ends := slices.ContainsFunc(changes, func(c config.Change) bool { return c.Ends })
		if len(changes) == 0 || ends != tt.ends {
			t.Errorf("%s: ends %v, want %v: %v", name, ends, tt.ends, changes)
		}
	}
}

func TestSettingsFromNothing(t *testing.T) {
	t.Parallel()
	want := mustParse(t, config.Minimal)
	if got, err := config.SetCluster(lb.Cluster{}, nil); err != nil || got != want.Cluster {
		t.Errorf("cluster: %+v, %v", got, err)
	}
	if got, err := config.SetNode(lb.Node{}, config.Fields{"name": "lb1"}); err != nil || !cmp.Equal(got, want.Node, values()) {
		t.Errorf("node: %+v, %v", got, err)
	}
}
