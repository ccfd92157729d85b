package console_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/images/console"
)

// daemon is a daemon that has no machine.
type daemon struct {
	mu       sync.Mutex
	force    string // the configuration in force
	draft    string
	former   string // while on trial
	password string
	pending  int
	refused  []api.Mistake
}

func (d *daemon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	switch r.Method + " " + r.URL.Path {
	case "GET " + api.PathStatus:
		reply(w, api.Status{Node: "lb1", Role: "active", Problems: []string{"no peer is configured"}})
	case "GET " + api.PathSystem:
		reply(w, api.System{Interfaces: []api.NIC{{Name: "eth0", Lease: &api.NICLease{Address: "10.0.2.15/24"}}}})
	case "GET " + api.PathConfig:
		_, _ = io.WriteString(w, d.force)
	case "GET " + api.PathAccounts:
		var all []api.Account
		if d.password != "" {
			all = append(all, api.Account{Name: console.User})
		}
		reply(w, all)
	case "PUT " + strings.Replace(api.PathAccount, "{name}", console.User, 1):
		d.account(w, body)
	case "POST " + api.PathSession:
		d.logIn(w, body)
	default:
		d.drafts(w, r.Method+" "+r.URL.Path, string(body))
	}
}

func (d *daemon) account(w http.ResponseWriter, body []byte) {
	var want api.NewAccount
	_ = json.Unmarshal(body, &want)
	if len(want.Password) < 12 {
		problem(w, http.StatusUnprocessableEntity, "the password is too short")
		return
	}
	d.password = want.Password
	w.WriteHeader(http.StatusNoContent)
}

func (d *daemon) logIn(w http.ResponseWriter, body []byte) {
	var want api.Login
	_ = json.Unmarshal(body, &want)
	if want.Password != d.password {
		problem(w, http.StatusUnauthorized, "wrong user or password")
		return
	}
	reply(w, api.LoggedIn{Token: "t"})
}

func (d *daemon) drafts(w http.ResponseWriter, call, body string) {
	switch call {
	case "GET " + api.PathDraft:
		out := api.Draft{Tag: "1", Mistakes: d.refused, Changes: make([]api.Change, d.pending)}
		reply(w, out)
		return
	case "PUT " + api.PathDraft:
		d.draft = body
	case "POST " + api.PathApply:
		d.former, d.force = d.force, d.draft
	case "POST " + api.PathKeep:
		d.former = ""
	case "POST " + api.PathUndo:
		d.force, d.former = d.former, ""
	}
	w.WriteHeader(http.StatusNoContent)
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(api.Problem{Title: detail, Detail: detail, Status: status})
}

// terminal is a person who answers what is prepared, and leaves then.
type terminal struct {
	answers []string
	said    strings.Builder
}

// silence is an answer that does not come.
const silence = "(silence)"

func (t *terminal) Ask(prompt string, _ time.Duration) (string, error) {
	t.said.WriteString(prompt)
	if len(t.answers) == 0 {
		return "", io.EOF
	}
	answer := t.answers[0]
	t.answers = t.answers[1:]
	if answer == silence {
		return "", console.ErrSilence
	}
	t.said.WriteString("«" + answer + "»\n")
	return answer, nil
}

func (t *terminal) Secret(prompt string) (string, error) { return t.Ask(prompt, 0) }
func (t *terminal) Say(text string)                      { t.said.WriteString(text + "\n") }

// sit has a person sit at a console and returns what was said.
func sit(t *testing.T, d *daemon, answers ...string) string {
	t.Helper()
	return sitAt(t, d, nil, answers...)
}

func sitAt(t *testing.T, d *daemon, change func(*console.Machine), answers ...string) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	ln, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: d, ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(ln) }()
	defer server.Close()
	m := &console.Machine{
		Daemon:   api.NewUnix(socket),
		Cards:    func() []console.Card { return []console.Card{{Name: "eth0", MAC: "52:54:00:00:00:01", Up: true}} },
		Troubles: func() []string { return nil },
	}
	if change != nil {
		change(m)
	}
	person := &terminal{answers: answers}
	if err := m.Serve(context.Background(), person); !errors.Is(err, io.EOF) {
		t.Errorf("the console ended: %v", err)
	}
	return person.said.String()
}

