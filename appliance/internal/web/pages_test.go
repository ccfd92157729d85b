package web_test

import (
	"encoding/csv"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/vosbed/vosbed/appliance/api"
)

// last is the one change that was made, with the fields that it sent.
func (d *desk) last(method, path string) api.Fields {
	d.t.Helper()
	made := d.lb.changes()
	if len(made) == 0 {
		d.t.Fatal("nothing was changed")
	}
	c := made[len(made)-1]
	if c.Method != method || c.Path != path {
		d.t.Fatalf("%s %s was called, want %s %s", c.Method, c.Path, method, path)
	}
	var f api.Fields
	_ = json.Unmarshal([]byte(c.Body), &f)
	return f
}

// fill puts values over those of a form.
func fill(form url.Values, with map[string]string) url.Values {
	for k, v := range with {
		form.Set(k, v)
	}
	return form
}

func has(t *testing.T, f, want api.Fields) {
	t.Helper()
	for k, v := range want {
		if got, ok := f[k]; !ok || got != v {
			t.Errorf("%s = %q (sent: %t), want %q", k, got, ok, v)
		}
	}
}

// TestGuideLayer7 is guide 10.1 by the words on the screen.
func TestGuideLayer7(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	d.open("/lbadmin/l7-services").want(200, "Layer 7 – Virtual Services", "Add a new Virtual Service", "Harmonic_Management", "TCP Mode", "1 real server", "Connect to port").without("Harmonic_Traffic")
	add := d.open("/lbadmin/service/new?layer=7").want(200, "Virtual Service", "Cancel", "Update", "[Advanced +]").without("Health Checks")
	for _, label := range []string{"Label", "IP Address", "Ports", "Layer 7 Protocol"} {
		add.control(label)
	}
	form := fill(add.form("/lbadmin/service/new?layer=7"), map[string]string{"name": "VIP1", "address": "192.168.94.100", "ports": "8080,8443"})
	d.send("/lbadmin/service/new?layer=7", form).leadsTo("/lbadmin/l7-services")
	has(t, d.last("POST", api.PathDraftServices), api.Fields{"name": "VIP1", "address": "192.168.94.100", "ports": "8080,8443", "layer": "7", "protocol": "tcp", "method": "proxy"})

	const at = "/lbadmin/service?name=Harmonic_Management"
	edit := d.open(at).want(200, "Health Checks", "Negotiate HTTPS (GET)", "No checks, always off", "Equals")
	if hint := edit.control("Check Port"); !strings.Contains(hint, "Checks tcp://192.168.94.105:8080") {
		t.Errorf("beside the check port: %q", hint)
	}
	edit.control("Health Checks")
	edit.control("Response Expected")
	d.send(at, fill(edit.form(at), map[string]string{
		"check": "negotiate/https", "check.request": "/admin/status", "check.expect.match": "equals", "check.expect.value": "Healthy",
	})).leadsTo("/lbadmin/l7-services")
	sent := d.last("PUT", "/api/v1/draft/services/Harmonic_Management")
	has(t, sent, api.Fields{
		"check.type": "negotiate", "check.protocol": "https", "check.request": "/admin/status", "check.expect.match": "equals",
		"check.expect.value": "Healthy", "check.port": "", "drain_persistent": "false",
	})
	if _, ok := sent["check"]; ok {
		t.Error("the choice of the form was sent as a setting")
	}
}

// TestGuideLayer4 is guide 10.2.
func TestGuideLayer4(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	d.open("/lbadmin/l4-services").want(200, "Layer 4 – Virtual Services", "Harmonic_Traffic", "TCP/UDP", "Negotiate HTTPS (GET) https://192.168.94.115:8443/admin/status").without("Harmonic_Management")
	add := d.open("/lbadmin/service/new?layer=4").want(200, "Forwarding", "Direct Routing")
	add.control("Forwarding Method")
	add.control("Protocol")
	form := fill(add.form("/lbadmin/service/new?layer=4"), map[string]string{"name": "VIP2", "address": "192.168.94.110", "ports": "1935,554,50000-65535", "protocol": "tcp/udp"})
	d.send("/lbadmin/service/new?layer=4", form).leadsTo("/lbadmin/l4-services")
	has(t, d.last("POST", api.PathDraftServices), api.Fields{"layer": "4", "method": "dr", "protocol": "tcp/udp", "scheduler": "wlc"})

	const at = "/lbadmin/service?name=Harmonic_Traffic"
	edit := d.open(at).want(200, "Check Type", "Negotiate", "HTTPS")
	form = fill(edit.form(at), map[string]string{"check.type": "negotiate", "check.protocol": "https", "check.request": "/admin/status", "check.expect.value": "Healthy"})
	d.send(at, form).leadsTo("/lbadmin/l4-services")
	has(t, d.last("PUT", "/api/v1/draft/services/Harmonic_Traffic"), api.Fields{"check.expect.match": "equals", "check.expect.value": "Healthy", "check.port": "", "check.through_vip": "true"})
}

