package config_test

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/lb"
)

// TestFieldsRoundTrip: what a form shows makes the same object again.
func TestFieldsRoundTrip(t *testing.T) {
	t.Parallel()
	for _, cfg := range []lb.Config{mustParse(t, everything(t)), mustParse(t, config.Minimal)} {
		for _, s := range cfg.Services {
			got, err := config.SetService(lb.VirtualService{}, config.ServiceFields(s))
			if err != nil {
				t.Fatal(err)
			}
			got.Reals = s.Reals
			if diff := cmp.Diff(s, got, values()); diff != "" {
				t.Errorf("%s (-want +got)\n%s", s.Name, diff)
			}
			for _, r := range s.Reals {
				if got, err := config.SetReal(s, lb.RealServer{}, config.RealFields(r)); err != nil || got != r {
					t.Errorf("%s: %+v, %v", r.Name, got, err)
				}
			}
		}
		if got, err := config.SetNode(lb.Node{}, config.NodeFields(cfg.Node)); err != nil || !cmp.Equal(got, cfg.Node, values()) {
			t.Errorf("node: %+v, %v", got, err)
		}
		if got, err := config.SetCluster(lb.Cluster{}, config.ClusterFields(cfg.Cluster)); err != nil || got != cfg.Cluster {
			t.Errorf("cluster: %+v, %v", got, err)
		}
	}
}

// TestEveryKeyIsAField: a new key of the file cannot be forgotten in forms and differences.
func TestEveryKeyIsAField(t *testing.T) {
	t.Parallel()
	cfg := mustParse(t, everything(t))
	have := map[string]bool{}
	note := func(prefix string, f config.Fields) {
		for key := range f {
			if i := strings.IndexByte(key, '['); i >= 0 {
				key = key[:i] + "[]" + key[strings.IndexByte(key, ']')+1:]
			}
			have[prefix+key] = true
		}
	}
	note("node.", config.NodeFields(cfg.Node))
	note("cluster.", config.ClusterFields(cfg.Cluster))
	note("services[].", config.ServiceFields(cfg.Services[0]))
	note("services[].real_servers[].", config.RealFields(cfg.Services[0].Reals[0]))
	for _, k := range config.Scopes() {
		if path := strings.TrimSuffix(k.Path, "[]"); !have[k.Path] && !have[path] {
			t.Errorf("%s is no field", k.Path)
		}
	}
}

// TestTheGuidesForms fills the forms of guide 10.1 and 10.2 in.
func TestTheGuidesForms(t *testing.T) {
	t.Parallel()
	vip1, err := config.SetService(lb.VirtualService{}, config.Fields{
		"name": "Harmonic_Management", "address": "192.168.94.100", "ports": "8080,8443", "layer": "7", "protocol": "tcp",
	})
	if err != nil {
		t.Fatal(err)
	}
	vip1, err = config.SetService(vip1, config.Fields{
		"check.type": "negotiate", "check.protocol": "https", "check.request": "/admin/status",
		"check.expect.match": "equals", "check.expect.value": "Healthy",
	})
	if err != nil || vip1.Check.Port != 8443 || !vip1.Check.AutoPort || vip1.Method != lb.Proxy {
		t.Errorf("VIP 1: %+v, %v", vip1, err)
	}
	vip2, err := config.SetService(lb.VirtualService{}, config.Fields{
		"name": "Harmonic_Traffic", "address": "192.168.94.110", "ports": "1935,554,50000-65535", "protocol": "tcp/udp",
		"check.type": "negotiate", "check.protocol": "https", "check.request": "/admin/status", "check.expect.value": "Healthy",
	})
	if err != nil || vip2.Check.Port != 8443 || !vip2.Check.ThroughVIP || vip2.Method != lb.DR {
		t.Errorf("VIP 2: %+v, %v", vip2, err)
	}
	moved, err := config.SetService(vip2, config.Fields{"ports": "443,554"})
	if err != nil || moved.Check.Port != 443 {
		t.Errorf("a blank port does not follow the service's: %d, %v", moved.Check.Port, err)
	}
	other, err := config.SetService(vip2, config.Fields{"layer": "7", "protocol": "tcp", "ports": "8443"})
	if err != nil || other.Method != lb.Proxy || other.Proxy.Retries != 3 {
		t.Errorf("layer 7: %+v, %v", other, err)
	}
	hm1, err := config.SetReal(vip1, lb.RealServer{}, config.Fields{"name": "HM1", "address": "192.168.94.105", "port": "", "weight": "100"})
	if err != nil || hm1.Port != 0 || hm1.Weight != 100 {
		t.Errorf("HM1: %+v, %v", hm1, err)
	}
}

