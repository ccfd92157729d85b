package config_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/lb"
)

// TestCheckPort is the rule for a blank port (issue 2; reference trap 1).
func TestCheckPort(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, service, check, reals, want string
	}{
		{"VIP 1", "ports: '8080,8443', layer: 7", "type: negotiate", "", "https://10.0.0.1:8443/"},
		{"VIP 1 by http", "ports: '8080,8443', layer: 7", "type: negotiate, protocol: http", "", "http://10.0.0.1:8080/"},
		{"VIP 2", "ports: '1935,554,50000-65535'", "type: negotiate", "", "https://10.0.0.1:8443/"},
		{"VIP 2 by http", "ports: '1935,554,50000-65535'", "type: negotiate, protocol: http", "", "http://10.0.0.1:8080/"},
		{"well-known https", "ports: '80,443'", "type: negotiate, request: /x?y=1", "", "https://10.0.0.1:443/x?y=1"},
		{"well-known http", "ports: '80,443'", "type: negotiate, protocol: http", "", "http://10.0.0.1:80/"},
		{"explicit", "ports: '80,443'", "type: negotiate, port: 9000", "", "https://10.0.0.1:9000/"},
		{"translated", "ports: 443, layer: 7", "type: negotiate", ", port: 9443", "https://10.0.0.1:9443/"},
		{"translated elsewhere", "ports: 1935, layer: 7", "type: negotiate", ", port: 1936", "https://10.0.0.1:8443/"},
		{"connect", "ports: '1935,554'", "type: connect", "", "tcp 10.0.0.1:554"},
		{"connect to RTMP", "ports: '554'", "type: connect, port: 1935", "", "tcp 10.0.0.1:1935"},
		{"no check", "ports: '1935'", "", "", "tcp 10.0.0.1:1935"},
		{"no check, UDP", "ports: '5000', protocol: udp", "", "", "icmp 10.0.0.1"},
		{"ping", "ports: '80'", "type: ping", "", "icmp 10.0.0.1"},
		{"on", "ports: '80'", "type: on", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := mustParse(t, fmt.Appendf(nil,
				"node: {name: n}\nservices:\n- {name: s, address: 10.0.0.9, %s, check: {%s}, real_servers: [{name: r, address: 10.0.0.1%s}]}\n",
				tt.service, tt.check, tt.reals))
			s := cfg.Services[0]
			if got := s.Check.Target(s.Reals[0].Addr); got != tt.want {
				t.Errorf("checks %q, want %q", got, tt.want)
			}
		})
	}
}

// TestTimersFollowEachOther: writing one timer moves the defaults of the others.
func TestTimersFollowEachOther(t *testing.T) {
	t.Parallel()
	ms := time.Millisecond
	for text, want := range map[string][3]time.Duration{
		"{}":                            {100 * ms, 300 * ms, 250 * ms},
		"{heartbeat: 10ms, dead: 30ms}": {10 * ms, 30 * ms, 25 * ms},
		"{heartbeat: 10ms}":             {10 * ms, 30 * ms, 25 * ms},
		"{dead: 600ms}":                 {100 * ms, 600 * ms, 500 * ms},
		"{dead: 600ms, lease: 400ms}":   {100 * ms, 600 * ms, 400 * ms},
	} {
		timers := mustParse(t, []byte("node: {name: n}\ncluster: "+text+"\n")).Cluster.Timers
		if got := [3]time.Duration{timers.Heartbeat, timers.Dead, timers.Lease}; got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
}

// TestSecretMayStayWhenThePairIsOff: paired: false in so many words is no slip, and
// the secret is wanted again when the peer comes back.
func TestSecretMayStayWhenThePairIsOff(t *testing.T) {
	t.Parallel()
	cfg := mustParse(t, []byte("node: {name: n}\ncluster: {paired: false, secret_file: /s}\n"))
	if cfg.Cluster.Paired || cfg.Cluster.SecretFile != "/s" {
		t.Fatalf("%+v", cfg.Cluster)
	}
}

func TestEncodeRefusesWhatParseWould(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*lb.Config){
		"name":   func(c *lb.Config) { c.Services[0].Name = "a\nb" },
		"layer":  func(c *lb.Config) { c.Services[0].Layer = 9 },
		"port":   func(c *lb.Config) { c.Services[1].Reals[0].Port = 80 },
		"weight": func(c *lb.Config) { c.Services[1].Reals[0].Weight = -1 },
		"ports":  func(c *lb.Config) { c.Services[1].Ports = nil },
		"vip":    func(c *lb.Config) { c.Services[1].Addr = c.Services[1].Reals[0].Addr },
		"lease":  func(c *lb.Config) { c.Cluster.Timers.Lease = time.Hour },
	} {
		cfg := mustParse(t, config.Reference)
		edit(&cfg)
		if text, err := config.Encode(cfg); err == nil || len(config.ErrorsOf(err)) == 0 || text != nil {
			t.Errorf("%s: %v, %s", name, err, text)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(config.Reference)
	f.Add(config.Minimal)
	f.Add([]byte("node: {name: n}\nservices: [{name: s, address: '2001:db8::1', ports: 1-1024, layer: 7, persistence: {kind: none}, real_servers: [{name: r, address: '::2'}]}]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := config.Parse("f", data)
		if err != nil {
			if len(config.ErrorsOf(err)) == 0 || strings.TrimSpace(err.Error()) == "" {
				t.Fatalf("%T %v is not located", err, err)
			}
			return
		}
		text, err := config.Encode(cfg)
		if err != nil {
			t.Fatalf("accepted but not encoded: %v\n%s", err, data)
		}
		again, err := config.Parse("again", text)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(cfg, again, values()); diff != "" {
			t.Fatalf("after a round trip (-want +got):\n%s\n%s", diff, text)
		}
	})
}