// TestChecksThatSendNothing: what belongs to another kind of check is left out.
func TestChecksThatSendNothing(t *testing.T) {
	t.Parallel()
	const at = "/lbadmin/service?name=Harmonic_Traffic"
	for _, kind := range []string{"connect", "ping", "on", "off"} {
		d := sit(t, api.RoleAdmin)
		d.send(at, fill(d.open(at).form(at), map[string]string{"check.type": kind, "check.port": "8443"})).leadsTo("/lbadmin/l4-services")
		sent := d.last("PUT", "/api/v1/draft/services/Harmonic_Traffic")
		has(t, sent, api.Fields{"check.type": kind, "check.protocol": "", "check.request": "", "check.expect.value": "", "check.expect.match": "", "check.expect.status": "", "check.host": ""})
		if kept := sent["check.port"] == "8443"; kept != (kind == "connect") {
			t.Errorf("%s: port %q", kind, sent["check.port"])
		}
	}
}

// TestAnyAnswer: the choice drops a value; a value without a choice is Equals.
func TestAnyAnswer(t *testing.T) {
	t.Parallel()
	const at = "/lbadmin/service?name=Harmonic_Management"
	for name, tt := range map[string]struct{ was, match, value, wantMatch, wantValue string }{
		"chosen now":         {"equals", "any", "Healthy", "any", ""},
		"a value comes":      {"any", "any", "Healthy", "equals", "Healthy"},
		"no value":           {"equals", "equals", "", "any", ""},
		"contains":           {"equals", "contains", "Heal", "contains", "Heal"},
		"nothing before it ": {"", "equals", "Healthy", "equals", "Healthy"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := sit(t, api.RoleAdmin)
			s, _ := deployment()["GET /api/v1/draft/services/Harmonic_Management"].(api.ServiceDraft)
			s.Fields["check.expect.match"] = tt.was
			d.lb.answer("GET /api/v1/draft/services/Harmonic_Management", s)
			d.send(at, fill(d.open(at).form(at), map[string]string{"check": "negotiate/http", "check.expect.match": tt.match, "check.expect.value": tt.value})).leadsTo("/lbadmin/l7-services")
			has(t, d.last("PUT", "/api/v1/draft/services/Harmonic_Management"), api.Fields{"check.protocol": "http", "check.expect.match": tt.wantMatch, "check.expect.value": tt.wantValue})
		})
	}
}

// TestRealServers is guide 10.1.2 and 10.2.2.
func TestRealServers(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	d.open("/lbadmin/l7-servers").want(200, "Layer 7 – Real Servers", "Harmonic_Management", "Add a new Real Server", "HM1", "192.168.94.105").without("HT1", "Minimum")
	d.open("/lbadmin/l4-servers").want(200, "HT1", "Minimum Connections").without("HM1")
	const add7, add4 = "/lbadmin/real/new?service=Harmonic_Management", "/lbadmin/real/new?service=Harmonic_Traffic"
	page := d.open(add7).want(200, "Update").without("Minimum Connections")
	if hint := page.control("Real Server Port"); !strings.Contains(hint, "blank = the port that the client used") {
		t.Errorf("hint: %s", hint)
	}
	page.control("Real Server IP Address")
	d.send(add7, fill(page.form(add7), map[string]string{"name": "HM2", "address": "192.168.94.106"})).leadsTo("/lbadmin/l7-servers")
	f := d.last("POST", "/api/v1/draft/services/Harmonic_Management/servers")
	if want := (api.Fields{"name": "HM2", "address": "192.168.94.106", "port": "", "weight": "100"}); !maps.Equal(f, want) {
		t.Errorf("sent %v, want %v", f, want)
	}
	page = d.open(add4).want(200, "Maximum Connections").without("Real Server Port")
	d.send(add4, fill(page.form(add4), map[string]string{"name": "HT2", "address": "192.168.94.116"})).leadsTo("/lbadmin/l4-servers")
	f = d.last("POST", "/api/v1/draft/services/Harmonic_Traffic/servers")
	if want := (api.Fields{"name": "HT2", "address": "192.168.94.116", "weight": "100", "min_connections": "0", "max_connections": "0"}); !maps.Equal(f, want) {
		t.Errorf("sent %v, want %v", f, want)
	}
	const edit = "/lbadmin/real?name=HM1&service=Harmonic_Management"
	d.send(edit, fill(d.open(edit).form(edit), map[string]string{"weight": "50"})).leadsTo("/lbadmin/l7-servers")
	has(t, d.last("PUT", "/api/v1/draft/services/Harmonic_Management/servers/HM1"), api.Fields{"weight": "50", "name": "HM1"})
	d.send("/lbadmin/real/delete", d.open("/lbadmin/l7-servers").form("/lbadmin/real/delete")).leadsTo("/lbadmin/l7-servers")
	d.last("DELETE", "/api/v1/draft/services/Harmonic_Management/servers/HM1")
	d.send("/lbadmin/service/delete", d.open("/lbadmin/l4-services").form("/lbadmin/service/delete")).leadsTo("/lbadmin/l4-services")
	d.last("DELETE", "/api/v1/draft/services/Harmonic_Traffic")
	for _, c := range d.lb.changes() {
		if c.Method != http.MethodPost && c.Tag != "t1" {
			t.Errorf("%s %s does not name the draft that was seen", c.Method, c.Path)
		}
	}
}

