package web_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/web"
)

// noon is the time of every page of a test.
func noon() time.Time { return time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC) }

const ownPassword = "correct horse battery"

// fakeLB is a daemon that answers what a test put down, with the roles and the question
// for the password of the real one. Tokens are names of roles.
type fakeLB struct {
	mu        sync.Mutex
	answers   map[string]any // by "METHOD path"; []byte as it is, api.Problem as a refusal
	calls     []apiCall
	confirmed bool
	source    string       // of the session
	refusal   *api.Problem // of every change, nil = none
}

type apiCall struct{ Method, Path, Tag, Body string }

// answer puts down what a call gets.
func (f *fakeLB) answer(call string, with any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[call] = with
}

// changes are the calls that change something, but for the confirmation.
func (f *fakeLB) changes() []apiCall {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []apiCall
	for _, c := range f.calls {
		if c.Method != http.MethodGet && c.Path != api.PathConfirm && c.Path != api.PathPairPeer {
			out = append(out, c)
		}
	}
	return out
}

// asked reports whether a call was made with that query.
func (f *fakeLB) asked(method, path string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.calls, func(c apiCall) bool { return c.Method == method && c.Path == path })
}

func (f *fakeLB) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	role := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, apiCall{r.Method, r.URL.RequestURI(), strings.Trim(r.Header.Get("If-Match"), `"`), string(body)})
	switch {
	case !slices.Contains([]string{api.RoleAuditor, api.RoleOperator, api.RoleAdmin}, role):
		refuse(w, api.Problem{Status: http.StatusUnauthorized, Detail: "log in"})
		return
	case r.URL.Path == api.PathSession && r.Method == http.MethodGet:
		reply(w, api.Session{ID: "s1", User: "anna", Role: role, Source: f.source, From: "10.0.0.9", Started: noon(), Current: true})
		return
	case r.URL.Path == api.PathConfirm:
		f.confirm(w, body)
		return
	case r.Method != http.MethodGet && r.URL.Path != api.PathPassword && role != api.RoleAdmin:
		refuse(w, api.Problem{Status: http.StatusForbidden, Detail: "this needs the role admin"})
		return
	case sensitive(r) && !f.confirmed:
		refuse(w, api.Problem{Status: http.StatusForbidden, Detail: "give your password once more for this", Confirm: true})
		return
	}
	if f.refusal != nil && r.Method != http.MethodGet {
		refuse(w, *f.refusal)
		return
	}
	f.say(w, r)
}

func sensitive(r *http.Request) bool {
	return r.Method != http.MethodGet && (strings.HasPrefix(r.URL.Path, api.PathAccounts) || strings.HasPrefix(r.URL.Path, api.PathTokens) || r.URL.Path == api.PathPairCreate || r.URL.Path == api.PathPairBreak ||
		r.URL.Path == api.PathAuthSecret || r.URL.Path == api.PathBackup || r.URL.Path == api.PathRestore || r.URL.Path == api.PathCertificate || strings.HasPrefix(r.URL.Path, api.PathUpdate) && r.URL.Path != api.PathUpdateOnline)
}

func (f *fakeLB) confirm(w http.ResponseWriter, body []byte) {
	var in api.Reauth
	if json.Unmarshal(body, &in) != nil || in.Password != ownPassword {
		refuse(w, api.Problem{Status: http.StatusForbidden, Detail: "the password is wrong", Confirm: true})
		return
	}
	f.confirmed = true
	w.WriteHeader(http.StatusNoContent)
}

