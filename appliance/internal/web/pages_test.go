package web_test

import (
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

// putNode is the call that changes the node's own settings.
const putNode = "PUT /api/v1/draft/parts/node"

// formCase is a form that changes something: how it is reached, and what it calls.
type formCase struct{ page, action, call, field string }

func forms() map[string]formCase {
	const svc, srv = "/lbadmin/service?name=Harmonic_Traffic", "/lbadmin/real?name=HT1&service=Harmonic_Traffic"
	return map[string]formCase{
		"add service":    {"/lbadmin/service/new?layer=7", "/lbadmin/service/new?layer=7", "POST " + api.PathDraftServices, "name"},
		"modify service": {svc, svc, "PUT /api/v1/draft/services/Harmonic_Traffic", "check.port"},
		"add server":     {"/lbadmin/real/new?service=Harmonic_Traffic", "/lbadmin/real/new?service=Harmonic_Traffic", "POST /api/v1/draft/services/Harmonic_Traffic/servers", "address"},
		"modify server":  {srv, srv, "PUT /api/v1/draft/services/Harmonic_Traffic/servers/HT1", "weight"},
		"hostname":       {"/lbadmin/hostname", "/lbadmin/hostname", putNode, "dns.servers"},
		"interface":      {"/lbadmin/interface?name=eth0", "/lbadmin/interface?name=eth0", putNode, "addresses"},
		"new interface":  {"/lbadmin/interface", "/lbadmin/interface", putNode, "name"},
		"route":          {"/lbadmin/route?number=1", "/lbadmin/route?number=1", putNode, "via"},
		"new route":      {"/lbadmin/route", "/lbadmin/route", putNode, "to"},
		"update server":  {"/lbadmin/update", "/lbadmin/update/server", putNode, "update.server"},
		"date":           {"/lbadmin/datetime", "/lbadmin/datetime", putNode, "time.zone"},
		"peer":           {"/lbadmin/availability", "/lbadmin/availability/look", "POST " + api.PathPairPeer, "address"},
		"own password":   {"/lbadmin/passwords", "/lbadmin/passwords/own", "PUT " + api.PathPassword, "old"},
		"token":          {"/lbadmin/tokens", "/lbadmin/tokens", "POST " + api.PathTokens, "name"},
		"sealed backup":  {"/lbadmin/backup/sealed", "/lbadmin/backup/sealed", "POST " + api.PathBackup, "passphrase"},
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
				if key != "tag" && key != "name" && !strings.Contains(key, "password") && key != "passphrase" && key != "again" {
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
	for _, name := range []string{"modify service", "modify server", "hostname", "interface", "route", "date", "update server"} {
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
	d.lb.answer("GET "+api.PathTokens, []api.TokenInfo{{Name: nasty, Role: nasty}})
	d.lb.answer("GET "+api.PathAudit, []api.AuditEntry{{User: nasty, From: nasty, Action: nasty, Target: nasty, Before: nasty, After: nasty, Outcome: nasty}})
	d.lb.answer("GET /api/v1/history/1", []byte(nasty))
	for _, page := range []string{
		"l4-services", "l7-services", "l4-servers", "l7-servers", "availability", "persistence", "restart", "history", "history/1", "passwords", "sessions", "tokens", "configuration", "audit",
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
		d.open("/lbadmin/tokens").want(403)
		d.send("/lbadmin/commit/apply", url.Values{"tag": {"t1"}}).want(403, "this needs the role admin")
		d.send("/lbadmin/service/delete", url.Values{"name": {"x"}, "tag": {"t1"}}).want(403, "this needs the role admin")
	}
}