// formCase is a form that changes something: how it is reached, and what it calls.
type formCase struct{ page, action, call, field string }

func forms() map[string]formCase {
	const svc, srv = "/lbadmin/service?name=Harmonic_Traffic", "/lbadmin/real?name=HT1&service=Harmonic_Traffic"
	return map[string]formCase{
		"add service":    {"/lbadmin/service/new?layer=7", "/lbadmin/service/new?layer=7", "POST " + api.PathDraftServices, "name"},
		"modify service": {svc, svc, "PUT /api/v1/draft/services/Harmonic_Traffic", "check.port"},
		"add server":     {"/lbadmin/real/new?service=Harmonic_Traffic", "/lbadmin/real/new?service=Harmonic_Traffic", "POST /api/v1/draft/services/Harmonic_Traffic/servers", "address"},
		"modify server":  {srv, srv, "PUT /api/v1/draft/services/Harmonic_Traffic/servers/HT1", "weight"},
		"peer":           {"/lbadmin/availability", "/lbadmin/availability/look", "POST " + api.PathPairPeer, "address"},
		"own password":   {"/lbadmin/passwords", "/lbadmin/passwords/own", "PUT " + api.PathPassword, "old"},
		"account":        {"/lbadmin/passwords", "/lbadmin/passwords/account", "PUT /api/v1/accounts/otto", "role"},
	}
}

// nasty is what a page must show as it is.
const nasty = `"><script>alert(1)</script>{{.}}`

// TestWrongValues: the message is at the field, and the input is kept; whatever a person
// or the daemon says is text.
func TestWrongValues(t *testing.T) {
	t.Parallel()
	for name, c := range forms() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := sit(t, api.RoleAdmin)
			d.lb.confirmed = true
			form := d.open(c.page).want(200).form(c.action)
			for key := range form {
				if key != "tag" && key != "name" && !strings.Contains(key, "password") && key != "again" {
					form.Set(key, nasty)
				}
			}
			if c.field == "role" {
				form.Set("name", "otto")
			}
			d.lb.answer(c.call, api.Problem{Status: 422, Detail: "some settings are not right", Fields: map[string]string{c.field: "is wrong " + nasty, "unknown": "odd " + nasty}})
			p := d.send(c.action, form).want(422, "Nothing was changed", "is wrong "+nasty, "unknown: odd "+nasty)
			wrong := all(p.doc, func(n *html.Node) bool { return attr(n, "name") == c.field && attr(n, "aria-invalid") == "true" })
			if len(wrong) != 1 {
				t.Fatalf("%d controls are marked", len(wrong))
			}
			if wrong[0].Data == "input" && attr(wrong[0], "type") != "password" && attr(wrong[0], "value") != form.Get(c.field) {
				t.Errorf("the input is %q", attr(wrong[0], "value"))
			}
			at := attr(wrong[0], "aria-describedby")
			if !slices.ContainsFunc(strings.Fields(at), func(id string) bool { n := p.byID(id); return n != nil && strings.Contains(text(n), "is wrong") }) {
				t.Errorf("no message at the field: described by %q", at)
			}
			wellFormed(t, p)
		})
	}
}