func (f *fakeLB) say(w http.ResponseWriter, r *http.Request) {
	with, ok := f.answers[r.Method+" "+r.URL.EscapedPath()]
	switch with := with.(type) {
	case api.Problem:
		refuse(w, with)
	case []byte:
		if r.URL.Path == api.PathLogStream {
			w.Header().Set("Content-Type", api.ContentStream)
		}
		_, _ = w.Write(with)
	default:
		switch {
		case ok:
			reply(w, with)
		case r.Method == http.MethodGet:
			refuse(w, api.Problem{Status: http.StatusNotFound, Detail: "there is nothing at " + r.URL.Path})
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}
}

func reply(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }

func refuse(w http.ResponseWriter, p api.Problem) {
	w.Header().Set("Content-Type", api.ContentProblem)
	w.WriteHeader(p.Status)
	reply(w, p)
}

// desk is a person in front of the pages.
type desk struct {
	t    *testing.T
	lb   *fakeLB
	http http.Handler
	role string
}

// sit starts a daemon with the guide's deployment and sits down in front of its pages.
func sit(t *testing.T, role string) *desk {
	t.Helper()
	lb := &fakeLB{answers: deployment()}
	at := filepath.Join(t.TempDir(), "s")
	ln, err := new(net.ListenConfig).Listen(t.Context(), "unix", at)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: lb, ReadHeaderTimeout: time.Second}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(ln) }()
	client := api.NewUnix(at)
	t.Cleanup(func() { client.Close(); _ = srv.Close(); <-done })
	pages, err := web.New(web.Options{API: client, Logger: slog.New(slog.DiscardHandler), Now: noon, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return &desk{t, lb, pages.Handler(), role}
}

// deployment is what the daemon of the guide's deployment answers.
func deployment() map[string]any {
	vip1 := api.Fields{
		"name": "Harmonic_Management", "address": "192.168.94.100", "ports": "8080,8443", "protocol": "tcp", "layer": "7", "method": "proxy",
		"scheduler": "wlc", "persistence.kind": "source-ip", "persistence.timeout": "30m0s", "persistence.mask4": "32", "persistence.mask6": "64",
		"interface": "", "drain_persistent": "false", "check.type": "connect", "check.port": "", "check.protocol": "", "check.request": "",
		"check.host": "", "check.expect.match": "", "check.expect.value": "", "check.expect.status": "", "check.interval": "5s", "check.timeout": "3s",
		"check.fall": "2", "check.rise": "2", "check.jitter": "0.1", "check.fast": "1s", "check.through_vip": "",
		"proxy.max_connections": "0", "proxy.connect_timeout": "4s", "proxy.idle_timeout": "5m0s", "proxy.fin_timeout": "30s", "proxy.retries": "3", "proxy.fallback": "true",
	}
	vip2 := maps.Clone(vip1)
	maps.Copy(vip2, api.Fields{
		"name": "Harmonic_Traffic", "address": "192.168.94.110", "ports": "1935,554,50000-65535", "protocol": "tcp/udp", "layer": "4", "method": "dr",
		"persistence.timeout": "5m0s", "check.type": "negotiate", "check.protocol": "https", "check.request": "/admin/status",
		"check.expect.match": "equals", "check.expect.value": "Healthy", "check.expect.status": "200", "check.through_vip": "true",
	})
	for key := range vip2 {
		if strings.HasPrefix(key, "proxy.") {
			vip2[key] = ""
		}
	}
	hm1 := api.Fields{"name": "HM1", "address": "192.168.94.105", "port": "", "weight": "100", "min_connections": "0", "max_connections": "0"}
	ht1 := api.Fields{"name": "HT1", "address": "192.168.94.115", "port": "", "weight": "100", "min_connections": "0", "max_connections": "0"}
	one := api.ServiceDraft{Tag: "t1", Fields: vip1, CheckURL: "tcp://192.168.94.105:8080", Servers: []api.ServerDraft{{Fields: hm1}}}
	two := api.ServiceDraft{Tag: "t1", Fields: vip2, CheckURL: "https://192.168.94.115:8443/admin/status", Servers: []api.ServerDraft{{Fields: ht1}}}
	return map[string]any{
		"GET " + api.PathStatus:                                      api.Status{Node: "lb1", Seat: "primary", Role: "standalone", At: noon()},
		"GET " + api.PathDraft:                                       api.Draft{Tag: "t1"},
		"GET " + api.PathDraftServices:                               []api.ServiceDraft{one, two},
		"GET /api/v1/draft/services/Harmonic_Management":             one,
		"GET /api/v1/draft/services/Harmonic_Traffic":                two,
		"GET /api/v1/draft/services/Harmonic_Management/servers/HM1": api.ServerDraft{Tag: "t1", Fields: hm1},
		"GET /api/v1/draft/services/Harmonic_Traffic/servers/HT1":    api.ServerDraft{Tag: "t1", Fields: ht1},
		"GET /api/v1/draft/parts/node":                               api.PartDraft{Tag: "t1", Fields: nodeFields()},
		"GET " + api.PathSystem:                                      machine(),
		"GET /api/v1/draft/parts/cluster":                            api.PartDraft{Tag: "t1", Fields: api.Fields{"paired": "false"}},
		"GET " + api.PathPersistence:                                 []api.Entry{{Service: "Harmonic_Traffic", Client: "10.0.0.7", Server: "HT1", IdleMS: 1200}},
		"DELETE " + api.PathPersistence:                              api.Cleared{Entries: 1},
		"GET " + api.PathConfig:                                      []byte("node:\n  name: lb1 # <here>\n"),
		"GET " + api.PathHistory:                                     []api.Revision{{Number: 2, Revision: "bb", At: noon(), Current: true, Changes: []api.Change{{Text: "VIP Harmonic_Traffic added"}}}, {Number: 1, Revision: "aa", At: noon()}},
		"GET /api/v1/history/1":                                      []byte("node:\n  name: lb1\n"),
		"GET " + api.PathCertificate:                                 api.Certificate{Uploaded: true, Subject: "CN=lb1", Issuer: "CN=CA", Names: []string{"lb1", "192.168.94.101"}, NotBefore: noon(), NotAfter: noon().Add(20 * 24 * time.Hour), KeyType: "ECDSA, P-256", Fingerprint: "AB:CD", Pin: "sha256//pin", Chain: 2, Warnings: []string{"a warning"}},
		"GET " + api.PathFallback:                                    api.FallbackPage{HTML: "<h1>Later</h1>\n", Own: true},
		"GET " + api.PathSessions:                                    []api.Session{{ID: "s1", User: "anna", Role: "admin", From: "10.0.0.9", Current: true}, {ID: "s2", User: "otto", Role: "auditor", From: "10.0.0.8", Agent: "curl"}},
		"GET " + api.PathAccounts:                                    []api.Account{{Name: "anna", Role: "admin", Changed: noon()}, {Name: "otto", Role: "auditor", Changed: noon()}},
		"GET " + api.PathTokens:                                      []api.TokenInfo{{Name: "first", Role: "admin", Created: noon()}, {Name: "grafana", Role: "auditor", Created: noon(), Expires: new(noon()), Expired: true, Used: new(noon())}},
		"GET " + api.PathAudit:                                       []api.AuditEntry{{At: noon(), User: "anna", From: "10.0.0.9", Action: "log in", Outcome: "done"}, {At: noon(), User: "otto", From: "10.0.0.8", Action: "set a real server", Target: "=cmd|x", Before: "+1", After: "@sum", Outcome: "done"}},
		"GET " + api.PathBackup:                                      []byte("packed"),
		"POST " + api.PathBackup:                                     []byte("sealed"),
		"POST " + api.PathRestore:                                    api.Restored{Node: "lb9", Revision: "r9", Restored: []string{"the configuration is pending"}, LeftOut: []string{"the settings of node lb9 itself: this is lb1"}},
		"POST " + api.PathClock:                                      api.ClockSet{Before: noon(), Now: noon()},
		"GET " + api.PathSupportChecks:                               sickTree(),
		"GET " + api.PathSupportArchive:                              []byte("packed"),
		"GET " + api.PathUpdate:                                      installed(),
		"POST " + api.PathUpdate:                                     waitingUpdate(),
		"GET " + api.PathUpdateOnline:                                api.OnlineUpdate{Server: "https://updates.example.org/", Checked: new(noon()), Latest: "1.1.0", Available: &api.AvailableUpdate{Version: "1.1.0", Size: 41 << 20, SHA256: "abcd", Notes: "Faster.\nSafer."}},
		"POST " + api.PathUpdateOnline:                               api.OnlineUpdate{},
		"POST " + api.PathUpdateOnlineInstall:                        waitingUpdate(),
		"POST " + api.PathUpdateBack:                                 api.UpdateBack{Restarts: true},
		"GET " + api.PathAuth:                                        api.AuthState{Source: "ldap", Secrets: []string{"ldap", "radius"}, Warnings: []string{"passwords cross the network as plain text"}},
		"POST " + api.PathAuthTest:                                   api.AuthTested{Source: "ldap", Text: "the name or the password is wrong"},
		"POST " + api.PathPairPeer:                                   api.PeerReport{Address: "192.168.94.102:9443", Fingerprint: "sha256//abc", Locals: []string{"192.168.94.101"}, Blocks: []string{}},
	}
}

// nodeFields are the settings of the node, with those of its machine.
func nodeFields() api.Fields {
	return api.Fields{
		"name": "lb1", "role": "primary", "update.server": "", "update.ca_file": "", "update.proxy": "", "update.manual": "false", "system.hostname": "lb1", "system.domain": "", "system.dns.servers": "192.168.94.1", "system.dns.search": "",
		"system.interfaces[0].name": "eth0", "system.interfaces[0].addresses": "192.168.94.101/24", "system.interfaces[0].mtu": "1400", "system.interfaces[0].enabled": "true",
		"system.interfaces[1].name": "eth7", "system.interfaces[1].addresses": "", "system.interfaces[1].mtu": "", "system.interfaces[1].enabled": "false",
		"system.interfaces[2].dhcp": "true",
		"system.interfaces[2].name": "eth1.100", "system.interfaces[2].vlan.link": "eth1", "system.interfaces[2].vlan.id": "100", "system.interfaces[2].addresses": "10.100.0.1/24", "system.interfaces[2].mtu": "", "system.interfaces[2].enabled": "true",
		"system.interfaces[3].name": "eth1.200", "system.interfaces[3].vlan.link": "eth1", "system.interfaces[3].vlan.id": "200", "system.interfaces[3].addresses": "", "system.interfaces[3].mtu": "", "system.interfaces[3].enabled": "true",
		"system.interfaces[4].name": "bond0", "system.interfaces[4].bond.members": "eth3,eth4", "system.interfaces[4].bond.mode": "active-backup", "system.interfaces[4].addresses": "10.95.0.1/24", "system.interfaces[4].mtu": "", "system.interfaces[4].enabled": "true",
		"system.interfaces[5].name": "bond1", "system.interfaces[5].bond.members": "eth5", "system.interfaces[5].bond.mode": "802.3ad", "system.interfaces[5].addresses": "", "system.interfaces[5].mtu": "", "system.interfaces[5].enabled": "true",
		"system.routes[0].to": "default", "system.routes[0].via": "192.168.94.1", "system.routes[0].interface": "", "system.routes[0].metric": "",
		"system.routes[1].to": "10.20.0.0/16", "system.routes[1].via": "192.168.94.254", "system.routes[1].interface": "eth0", "system.routes[1].metric": "100",
		"system.time.zone": "Europe/London", "system.time.servers": "", "system.graphing.enabled": "",
	}
}

// machine is what the machine is at present.
func machine() api.System {
	return api.System{
		Hostname: "debian",
		Interfaces: []api.NIC{
			{
				Name: "eth0", MAC: "02:00:00:00:00:01", MTU: 1500, Up: true, Carrier: true, SpeedMbps: 10000,
				Addresses: []api.NICAddress{
					{Address: "192.168.94.101/24", Origin: api.OriginConfigured},
					{Address: "192.168.94.110/32", Origin: api.OriginVIP},
					{Address: "172.16.0.9/12", Origin: api.OriginOther},
				},
			},
			{Name: "eth1", MAC: "02:00:00:00:00:02", MTU: 1500, Up: true},
			{Name: "eth2", MAC: "02:00:00:00:00:03", MTU: 1500},
			{
				Name: "eth1.100", MAC: "02:00:00:00:00:02", MTU: 1500, Up: true, Carrier: true, VLAN: &api.NICVLAN{Link: "eth1", ID: 100},
				Lease:     &api.NICLease{Address: "10.100.0.50/24", Server: "10.100.0.254", DNS: []string{}, End: noon()},
				Addresses: []api.NICAddress{{Address: "10.100.0.1/24", Origin: api.OriginConfigured}, {Address: "10.100.0.50/24", Origin: api.OriginDHCP}},
			},
			{
				Name: "bond0", MAC: "02:00:00:00:00:04", MTU: 1500, Up: true, Carrier: true,
				Bond:      &api.NICBond{Mode: "active-backup", Members: []api.NICMember{{Name: "eth3", Carrier: true, Active: true}, {Name: "eth4"}}},
				Addresses: []api.NICAddress{{Address: "10.95.0.1/24", Origin: api.OriginConfigured}},
			},
			{Name: "eth3", MAC: "02:00:00:00:00:04", MTU: 1500, Up: true, Carrier: true, BondOf: "bond0"},
		},
		Routes:   []api.Route{{To: "default", Via: "172.16.0.1", Interface: "eth0", Origin: api.OriginOther}, {To: "192.168.94.0/24", Interface: "eth0", Origin: api.OriginKernel}},
		Resolver: api.Resolver{File: "/etc/resolv.conf", Link: "../run/stub", Servers: []string{"127.0.0.53"}, Search: []string{"lan"}},
		Clock:    api.Clock{Now: noon(), Zone: "UTC", Synchronized: true, ErrorMS: 1.5},
		Problems: []string{"DNS: /etc/resolv.conf is a link"},
	}
}

// got is an answer as a browser reads it.
type got struct {
	t      *testing.T
	Status int
	Header http.Header
	Body   string
	doc    *html.Node
}

// open gets a page.
func (d *desk) open(path string) *got { return d.do(http.MethodGet, path, nil) }

// send posts a form.
func (d *desk) send(path string, form url.Values) *got { return d.do(http.MethodPost, path, form) }

func (d *desk) do(method, path string, form url.Values) *got {
	d.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, "https://lb1:9443"+path, strings.NewReader(form.Encode()))
	if err != nil {
		d.t.Fatal(err)
	}
	req.RemoteAddr = "10.0.0.9:5555"
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if d.role != "" {
		req.AddCookie(&http.Cookie{Name: "__Host-vosbed", Value: d.role})
	}
	w := httptest.NewRecorder()
	d.http.ServeHTTP(w, req)
	doc, err := html.Parse(strings.NewReader(w.Body.String()))
	if err != nil {
		d.t.Fatal(err)
	}
	return &got{d.t, w.Code, w.Header(), w.Body.String(), doc}
}