func TestMistakesAreAtTheirFields(t *testing.T) {
	t.Parallel()
	cfg := mustParse(t, config.Reference)
	vip1, vip2 := cfg.Services[0], cfg.Services[1]
	checkMistakes(t, map[string]mistake{
		"new and empty":  {func() error { _, err := config.SetService(lb.VirtualService{}, nil); return err }, map[string]string{"name": "", "address": "", "ports": ""}},
		"not an address": {func() error { _, err := config.SetService(vip1, config.Fields{"address": "192.168.94"}); return err }, map[string]string{"address": ""}},
		"not a port":     {func() error { _, err := config.SetService(vip1, config.Fields{"ports": "80,http"}); return err }, map[string]string{"ports": "http"}},
		"not a number":   {func() error { _, err := config.SetService(vip1, config.Fields{"check.fall": "two"}); return err }, map[string]string{"check.fall": ""}},
		"not a duration": {func() error { _, err := config.SetService(vip1, config.Fields{"check.interval": "5"}); return err }, map[string]string{"check.interval": ""}},
		"RTMP port":      {func() error { _, err := config.SetService(vip2, config.Fields{"check.port": "1935"}); return err }, map[string]string{"check.port": "RTMP"}},
		"two at once": {func() error {
			_, err := config.SetService(vip1, config.Fields{"name": "a b", "check.rise": "0"})
			return err
		}, map[string]string{"name": "letters", "check.rise": "1 to 100"}},
		"no such setting": {func() error { _, err := config.SetService(vip1, config.Fields{"check.prot": "x"}); return err }, map[string]string{"check.prot": "did you mean"}},
		"smuggled YAML":   {func() error { _, err := config.SetService(vip1, config.Fields{"name": "a\nlayer: 4"}); return err }, map[string]string{"name": "letters"}},
		"smuggled JSON": {func() error {
			_, err := config.SetService(vip1, config.Fields{"name": `a","layer":4,"x":"`})
			return err
		}, map[string]string{"name": "letters"}},
		"a port with DR": {func() error { _, err := config.SetReal(vip2, vip2.Reals[0], config.Fields{"port": "80"}); return err }, map[string]string{"port": "port translation"}},
		"weight":         {func() error { _, err := config.SetReal(vip2, vip2.Reals[0], config.Fields{"weight": "-1"}); return err }, map[string]string{"weight": "0 to 65535"}},
		"a scheduler of the other layer": {func() error {
			s := vip1
			s.Scheduler = lb.RoundRobin
			_, err := config.SetService(s, config.Fields{"layer": "4"})
			return err
		}, map[string]string{"scheduler": "wlc or maglev"}},
		"lease above dead": {func() error { _, err := config.SetCluster(cfg.Cluster, config.Fields{"lease": "1s"}); return err }, map[string]string{"lease": "less than dead"}},
		"two path names": {func() error {
			_, err := config.SetNode(cfg.Node, config.Fields{"heartbeat[1].name": "service"})
			return err
		}, map[string]string{"heartbeat[1].name": "twice"}},
	})
}

// TestMistakesOfPartsAndLists are told at fields that a form has.
func TestMistakesOfPartsAndLists(t *testing.T) {
	t.Parallel()
	cfg := mustParse(t, config.Reference)
	vip1, vip2 := cfg.Services[0], cfg.Services[1]
	checkMistakes(t, map[string]mistake{
		"an index of a list of numbers": {func() error {
			_, err := config.SetService(vip1, config.Fields{"check.expect.status[0]": "204"})
			return err
		}, map[string]string{"check.expect.status[0]": "did you mean \"check.expect.status\""}},
		"two spellings of a key": {func() error {
			_, err := config.SetNode(cfg.Node, config.Fields{"heartbeat[01].name": "x"})
			return err
		}, map[string]string{"heartbeat[01].name": "did you mean"}},
		"real servers": {func() error {
			_, err := config.SetService(vip1, config.Fields{"real_servers[0].name": "x"})
			return err
		}, map[string]string{"real_servers[0].name": "no such setting"}},
		"an item of a list": {func() error {
			_, err := config.SetService(vip1, config.Fields{"check.expect.status": "200,99"})
			return err
		}, map[string]string{"check.expect.status": "99 is out of range"}},
		"an address of a list": {func() error {
			_, err := config.SetNode(cfg.Node, config.Fields{"management": "192.168.94.101,x"})
			return err
		}, map[string]string{"management": "not an address"}},
		"no value": {func() error {
			_, err := config.SetService(vip1, config.Fields{"check.expect.value": "", "check.expect.match": "contains"})
			return err
		}, map[string]string{"check.expect.match": "needs a value"}},
		"of layer 7": {func() error { _, err := config.SetService(vip2, config.Fields{"proxy.retries": "1"}); return err }, map[string]string{"proxy.retries": "layer 7"}},
		"no text":    {func() error { _, err := config.SetService(vip2, config.Fields{"check.host": "\xff"}); return err }, map[string]string{"check.host": "UTF-8"}},
	})
}