// wellFormed fails the test if a page has a script of a person, or two elements of one id.
func wellFormed(t *testing.T, p *got) {
	t.Helper()
	ids := map[string]bool{}
	for _, n := range all(p.doc, func(*html.Node) bool { return true }) {
		if n.Data == "script" && attr(n, "src") == "" {
			t.Errorf("a script came in: %s", text(n))
		}
		if id := attr(n, "id"); id != "" && ids[id] {
			t.Errorf("two elements have the id %s", id)
		} else {
			ids[id] = true
		}
	}
}

// TestConflict: somebody else changed the draft; the input is kept, and the next try is
// against the draft as it is now.
func TestConflict(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"modify service", "modify server"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, d := forms()[name], sit(t, api.RoleAdmin)
			form := fill(d.open(c.page).form(c.action), map[string]string{c.field: "77"})
			d.lb.answer("GET "+api.PathDraft, api.Draft{Tag: "t2", Changes: []api.Change{{Text: "VIP Harmonic_Traffic: check port", Author: "otto", At: noon()}}})
			d.lb.answer(c.call, api.Problem{Status: 409, Detail: "somebody else changed the pending configuration meanwhile"})
			p := d.send(c.action, form).want(409, "somebody else changed", "Your input is kept", "otto")
			again := p.form(c.action)
			if again.Get("tag") != "t2" || again.Get(c.field) != "77" {
				t.Errorf("tag %q, %s %q", again.Get("tag"), c.field, again.Get(c.field))
			}
		})
	}
}

// TestNastyNames: objects with such names are shown as they are on every page.
func TestNastyNames(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	four := api.Fields{"name": nasty, "address": nasty, "ports": nasty, "layer": "4", "protocol": nasty, "check.type": nasty, "weight": nasty}
	seven := maps.Clone(four)
	seven["layer"] = "7"
	d.lb.answer("GET "+api.PathDraftServices, []api.ServiceDraft{
		{Fields: four, CheckURL: nasty, Servers: []api.ServerDraft{{Fields: four}}}, {Fields: seven, CheckURL: nasty, Servers: []api.ServerDraft{{Fields: four}}},
	})
	d.lb.answer("GET "+api.PathDraft, api.Draft{Tag: nasty, Changes: []api.Change{{Text: nasty, Author: nasty}}, Mistakes: []api.Mistake{{Path: nasty, Message: nasty, Hint: nasty}}})
	d.lb.answer("GET "+api.PathConfig, []byte(nasty))
	d.lb.answer("GET "+api.PathPersistence, []api.Entry{{Service: nasty, Client: nasty, Server: nasty}})
	d.lb.answer("GET "+api.PathHistory, []api.Revision{{Number: 1, Revision: nasty, Changes: []api.Change{{Text: nasty}}}})
	d.lb.answer("GET "+api.PathSessions, []api.Session{{ID: nasty, User: nasty, Agent: nasty, From: nasty}})
	d.lb.answer("GET "+api.PathAccounts, []api.Account{{Name: nasty, Role: nasty}})
	d.lb.answer("GET "+api.PathAudit, []api.AuditEntry{{User: nasty, From: nasty, Action: nasty, Target: nasty, Before: nasty, After: nasty, Outcome: nasty}})
	d.lb.answer("GET /api/v1/history/1", []byte(nasty))
	for _, page := range []string{
		"l4-services", "l7-services", "l4-servers", "l7-servers", "availability", "persistence", "restart", "history", "history/1", "passwords", "sessions", "configuration", "audit",
	} {
		wellFormed(t, d.open("/lbadmin/"+page).want(200, nasty))
	}
	wellFormed(t, d.open("/lbadmin/audit?user="+url.QueryEscape(nasty)+"&text="+url.QueryEscape(nasty)).want(200))
	wellFormed(t, d.open("/lbadmin/persistence?client="+url.QueryEscape(nasty)).want(200))
}

// TestRoles: who may not change sees no buttons for it, and the API refuses anyway.
func TestRoles(t *testing.T) {
	t.Parallel()
	for _, role := range []string{api.RoleOperator, api.RoleAuditor} {
		d := sit(t, role)
		d.lb.answer("GET "+api.PathDraft, api.Draft{Tag: "t1", Changes: []api.Change{{Text: "VIP x added", Path: "services/x"}}, Trial: &api.Trial{Until: noon().Add(time.Minute)}})
		for _, page := range []string{"l4-services", "l7-services", "l4-servers", "l7-servers", "availability", "persistence?client=10.0.0.7", "history", "passwords", "configuration", "audit"} {
			p := d.open("/lbadmin/" + page).want(200)
			for _, word := range []string{"Add a new", "Modify", "Delete", "Clear", "Revert", "Apply", "Reload", "Discard", "Keep", "Look at the peer", "Break", "Set account", "Remove"} {
				if p.has(word) {
					t.Errorf("%s sees %q on %s", role, word, page)
				}
			}
		}
		d.open("/lbadmin/restart").want(403)
		d.send("/lbadmin/commit/apply", url.Values{"tag": {"t1"}}).want(403, "this needs the role admin")
		d.send("/lbadmin/service/delete", url.Values{"name": {"x"}, "tag": {"t1"}}).want(403, "this needs the role admin")
	}
}