// want fails the test unless the page has the status and, as text, all the words.
func (g *got) want(status int, words ...string) *got {
	g.t.Helper()
	if g.Status != status {
		g.t.Fatalf("status %d, want %d: %s", g.Status, status, text(g.doc))
	}
	all := text(g.doc)
	for _, w := range words {
		if !strings.Contains(all, w) {
			g.t.Errorf("no %q on the page:\n%s", w, all)
		}
	}
	return g
}

// without fails the test if the page has one of the words.
func (g *got) without(words ...string) *got {
	g.t.Helper()
	for _, w := range words {
		if strings.Contains(text(g.doc), w) {
			g.t.Errorf("%q is on the page:\n%s", w, text(g.doc))
		}
	}
	return g
}

// leadsTo fails the test unless the answer is a 303 to a path.
func (g *got) leadsTo(path string) {
	g.t.Helper()
	if g.Status != http.StatusSeeOther || g.Header.Get("Location") != path {
		g.t.Errorf("status %d to %q, want 303 to %q: %s", g.Status, g.Header.Get("Location"), path, text(g.doc))
	}
}

// all are the elements for which pick says yes.
func all(n *html.Node, pick func(*html.Node) bool) []*html.Node {
	var out []*html.Node
	for c := range n.Descendants() {
		if c.Type == html.ElementNode && pick(c) {
			out = append(out, c)
		}
	}
	return out
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// text is what a person reads in a node, with single blanks.
func text(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// form is the one that is posted to a path; its values are those a browser would send.
func (g *got) form(action string) url.Values {
	g.t.Helper()
	forms := all(g.doc, func(n *html.Node) bool { return n.Data == "form" && attr(n, "action") == action })
	if len(forms) == 0 {
		g.t.Fatalf("no form leads to %s:\n%s", action, g.Body)
	}
	out := url.Values{}
	for _, n := range all(forms[0], func(n *html.Node) bool { return n.Data == "input" || n.Data == "select" }) {
		name := attr(n, "name")
		switch {
		case n.Data == "select":
			out.Set(name, chosen(n))
		case attr(n, "type") == "checkbox" && !slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == "checked" }):
		default:
			out.Add(name, attr(n, "value"))
		}
	}
	return out
}

