package appliance_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
)

// TestMachineOnTrial: a change of the network is applied on trial alone, and goes back with
// all that it made; what others made stays, and VIPs do not wait for a machine that is not
// as it is configured.
func TestMachineOnTrial(t *testing.T) {
	n := alone(t)
	for name, text := range map[string]string{"dataplane": "auto", "etc/resolv.conf": "nameserver 10.0.0.1\n"} {
		path := filepath.Join(n.dir, name)
		n.must(os.MkdirAll(filepath.Dir(path), 0o755))
		n.must(os.WriteFile(path, []byte(text), 0o600))
	}
	n.start()
	until(t, "the service is up", n.serving)
	n.must(n.client.SetSystem(t.Context(), "", api.Fields{
		"interfaces[0].name": "svc0", "interfaces[0].addresses": "10.1.0.1/16", "interfaces[0].mtu": "1400",
		"interfaces[1].name": "eth9", "routes[0].to": "10.2.0.0/16", "routes[0].via": "10.1.0.254",
		"dns.servers": "10.1.0.2", "time.servers": "10.1.0.3",
	}))
	p, ok := errors.AsType[*api.ProblemError](n.client.Apply(t.Context(), "", ""))
	if !ok || p.Problem.Status != http.StatusConflict || !strings.Contains(p.Error(), "on trial") {
		t.Fatalf("applied for good: %v", p)
	}
	n.must(n.client.Apply(t.Context(), "", "5s"))
	until(t, "the machine is as configured", func() bool {
		return n.machine("10.1.0.1/16 configured", "10.2.0.0/16 configured", "dns 10.1.0.2", "mtu 1400")
	})
	if !n.machine("192.168.94.101/24 other", "192.168.94.110/32 vip") {
		t.Error("others' addresses are gone")
	}
	until(t, "what cannot be done is told", func() bool {
		all := strings.Join(n.status().Problems, "\n")
		return strings.Contains(all, "interface eth9: there is no such interface") && strings.Contains(all, "chrony is not on this machine")
	})
	n.must(n.dial().says("still served"))
	n.clockIs("the NTP servers 10.1.0.3 keep the clock")
	until(t, "nobody kept it", func() bool { return n.machine("dns 10.0.0.1", "mtu 1500") && len(n.status().Problems) == 0 })
	if n.machine("10.1.0.1/16 configured") || n.machine("10.2.0.0/16 configured") || !n.machine("192.168.94.101/24 other") {
		t.Error("the trial left something behind")
	}

	n.clockIs("this node runs in a network namespace of its own")

	n.must(n.client.SetSystem(t.Context(), "", api.Fields{"interfaces[0].name": "svc0", "interfaces[0].enabled": "false"}))
	n.must(n.client.SetPart(t.Context(), "", "node", api.Fields{"management": "192.168.94.101"}))
	d, err := n.client.Draft(t.Context())
	if err != nil || len(d.Mistakes) != 1 || !strings.Contains(d.Mistakes[0].Message, "needs 192.168.94.101, which no interface would have") || !d.TrialOnly {
		t.Errorf("%+v, %v", d, err)
	}
	n.must(n.client.Discard(t.Context(), ""))
	n.must(n.client.SetSystem(t.Context(), "", api.Fields{"interfaces[0].name": "bond0", "interfaces[0].bond.members": "svc0,eth9"}))
	d, err = n.client.Draft(t.Context())
	n.must(err)
	var told []string
	for _, m := range d.Mistakes {
		told = append(told, m.Path+" "+m.Message)
	}
	for _, want := range []string{
		"interfaces[0].bond.members[0] svc0 has an address by others", `interfaces[0].bond.members[1] there is no interface "eth9" on this machine that could be a member of bond0`,
	} {
		if !strings.Contains(strings.Join(told, "\n"), want) {
			t.Errorf("%q is not told: %q", want, told)
		}
	}
	n.must(n.client.Discard(t.Context(), ""))
	n.must(os.WriteFile(n.file(), []byte("node: {name: lb1, system: {time: {zone: Mars/Base}}}\n"), 0o600))
	n.refused(`node.system.time.zone: this machine has no time zone "Mars/Base"`)
}

// clockIs wants the clock refused to a person who sets it.
func (n *node) clockIs(why string) {
	n.t.Helper()
	_, err := n.client.SetClock(n.t.Context(), time.Now().Format(time.RFC3339)) // which could do no harm
	if p, ok := errors.AsType[*api.ProblemError](err); !ok || p.Problem.Status != http.StatusConflict || !strings.Contains(p.Error(), why) {
		n.t.Errorf("the clock: %v, want %q", err, why)
	}
}

// machine reports whether all of the lines are true of the node's machine.
func (n *node) machine(lines ...string) bool {
	s, err := n.client.System(n.t.Context())
	if err != nil {
		return false
	}
	have := map[string]bool{"dns " + strings.Join(s.Resolver.Servers, " "): true}
	for _, i := range s.Interfaces {
		have["mtu "+map[int]string{1400: "1400", 1500: "1500"}[i.MTU]] = true
		for _, a := range i.Addresses {
			have[a.Address+" "+a.Origin] = true
		}
	}
	for _, r := range s.Routes {
		have[r.To+" "+r.Origin] = true
	}
	for _, l := range lines {
		if !have[l] {
			return false
		}
	}
	return true
}