func TestCommitBox(t *testing.T) {
	t.Parallel()
	change := func(path string) api.Change {
		return api.Change{Text: "change of " + path, Path: path, Author: "otto", At: noon()}
	}
	for name, tt := range map[string]struct {
		draft    api.Draft
		has, not []string
		words    string
	}{
		"layer 7":    {draft: api.Draft{Changes: []api.Change{change("services/Harmonic_Management/ports")}, Impact: api.Impact{Sessions: 412}}, has: []string{"Reload HAProxy", "Apply with 60-second auto-rollback", "Discard"}, not: []string{"Restart Heartbeat", "Apply changes"}, words: "Impact: 0 of 412 sessions affected."},
		"layer 4":    {draft: api.Draft{Changes: []api.Change{change("services/Harmonic_Traffic/ports")}}, has: []string{"Apply changes"}, not: []string{"Restart Heartbeat", "Reload HAProxy"}, words: "otto, 2026-03-04 12:00:00 UTC"},
		"pair":       {draft: api.Draft{Changes: []api.Change{change("cluster/paired"), change("node/role")}}, has: []string{"Restart Heartbeat"}, not: []string{"Reload HAProxy", "Apply changes"}, words: "all pending changes are applied"},
		"both":       {draft: api.Draft{Changes: []api.Change{change("cluster/paired"), change("services/Harmonic_Management")}}, has: []string{"Restart Heartbeat", "Reload HAProxy"}},
		"mistakes":   {draft: api.Draft{Changes: []api.Change{change("x")}, Mistakes: []api.Mistake{{Path: "services[0].real_servers", Message: "is missing", Hint: "add one"}}}, has: []string{"Discard"}, not: []string{"Apply"}, words: "services[0].real_servers: is missing: add one"},
		"stale":      {draft: api.Draft{Changes: []api.Change{change("x")}, Stale: true}, has: []string{"Discard"}, not: []string{"Apply"}, words: "Another configuration came into force"},
		"trial":      {draft: api.Draft{Trial: &api.Trial{Until: noon().Add(43 * time.Second), Author: "otto"}}, has: []string{"Keep", "Go back now"}, not: []string{"Apply", "Discard"}, words: "in 43 seconds, at 2026-03-04 12:00:43 UTC"},
		"trial more": {draft: api.Draft{Trial: &api.Trial{Until: noon()}, Changes: []api.Change{change("x")}}, has: []string{"Keep", "Discard"}, not: []string{"Apply"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := sit(t, api.RoleAdmin)
			tt.draft.Tag = "t9"
			d.lb.answer("GET "+api.PathDraft, tt.draft)
			p := d.open("/lbadmin/l4-servers").want(200, "Commit changes", tt.words)
			for _, w := range tt.has {
				if !p.has(w) {
					t.Errorf("no %q among %q", w, p.actions())
				}
			}
			for _, w := range tt.not {
				if p.has(w) {
					t.Errorf("%q is there", w)
				}
			}
			if tt.draft.Trial == nil {
				d.send("/lbadmin/commit/discard", p.form("/lbadmin/commit/discard")).leadsTo("/lbadmin/l4-servers")
				if c := d.lb.changes()[0]; c.Method != http.MethodDelete || c.Path != api.PathDraft || c.Tag != "t9" {
					t.Errorf("called %+v", c)
				}
			}
		})
	}
	sit(t, api.RoleAdmin).open("/lbadmin/l4-servers").without("Commit changes")
}