const blank = "node:\n  name: lb-000001\n"

func wants(t *testing.T, said string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(said, text) {
			t.Errorf("%q was not said:\n%s", text, said)
		}
	}
}

func TestSetUp(t *testing.T) {
	d := &daemon{force: blank}
	said := sit(t, d, "", // log in
		"-bad-", "lb1", "2", "1", "4095", "", "10.0.0.5", "10.0.0.5/24", "10.9.9.9", "10.0.0.5", "10.0.0.1", "x", "10.0.0.2, 10.0.0.3", "", "ntp.example.org",
		"yes", "yes",
		"short", "short", "long enough for it", "another", "long enough for it", "long enough for it")
	wants(t, said, "Not set up yet", "is no host name", "is none of them", "is no number of a VLAN", "is not in the network", "is this machine's own address",
		"go back in 60 seconds", "the password is too short", "The two differ", "The password is set.", "WebUI: https://10.0.0.5:9443/lbadmin/")
	cfg, err := config.ParseDraft("config", []byte(d.force))
	if err != nil {
		t.Fatalf("%v\n%s", err, d.force)
	}
	sys := cfg.Node.System
	if cfg.Node.Name != "lb-000001" || sys.Hostname != "lb1" || len(sys.DNS.Servers) != 2 || sys.Clock.Zone != "UTC" || len(sys.Routes) != 1 ||
		len(sys.Interfaces) != 1 || sys.Interfaces[0].Addrs[0].String() != "10.0.0.5/24" || d.former != "" || d.password == "" {
		t.Errorf("%s", d.force)
	}
}

// An address that is changed takes the WebUI and the gateway with it, and nothing else.
func TestAnotherAddress(t *testing.T) {
	d := &daemon{password: "secret secret", force: `node:
  name: lb1
  management: ["10.0.0.5:9443", "192.168.7.1:9443"]
  system:
    interfaces:
      - {name: eth0, addresses: [10.0.0.5/24]}
      - {name: eth1, addresses: [192.168.7.1/24]}
    routes:
      - {to: default, via: 10.0.0.1}
      - {to: 172.16.0.0/12, via: 192.168.7.9}
services: []
`}
	sit(t, d, "", "secret secret", "1", "", "", "", "10.0.1.6/24", "10.0.1.1", "", "", "", "yes", "yes", "")
	for _, want := range []string{"10.0.1.6:9443", "192.168.7.1:9443", "10.0.1.6/24", "192.168.7.1/24", "via: 10.0.1.1", "172.16.0.0/12"} {
		if !strings.Contains(d.force, want) {
			t.Errorf("%s is not there:\n%s", want, d.force)
		}
	}
	if strings.Contains(d.force, "10.0.0.") {
		t.Errorf("something of the former address is left:\n%s", d.force)
	}
}

// The address moves to a VLAN of the card and back; what else is there stays.
func TestVLAN(t *testing.T) {
	const others = "    - name: eth1\n      addresses: [192.168.7.1/24]\n"
	d := &daemon{password: "secret secret", force: "node:\n  name: lb1\n  management: [\"10.0.0.5:9443\"]\n  system:\n    interfaces:\n    - {name: eth0, addresses: [10.0.0.5/24]}\n" + others}
	said := sit(t, d, "", "secret secret", "1", "", "", "100", "", "-", "", "", "", "yes", "yes", "")
	wants(t, said, "VLAN             100", "[10.0.0.5/24]")
	interfaces := func() []lb.Interface {
		cfg, err := config.ParseDraft("config", []byte(d.force))
		if err != nil {
			t.Fatalf("%v\n%s", err, d.force)
		}
		return cfg.Node.System.Interfaces
	}
	if got := interfaces(); len(got) != 3 || got[1].Name != "eth0" || len(got[1].Addrs) != 0 ||
		got[2].Name != "eth0.100" || got[2].VLAN != (lb.VLAN{Link: "eth0", ID: 100}) || got[2].Addrs[0].String() != "10.0.0.5/24" {
		t.Errorf("%+v", got)
	}
	sit(t, d, "", "secret secret", "1", "", "", "-", "", "-", "", "", "", "yes", "yes", "")
	if got := interfaces(); len(got) != 2 || got[1].Name != "eth0" || got[1].Addrs[0].String() != "10.0.0.5/24" {
		t.Errorf("%+v", got)
	}
}