type mistake struct {
	set  func() error
	want map[string]string // part of the message by key
}

func checkMistakes(t *testing.T, cases map[string]mistake) {
	t.Helper()
	for name, tt := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got config.FieldsError
			if err := tt.set(); !errors.As(err, &got) {
				t.Fatalf("%v is no mistake in a field", err)
			}
			if !slices.Equal(slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(tt.want))) {
				t.Errorf("mistakes at %v:\n%v", slices.Sorted(maps.Keys(got)), got)
			}
			for key, part := range tt.want {
				if !strings.Contains(got[key], part) {
					t.Errorf("%s: %q, want %q in it", key, got[key], part)
				}
			}
		})
	}
}

func FuzzSetService(f *testing.F) {
	for _, seed := range []string{"a", "a: b", "}", "\"", "a\n- b", "\\", "\u2028", "{{", "null", "true", "0x1", "\ufffe", "\x7f", "\x00", "a\u0085b", "\xff", " a ", "\U0010ffff"} {
		f.Add(seed, seed, "80", "5s", "check.host")
		f.Add("a", "192.168.94.100", seed, seed, "check.expect.value")
		f.Add("a", "192.168.94.100", "80", seed, "check.expect.value")
	}
	f.Fuzz(func(t *testing.T, name, address, ports, text, key string) {
		fields := config.Fields{"name": name, "address": address, "ports": ports, "check.type": "negotiate", "check.expect.match": "contains"}
		fields[key] = text
		s, err := config.SetService(lb.VirtualService{}, fields)
		if wrong := (config.FieldsError{}); err != nil && (!errors.As(err, &wrong) || len(wrong) == 0) {
			t.Fatalf("%T %v is no mistake in a field", err, err)
		}
		if err != nil {
			return
		}
		if s.Name != strings.TrimSpace(fields["name"]) || len(s.Reals) > 0 || s.Check.Expect != fields["check.expect.value"] {
			t.Errorf("%q became %+v", fields, s)
		}
	})
}

// TestDraftsRoundTrip: a configuration that is not complete can be kept.
func TestDraftsRoundTrip(t *testing.T) {
	t.Parallel()
	cfg := mustParse(t, config.Reference)
	cfg.Services[0].Reals = nil
	text, err := config.EncodeDraft(cfg)
	if err != nil {
		t.Fatal(err)
	}
	got, err := config.ParseDraft("draft", text)
	if err != nil || !cmp.Equal(cfg, got, values()) {
		t.Errorf("%v\n%s", err, cmp.Diff(cfg, got, values()))
	}
	wrong := config.Mistakes(cfg)
	if len(wrong) != 1 || wrong[0].Key() != "services[0].real_servers" {
		t.Errorf("mistakes: %v", wrong)
	}
	if got := config.Mistakes(mustParse(t, config.Reference)); got != nil {
		t.Errorf("mistakes of the reference: %v", got)
	}
	if _, err := config.ParseDraft("draft", []byte("node: {nam: x}")); err == nil {
		t.Error("a draft that cannot be read is read")
	}
}

// TestDiffOfNamesTwice: a draft may have a name twice, and still equals itself.
func TestDiffOfNamesTwice(t *testing.T) {
	t.Parallel()
	cfg := mustParse(t, config.Reference)
	cfg.Services = append(cfg.Services, cfg.Services[0])
	cfg.Services[2].Ports = lb.Ports(99)
	if got := config.Diff(cfg, cfg); len(got) > 0 {
		t.Errorf("%v", got)
	}
}