func TestCommitButtons(t *testing.T) {
	t.Parallel()
	for what, want := range map[string]apiCall{
		"apply": {"POST", api.PathApply, "t1", `{}`}, "try": {"POST", api.PathApply, "t1", `{"within":"60s"}`}, "discard": {"DELETE", api.PathDraft, "t1", ""},
		"keep": {"POST", api.PathKeep, "", ""}, "undo": {"POST", api.PathUndo, "", ""},
	} {
		d := sit(t, api.RoleAdmin)
		d.send("/lbadmin/commit/"+what, url.Values{"tag": {"t1"}, "back": {"/lbadmin/audit?user=anna"}}).leadsTo("/lbadmin/audit?user=anna")
		if made := d.lb.changes(); len(made) != 1 || made[0] != want {
			t.Errorf("%s: called %+v, want %+v", what, made, want)
		}
	}
	d := sit(t, api.RoleAdmin)
	for back, want := range map[string]string{
		"https://evil.example/": "/lbadmin/", "//evil.example/lbadmin/": "/lbadmin/", "/lbadmin/commit/apply": "/lbadmin/",
		"/lbadmin/availability/look": "/lbadmin/availability", "/lbadmin/?sort=ip": "/lbadmin/?sort=ip", "": "/lbadmin/",
	} {
		d.send("/lbadmin/commit/keep", url.Values{"back": {back}}).leadsTo(want)
	}
	d.send("/lbadmin/commit/other", nil).want(404)
	d.lb.answer("POST "+api.PathApply, api.Problem{Status: 422, Detail: "the pending configuration is not complete", Errors: []string{"services[0].real_servers: is missing"}})
	d.lb.answer("GET "+api.PathDraft, api.Draft{Tag: "t1", Changes: []api.Change{{Text: "x"}}})
	p := d.send("/lbadmin/commit/apply", url.Values{"back": {"/lbadmin/l4-servers"}}).want(422, "Nothing was changed", "not complete", "services[0].real_servers: is missing", "Back")
	if back := p.form("/lbadmin/commit/discard").Get("back"); back != "/lbadmin/l4-servers" {
		t.Errorf("the box leads back to %s", back)
	}
}

// TestPairByAddressAndPassword is guide 14.1.2.
func TestPairByAddressAndPassword(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	page := d.open("/lbadmin/availability").want(200, "High-Availability Configuration", "Create a Clustered Pair")
	page.control("IP address of the peer")
	look := fill(page.form("/lbadmin/availability/look"), map[string]string{"address": "192.168.94.102"})
	step := d.send("/lbadmin/availability/look", look).want(200, "sha256//abc", "192.168.94.101", "Add new node")
	step.control("loadbalancer user's password of the peer")
	step.control("Local IP address")
	form := fill(step.form("/lbadmin/availability/create"), map[string]string{"password": "pw-of-peer-77"})
	form.Set("confirm-password", "wrong")
	if p := d.send("/lbadmin/availability/create", form).want(422, "the password is wrong"); strings.Contains(p.Body, "pw-of-peer-77") {
		t.Error("a password came back in a page")
	}
	form.Set("confirm-password", ownPassword)
	d.send("/lbadmin/availability/create", form).leadsTo("/lbadmin/availability")
	d.last("POST", api.PathPairCreate)
	made := d.lb.changes()
	if want := `{"local":"192.168.94.101","address":"192.168.94.102:9443","fingerprint":"sha256//abc","password":"pw-of-peer-77"}`; made[len(made)-1].Body != want {
		t.Errorf("sent %s", made[len(made)-1].Body)
	}
	d.lb.answer("GET /api/v1/draft/parts/node", api.PartDraft{Fields: api.Fields{"heartbeat[0].local": "192.168.94.101:6694", "heartbeat[0].peer": "192.168.94.102:6694"}})
	d.open("/lbadmin/availability").want(200, "Restart Heartbeat").without("IP address of the peer")
	d.lb.answer("POST "+api.PathPairPeer, api.PeerReport{Address: "192.168.94.102:9443", Blocks: []string{"the clocks are 3m apart"}})
	d.lb.answer("GET /api/v1/draft/parts/node", api.PartDraft{})
	d.send("/lbadmin/availability/look", look).want(200, "the clocks are 3m apart", "Look at the peer").without("Add new node")
}

