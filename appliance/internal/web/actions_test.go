package web_test

import (
	"encoding/csv"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/vosbed/vosbed/appliance/api"
)

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
		"pair":       {draft: api.Draft{Changes: []api.Change{change("cluster/paired"), change("node/role")}}, has: []string{"Restart Heartbeat"}, not: []string{"Reload HAProxy", "Apply changes", "Apply with 60-second auto-rollback"}, words: "all pending changes are applied"},
		"both":       {draft: api.Draft{Changes: []api.Change{change("cluster/paired"), change("services/Harmonic_Management")}}, has: []string{"Restart Heartbeat", "Reload HAProxy"}},
		"mistakes":   {draft: api.Draft{Changes: []api.Change{change("x")}, Mistakes: []api.Mistake{{Path: "services[0].real_servers", Message: "is missing", Hint: "add one"}}}, has: []string{"Discard"}, not: []string{"Apply"}, words: "services[0].real_servers: is missing: add one"},
		"stale":      {draft: api.Draft{Changes: []api.Change{change("x")}, Stale: true}, has: []string{"Discard"}, not: []string{"Apply"}, words: "Another configuration came into force"},
		"trial":      {draft: api.Draft{Trial: &api.Trial{Until: noon().Add(43 * time.Second), Author: "otto"}}, has: []string{"Keep", "Go back now"}, not: []string{"Apply", "Discard"}, words: "in 43 seconds, at 2026-03-04 12:00:43 UTC"},
		"overtaken":  {draft: api.Draft{Overtaken: "both nodes were changed <here>"}, has: []string{"Discard"}, not: []string{"Apply changes"}, words: "Both nodes were changed <here>."},
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
	p := d.open("/lbadmin/availability").want(200, "High Availability Configuration - primary", "Primary", "Secondary", "192.168.94.101", "192.168.94.102", "Active", "Passive", "In sync", "Lease", "Path pair", "last heard just now", "192.168.94.1", "Break Clustered Pair")
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
	d.send("/lbadmin/restart", p.form("/lbadmin/restart")).leadsTo("/lbadmin/")
	d.last("POST", api.PathReload)
	d.lb.answer("GET "+api.PathDraft, api.Draft{Tag: "t5", Changes: []api.Change{{Text: "x"}}})
	p = d.open("/lbadmin/restart").want(200, "There are pending changes")
	d.send("/lbadmin/restart", p.form("/lbadmin/restart")).leadsTo("/lbadmin/")
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