func TestDiffTells(t *testing.T) {
	t.Parallel()
	for want, edit := range map[string]func(*lb.Config){
		"": func(*lb.Config) {},
		"VIP Harmonic_Traffic: check port (blank) → 9443": func(c *lb.Config) {
			c.Services[1].Check.AutoPort, c.Services[1].Check.Port = false, 9443
		},
		"VIP Harmonic_Traffic: ports 554,1935,50000-65535 → 554!": func(c *lb.Config) { c.Services[1].Ports = lb.Ports(554) },
		"VIP Harmonic_Management removed!":                        func(c *lb.Config) { c.Services = c.Services[1:] },
		"VIP New added (192.168.94.110:554,1935,50000-65535, layer 4)|RIP HT1 added to New (192.168.94.115)|RIP HT2 added to New (192.168.94.116)": func(c *lb.Config) {
			s := c.Services[1]
			s.Name = "New"
			c.Services = append(c.Services, s)
		},
		"VIP Harmonic_Traffic: address 192.168.94.110 → 2001:db8::1!": func(c *lb.Config) {
			c.Services[1].Addr = netip.MustParseAddr("2001:db8::1")
		},
		"VIP Six added ([2001:db8::1]:554, layer 4)": func(c *lb.Config) {
			c.Services = append(c.Services, lb.VirtualService{Name: "Six", Addr: netip.MustParseAddr("2001:db8::1"), Ports: lb.Ports(554), Layer: lb.Layer4})
		},
		`VIP Harmonic_Management: check expect value Healthy → "two\nlines"`:        func(c *lb.Config) { c.Services[0].Check.Expect = "two\nlines" },
		`VIP Harmonic_Management: check expect value Healthy → " Healthy"`:          func(c *lb.Config) { c.Services[0].Check.Expect = " Healthy" },
		"RIP HT2 removed from Harmonic_Traffic!":                                    func(c *lb.Config) { c.Services[1].Reals = c.Services[1].Reals[:1] },
		"RIP HT1 of Harmonic_Traffic: weight 100 → 50":                              func(c *lb.Config) { c.Services[1].Reals[0].Weight = 50 },
		"cluster: dead 300ms → 600ms":                                               func(c *lb.Config) { c.Cluster.Timers.Dead *= 2 },
		"node: role primary → secondary":                                            func(c *lb.Config) { c.Node.Seat = lb.Secondary },
		"heartbeat path service removed: 192.168.94.101:6694 → 192.168.94.102:6694": func(c *lb.Config) { c.Node.Paths = c.Node.Paths[1:] },
		"heartbeat path third added: 10.0.0.1:6694 → 10.0.0.2:6694": func(c *lb.Config) {
			c.Node.Paths = append(c.Node.Paths, lb.HeartbeatPath{Name: "third", Local: netip.MustParseAddrPort("10.0.0.1:6694"), Peer: netip.MustParseAddrPort("10.0.0.2:6694")})
		},
		"heartbeat path link: peer 10.94.0.2:6694 → 10.94.0.3:6694": func(c *lb.Config) { c.Node.Paths[1].Peer = netip.MustParseAddrPort("10.94.0.3:6694") },
		"order of the heartbeat paths":                              func(c *lb.Config) { slices.Reverse(c.Node.Paths) },
		"node: system hostname (blank) → lb1":                       func(c *lb.Config) { c.Node.System.Hostname = "lb1" },
		"interface eth0 added: 192.168.94.101/24": func(c *lb.Config) {
			c.Node.System.Interfaces = []lb.Interface{{Name: "eth0", Addrs: []netip.Prefix{netip.MustParsePrefix("192.168.94.101/24")}}}
		},
		"interface eth0 added: disabled": func(c *lb.Config) { c.Node.System.Interfaces = []lb.Interface{{Name: "eth0", Disabled: true}} },
		"route default added: via 192.168.94.1|route default (IPv6) added: via fe80::1 on eth0": func(c *lb.Config) {
			c.Node.System.Routes = []lb.Route{
				{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("192.168.94.1")},
				{To: netip.MustParsePrefix("::/0"), Via: netip.MustParseAddr("fe80::1"), Interface: "eth0"},
			}
		},
		"order of the virtual services":                   func(c *lb.Config) { slices.Reverse(c.Services) },
		"VIP Harmonic_Traffic: order of the real servers": func(c *lb.Config) { slices.Reverse(c.Services[1].Reals) },
	} {
		before, after := mustParse(t, config.Reference), mustParse(t, config.Reference)
		edit(&after)
		var got []string
		for _, c := range config.Diff(before, after) {
			text := c.Text
			if c.Ends {
				text += "!"
			}
			got = append(got, text)
		}
		if strings.Join(got, "|") != want {
			t.Errorf("got %q, want %q", strings.Join(got, "|"), want)
		}
	}
}