func TestPaired(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	d.lb.confirmed = true
	st := api.Status{Node: "lb1", Seat: "primary", Role: "active", Pair: api.Pair{PeerAlive: true, PeerRole: "passive", InSync: true, LeaseHeld: true, Reason: "started", Paths: []api.Path{{Name: "pair", Up: true}}, Pings: []api.Ping{{Addr: "192.168.94.1", Up: true}}}}
	d.lb.answer("GET "+api.PathStatus, st)
	d.lb.answer("GET /api/v1/draft/parts/node", api.PartDraft{Fields: api.Fields{"heartbeat[0].local": "192.168.94.101:6694", "heartbeat[0].peer": "192.168.94.102:6694"}})
	p := d.open("/lbadmin/availability").want(200, "High Availability Configuration - primary", "Primary", "Secondary", "192.168.94.101", "192.168.94.102", "Active", "Passive", "In sync", "Lease", "Path pair", "192.168.94.1", "Break Clustered Pair")
	if !p.has("Release") || p.has("Take over") {
		t.Errorf("buttons: %q", p.actions())
	}
	d.send("/lbadmin/availability/move", url.Values{"command": {"release"}}).leadsTo("/lbadmin/availability")
	d.send("/lbadmin/availability/break", nil).leadsTo("/lbadmin/availability")
	d.last("POST", api.PathPairBreak)
	st.Seat, st.Role, st.Pair.PeerAlive = "secondary", "passive", false
	d.lb.answer("GET "+api.PathStatus, st)
	if p := d.open("/lbadmin/availability").want(200, "High Availability Configuration - secondary", "Silent"); !p.has("Take over") {
		t.Errorf("buttons: %q", p.actions())
	}
	d.lb.answer("POST "+api.PathPair, api.Problem{Status: 409, Detail: "the peer does not answer"})
	d.send("/lbadmin/availability/move", url.Values{"command": {"takeover"}}).want(409, "the peer does not answer")
}

// TestConfirm: a sensitive action waits for the password, and is done then.
func TestConfirm(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	p := d.send("/lbadmin/passwords/remove", url.Values{"name": {"otto"}}).want(403, "Give your password once more", "Continue")
	form := p.form("/lbadmin/confirm")
	form.Set("confirm-password", "wrong")
	p = d.send("/lbadmin/confirm", form).want(403, "the password is wrong")
	form = p.form("/lbadmin/confirm")
	form.Set("confirm-password", ownPassword)
	d.send("/lbadmin/confirm", form).leadsTo("/lbadmin/passwords")
	d.last("DELETE", "/api/v1/accounts/otto")

	d = sit(t, api.RoleAdmin) // an action with a password of its own, which no page shows
	p = d.send("/lbadmin/passwords/account", url.Values{"name": {"new"}, "role": {"operator"}, "password": {"a new secret"}}).want(403, "New password of the account")
	if strings.Contains(p.Body, "a new secret") {
		t.Error("a password came back in a page")
	}
	form = fill(p.form("/lbadmin/confirm"), map[string]string{"confirm-password": ownPassword, "password": "a new secret"})
	d.send("/lbadmin/confirm", form).leadsTo("/lbadmin/passwords?done=account")
	has(t, d.last("PUT", "/api/v1/accounts/new"), api.Fields{"role": "operator", "password": "a new secret"})

	for _, action := range []string{"/lbadmin/confirm", "https://evil.example/", "/lbadmin/logout/../x", ""} {
		if p := d.send("/lbadmin/confirm", url.Values{"confirm-action": {action}, "confirm-password": {ownPassword}}); p.Status < 400 {
			t.Errorf("%q: %d", action, p.Status)
		}
	}
	d.send("/lbadmin/passwords/own", url.Values{"old": {"a"}, "own-password": {"b"}, "again": {"c"}}).want(422, "the two are not the same")
	d.send("/lbadmin/passwords/own", url.Values{"old": {"a"}, "own-password": {"b"}, "again": {"b"}}).leadsTo("/lbadmin/passwords?done=own")
	d.lb.answer("PUT "+api.PathPassword, api.Problem{Status: 422, Fields: map[string]string{"password": "is too short"}})
	d.send("/lbadmin/passwords/own", url.Values{"old": {"a"}, "own-password": {"b"}, "again": {"b"}}).want(422, "is too short")
}

func TestMaintenance(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	p := d.open("/lbadmin/restart").want(200, "Nothing is pending", "Reload HAProxy", "Restart Heartbeat")
	d.send("/lbadmin/restart", p.form("/lbadmin/restart")).leadsTo("/lbadmin/restart?done=1")
	d.last("POST", api.PathReload)
	d.open("/lbadmin/restart?done=1").want(200, "Done")
	d.lb.answer("GET "+api.PathDraft, api.Draft{Tag: "t5", Changes: []api.Change{{Text: "x"}}})
	p = d.open("/lbadmin/restart").want(200, "There are pending changes")
	d.send("/lbadmin/restart", p.form("/lbadmin/restart")).leadsTo("/lbadmin/restart?done=1")
	d.last("POST", api.PathApply)

	p = d.open("/lbadmin/history").want(200, "VIP Harmonic_Traffic added", "in force", "Revert")
	d.send("/lbadmin/history/revert", p.form("/lbadmin/history/revert")).leadsTo("/lbadmin/history")
	d.last("POST", "/api/v1/history/1")
	if made := d.lb.changes(); made[len(made)-1].Tag != "t5" {
		t.Error("the revert does not name the draft that was seen")
	}
	d.open("/lbadmin/history/1").want(200, "name: lb1")
	if f := d.open("/lbadmin/history/1/file"); f.Status != 200 || !strings.HasPrefix(f.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("%d %v", f.Status, f.Header)
	}
	d.open("/lbadmin/history/99").want(404)
	d.open("/lbadmin/configuration").want(200, "name: lb1 # <here>")
	if f := d.open("/lbadmin/configuration.yaml"); !strings.HasPrefix(f.Header.Get("Content-Disposition"), "attachment") || f.Body != "node:\n  name: lb1 # <here>\n" {
		t.Errorf("%v %q", f.Header, f.Body)
	}
	p = d.open("/lbadmin/sessions").want(200, "otto", "curl", "this one")
	d.send("/lbadmin/sessions/end", p.form("/lbadmin/sessions/end")).leadsTo("/lbadmin/sessions")
	d.last("DELETE", "/api/v1/sessions/s2")
}