// The address moves between VLANs of a bond, whose members stay its own.
func TestBond(t *testing.T) {
	d := &daemon{password: "secret secret", force: "node:\n  name: lb1\n  management: [\"10.0.0.5:9443\"]\n  system:\n    interfaces:\n    - {name: bond0, bond: {members: [eth0, eth1]}, addresses: [10.0.0.5/24]}\n"}
	onBond := func(m *console.Machine) {
		m.Cards = func() []console.Card { return []console.Card{{Name: "eth0"}, {Name: "eth1"}, {Name: "bond0"}} }
	}
	bond := lb.Bond{Members: []string{"eth0", "eth1"}}
	for _, tt := range []struct {
		vlan string
		want []lb.Interface
	}{
		{"100", []lb.Interface{{Name: "bond0", Bond: bond}, {Name: "bond0.100", VLAN: lb.VLAN{Link: "bond0", ID: 100}, Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.5/24")}}}},
		{"-", []lb.Interface{{Name: "bond0", Bond: bond, Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.5/24")}}}},
	} {
		said := sitAt(t, d, onBond, "", "secret secret", "1", "", "", tt.vlan, "", "-", "", "", "", "yes", "yes", "")
		if !strings.Contains(said, "1  bond0") {
			t.Errorf("members are offered:\n%s", said)
		}
		cfg, err := config.ParseDraft("config", []byte(d.force))
		if err != nil {
			t.Fatalf("%v\n%s", err, d.force)
		}
		if got := cfg.Node.System.Interfaces; !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%+v, want %+v", got, tt.want)
		}
	}
}

// An address by DHCP brings gateway and name servers; the WebUI follows it, and a fixed one.
func TestDHCP(t *testing.T) {
	d := &daemon{password: "secret secret", force: blank}
	said := sit(t, d, "", "secret secret", "1", "", "", "", "x", "DHCP", "", "", "yes", "yes", "")
	wants(t, said, "or write dhcp", "Default gateway  dhcp", "https://(the address that is leased):9443", "WebUI: https://10.0.2.15:9443/lbadmin/")
	cfg, err := config.ParseDraft("config", []byte(d.force))
	if err != nil {
		t.Fatalf("%v\n%s", err, d.force)
	}
	if n := cfg.Node; len(n.ManagementDHCP) != 1 || n.ManagementDHCP[0] != "eth0" || len(n.Management) != 0 || len(n.System.Interfaces) != 1 || !n.System.Interfaces[0].DHCP {
		t.Errorf("%s", d.force)
	}
	said = sit(t, d, "", "secret secret", "1", "", "", "", "10.0.0.5/24", "-", "", "", "", "yes", "yes", "")
	wants(t, said, "[dhcp]", "WebUI: https://10.0.0.5:9443/lbadmin/")
	if strings.Contains(d.force, "dhcp") {
		t.Errorf("%s", d.force)
	}
}

func TestNothingIsTakenWithoutAYes(t *testing.T) {
	answers := []string{"", "", "", "", "10.0.0.5/24", "10.0.0.1", "", "", ""}
	for name, rest := range map[string][]string{"no": {"no"}, "taken back": {"yes", "no"}} {
		d := &daemon{force: blank}
		said := sit(t, d, append(answers, rest...)...)
		wants(t, said, "nothing was changed")
		if d.force != blank {
			t.Errorf("%s: %s", name, d.force)
		}
	}
	// Of a person who lost the console, the daemon takes the settings back by itself.
	d := &daemon{force: blank}
	sit(t, d, append(answers, "yes", silence)...)
	if d.former != blank {
		t.Error("settings were kept that nobody confirmed")
	}
}

func TestWhatCannotBeIsTold(t *testing.T) {
	answers := []string{"", "", "", "", "10.0.0.5/24", "10.0.0.1", "", "", "", "yes"}
	d := &daemon{force: blank, refused: []api.Mistake{{Path: "node.system", Message: "this is wrong"}}}
	wants(t, sit(t, d, answers...), "this cannot be", "node.system: this is wrong")
	d = &daemon{force: blank, pending: 2}
	wants(t, sit(t, d, answers...), "2 changes are pending")
	if d.force != blank {
		t.Error("something was changed")
	}
}

func TestLogIn(t *testing.T) {
	d := &daemon{force: blank, password: "secret secret"}
	wants(t, sit(t, d, "", "guess"), "wrong user or password")
	var ended []console.End
	said := sitAt(t, d, func(m *console.Machine) { m.End = func(e console.End) { ended = append(ended, e) } },
		"", "secret secret", "9", "4", "no", "5", "yes", "")
	wants(t, said, "Node lb1, active.", "! no peer is configured", "This node stops balancing")
	if len(ended) != 1 || ended[0] != console.PowerOff {
		t.Errorf("the machine ends by %v", ended)
	}
}

// TestPasswordIsOnItsWay: whoever presses Enter before the password of the deployment is in
// force does not own the machine.
func TestPasswordIsOnItsWay(t *testing.T) {
	d := &daemon{force: blank}
	said := sitAt(t, d, func(m *console.Machine) { m.Awaited = func() bool { return true } }, "", "")
	wants(t, said, "What was given while the machine was deployed is being set.", "wait a moment and press Enter again")
	if strings.Contains(said, "Not set up yet") || strings.Contains(said, "Host name") {
		t.Errorf("a stranger sets the machine up:\n%s", said)
	}
	d.password = "secret secret"
	said = sitAt(t, d, func(m *console.Machine) { m.Awaited = func() bool { return true } }, "", "guess")
	wants(t, said, "wrong user or password")
}

func TestNoCards(t *testing.T) {
	d := &daemon{force: blank}
	said := sitAt(t, d, func(m *console.Machine) { m.Cards = func() []console.Card { return nil } }, "")
	wants(t, said, "no network card")
}

func TestTroublesAreShown(t *testing.T) {
	d := &daemon{force: blank}
	said := sitAt(t, d, func(m *console.Machine) { m.Troubles = func() []string { return []string{"no disk has it"} } }, silence, silence)
	wants(t, said, "! no disk has it")
	if strings.Count(said, "vosbed load balancer") != 1 {
		t.Errorf("the same screen was shown again:\n%s", said)
	}
}

func TestRemote(t *testing.T) {
	on, keys := false, ""
	remote := func(m *console.Machine) {
		m.Remote = &console.Remote{
			On: func() bool { return on }, Set: func(v bool) error { on = v; return nil },
			Password: func(string) error { return nil },
			Keys:     func() string { return keys }, SetKeys: func(s string) error { keys = s; return nil },
		}
	}
	d := &daemon{force: blank, password: "secret secret"}
	sitAt(t, d, remote, "", "secret secret", "6", "yes", "ssh-ed25519 AAAA me@here", "")
	if !on || keys != "ssh-ed25519 AAAA me@here\n" {
		t.Errorf("on %v, keys %q", on, keys)
	}
	sitAt(t, d, remote, "", "secret secret", "6", "no", "6", "yes", "")
	if on {
		t.Error("SSH is still on")
	}
}