// chosen is the value of a select: the selected option, else the first.
func chosen(n *html.Node) string {
	options := all(n, func(n *html.Node) bool { return n.Data == "option" })
	for _, o := range options {
		if slices.ContainsFunc(o.Attr, func(a html.Attribute) bool { return a.Key == "selected" }) {
			return attr(o, "value")
		}
	}
	if len(options) == 0 {
		return ""
	}
	return attr(options[0], "value")
}

// byID is the element with an id, nil = there is none.
func (g *got) byID(id string) *html.Node {
	found := all(g.doc, func(n *html.Node) bool { return attr(n, "id") == id })
	if id == "" || len(found) == 0 {
		return nil
	}
	return found[0]
}

// control finds the input or select with a label, and tells what describes it.
func (g *got) control(label string) (described string) {
	g.t.Helper()
	labels := all(g.doc, func(n *html.Node) bool { return n.Data == "label" && text(n) == label })
	if len(labels) == 0 || g.byID(attr(labels[0], "for")) == nil {
		g.t.Fatalf("nothing is labelled %q:\n%s", label, text(g.doc))
	}
	for id := range strings.FieldsSeq(attr(g.byID(attr(labels[0], "for")), "aria-describedby")) {
		if d := g.byID(id); d != nil {
			described += text(d) + " "
		}
	}
	return described
}

// actions are the words on buttons and links in the main part.
func (g *got) actions() []string {
	var out []string
	for _, m := range all(g.doc, func(n *html.Node) bool { return n.Data == "main" }) {
		for _, n := range all(m, func(n *html.Node) bool { return n.Data == "button" || n.Data == "a" }) {
			out = append(out, text(n))
		}
	}
	return out
}

// has reports whether a button or link bears a word, alone or followed by its object.
func (g *got) has(word string) bool {
	return slices.ContainsFunc(g.actions(), func(a string) bool { return a == word || strings.HasPrefix(a, word+" ") })
}