func TestPersistenceTable(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	p := d.open("/lbadmin/persistence").want(200, "10.0.0.7", "HT1", "1 entry")
	if p.has("Clear all that match") {
		t.Error("the whole table can be cleared by one click")
	}
	d.send("/lbadmin/persistence/clear", p.form("/lbadmin/persistence/clear")).leadsTo("/lbadmin/persistence")
	d.last("DELETE", api.PathPersistence+"?client=10.0.0.7&server=HT1&service=Harmonic_Traffic")
	p = d.open("/lbadmin/persistence?client=10.0.0.7&service=").want(200, "Clear all that match")
	if !d.lb.asked("GET", api.PathPersistence+"?client=10.0.0.7") {
		t.Error("the search did not ask for the client")
	}
	form := p.form("/lbadmin/persistence/clear")
	d.send("/lbadmin/persistence/clear", form).leadsTo("/lbadmin/persistence?client=10.0.0.7&service=")
	d.last("DELETE", api.PathPersistence+"?client=10.0.0.7")
	before := len(d.lb.changes())
	d.send("/lbadmin/persistence/clear", url.Values{}).leadsTo("/lbadmin/persistence")
	if len(d.lb.changes()) != before {
		t.Error("a form without fields cleared the table")
	}
	d.lb.answer("GET "+api.PathPersistence, api.Problem{Status: 400, Detail: "client \"x\" is no address"})
	d.open("/lbadmin/persistence?client=x").want(200, "Client \"x\" is no address.")
}

// TestAuditFile: no cell is a formula in a spreadsheet.
func TestAuditFile(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAuditor)
	d.open("/lbadmin/audit?user=anna").want(200, "log in").without("set a real server")
	d.open("/lbadmin/audit?text=REAL").want(200, "set a real server").without("log in")
	var bad []api.AuditEntry
	for _, s := range []string{"=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1", " =1", "＝1", "\"=1", "a=1"} {
		bad = append(bad, api.AuditEntry{User: "eve", Target: s})
	}
	d.lb.answer("GET "+api.PathAudit, append(bad, api.AuditEntry{User: "anna"}))
	p := d.open("/lbadmin/audit.csv?user=eve")
	rows, err := csv.NewReader(strings.NewReader(p.Body)).ReadAll()
	if err != nil || len(rows) != len(bad)+1 || !strings.HasPrefix(p.Header.Get("Content-Disposition"), "attachment") {
		t.Fatalf("%v: %q", err, p.Body)
	}
	for i, row := range rows[1:] {
		if guarded, want := strings.HasPrefix(row[4], "'"), i < 9; guarded != want {
			t.Errorf("%q is written as %q", bad[i].Target, row[4])
		}
	}
}

// TestTheMenuIsOpenAtThePage: lists and the forms below them are at their item.
func TestTheMenuIsOpenAtThePage(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	for page, want := range map[string]string{
		"l7-services": "Layer 7 – Virtual Services", "service/new?layer=4": "Layer 4 – Virtual Services", "service?name=Harmonic_Management": "Layer 7 – Virtual Services",
		"real?name=HT1&service=Harmonic_Traffic": "Layer 4 – Real Servers", "l7-servers": "Layer 7 – Real Servers", "history/1": "Configuration History", "audit": "Audit Log",
	} {
		p := d.open("/lbadmin/" + page).want(200)
		at := all(p.doc, func(n *html.Node) bool { return attr(n, "aria-current") == "page" })
		if len(at) != 1 || text(at[0]) != want {
			t.Errorf("%s: %d items are marked, want %s", page, len(at), want)
		}
	}
}
