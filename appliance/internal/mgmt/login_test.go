package mgmt

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/accounts"
)

// office is a server as the web process reaches it.
type office struct {
	t *testing.T
	s *Server
	f *fake
}

// staff is one of each role; the first must be an admin.
func staff() []accounts.Account {
	return []accounts.Account{{Name: "loadbalancer", Role: accounts.Admin}, {Name: "otto", Role: accounts.Operator}, {Name: "anna", Role: accounts.Auditor}}
}

const goodPassword = "correct horse battery"

func newOffice(t *testing.T) *office {
	t.Helper()
	f := &fake{status: sample()}
	o := &office{t, newServer(t, f), f}
	for _, a := range staff() {
		if err := o.s.opts.People.Accounts.Set(a.Name, a.Role, goodPassword); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

func (o *office) ask(method, path, token, body string, headers ...string) (int, api.Problem, []byte) {
	o.t.Helper()
	r := httptest.NewRequestWithContext(o.t.Context(), method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(api.HeaderFrom, "192.0.2.9")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	o.s.throughWeb(o.s.handler).ServeHTTP(w, r)
	var p api.Problem
	if w.Code >= http.StatusBadRequest {
		_ = json.Unmarshal(w.Body.Bytes(), &p)
	}
	return w.Code, p, w.Body.Bytes()
}

func (o *office) login(user string) string {
	o.t.Helper()
	code, p, body := o.ask(http.MethodPost, api.PathSession, "", `{"user":"`+user+`","password":"`+goodPassword+`"}`)
	var in api.LoggedIn
	if err := json.Unmarshal(body, &in); code != http.StatusOK || err != nil || in.Session.User != user || in.Session.From != "192.0.2.9" {
		o.t.Fatalf("login of %s: %d %+v, %v, %+v", user, code, p, err, in)
	}
	return in.Token
}

// TestRolesOverTheRouter asks every row of the table as every role.
func TestRolesOverTheRouter(t *testing.T) {
	o := newOffice(t)
	for _, a := range staff() {
		role := a.Role
		for _, row := range o.s.routes() {
			token, _ := o.s.opts.People.Sessions.Start(a, netip.Addr{}, "") // anew: some rows end it
			path := strings.NewReplacer("{service}", "s", "{server}", "r", "{part}", "node", "{id}", "x", "{name}", "nobody", "{number}", "7").Replace(row.path)
			code, p, _ := o.ask(row.method, path, token, "{}")
			forbidden := code == http.StatusForbidden && strings.Contains(p.Detail, "needs the role")
			if want := !row.open && role < row.least; forbidden != want {
				t.Errorf("%s %s as %s: %d %q, forbidden is %t, want %t", row.method, row.path, role, code, p.Detail, forbidden, want)
			}
		}
	}
}

func TestLoginTellsNothing(t *testing.T) {
	o := newOffice(t)
	for _, body := range []string{`{"user":"loadbalancer","password":"wrong"}`, `{"user":"nobody","password":"wrong"}`, `{"user":"","password":""}`} {
		code, p, _ := o.ask(http.MethodPost, api.PathSession, "", body)
		if code != http.StatusUnauthorized || p.Detail != "the user name or the password is wrong" {
			t.Errorf("%s: %d %q", body, code, p.Detail)
		}
	}
	code := 0
	for range 20 {
		if code, _, _ = o.ask(http.MethodPost, api.PathSession, "", `{"user":"x","password":"y"}`); code == http.StatusTooManyRequests {
			break
		}
	}
	if code != http.StatusTooManyRequests {
		t.Errorf("guessing is answered with %d for ever", code)
	}
	before, err := o.s.opts.People.Trail.Latest(1000)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		o.ask(http.MethodPost, api.PathSession, "", `{"user":"x","password":"y"}`)
	}
	if after, err := o.s.opts.People.Trail.Latest(1000); err != nil || len(after) != len(before) {
		t.Errorf("who is sent away fills the trail: %d entries more, %v", len(after)-len(before), err)
	}
}

func TestNobodyCanLogInYet(t *testing.T) {
	o := &office{t, newServer(t, &fake{status: sample()}), nil}
	code, p, _ := o.ask(http.MethodPost, api.PathSession, "", `{"user":"loadbalancer","password":"x"}`)
	if code != http.StatusConflict || !strings.Contains(p.Detail, "lbctl passwd") {
		t.Errorf("%d %q", code, p.Detail)
	}
}

func TestSessionsEnd(t *testing.T) {
	o := newOffice(t)
	mine, other, admin := o.login("otto"), o.login("otto"), o.login("loadbalancer")
	alive := func(token string) bool {
		code, _, _ := o.ask(http.MethodGet, api.PathSession, token, "")
		return code == http.StatusOK
	}
	var list []api.Session
	_, _, body := o.ask(http.MethodGet, api.PathSessions, mine, "")
	if err := json.Unmarshal(body, &list); err != nil || len(list) != 2 {
		t.Errorf("otto sees %d sessions, %v, want his two", len(list), err)
	}
	_, _, body = o.ask(http.MethodGet, api.PathSessions, admin, "")
	if err := json.Unmarshal(body, &list); err != nil || len(list) != 3 {
		t.Errorf("an admin sees %d sessions, %v", len(list), err)
	}
	for _, one := range list {
		if one.User == "loadbalancer" {
			if code, _, _ := o.ask(http.MethodDelete, "/api/v1/sessions/"+one.ID, mine, ""); code != http.StatusNotFound {
				t.Errorf("otto ended an admin's session: %d", code)
			}
		}
	}
	code, p, _ := o.ask(http.MethodPut, api.PathPassword, mine, `{"old":"wrong","new":"another long password"}`)
	if code != http.StatusUnprocessableEntity || p.Fields["old"] == "" {
		t.Errorf("a wrong old password: %d %+v", code, p)
	}
	if code, p, _ := o.ask(http.MethodPut, api.PathPassword, mine, `{"old":"`+goodPassword+`","new":"another long password"}`); code != http.StatusNoContent {
		t.Errorf("a new password: %d %+v", code, p)
	}
	if !alive(mine) || alive(other) {
		t.Error("a new password ends the other sessions and not the own")
	}
	if code, _, _ := o.ask(http.MethodDelete, api.PathSession, mine, ""); code != http.StatusNoContent || alive(mine) {
		t.Errorf("logged out: %d", code)
	}
}

func TestTheTrailTells(t *testing.T) {
	o := newOffice(t)
	token := o.login("otto")
	o.ask(http.MethodPut, "/api/v1/services/Harmonic_Traffic/servers/HT1/state", token, `{"state":"drain","deadline":"5m"}`)
	o.ask(http.MethodPut, "/api/v1/services/Harmonic_Traffic/servers/none/state", token, `{"state":"halt"}`)
	o.ask(http.MethodPost, api.PathReload, token, "")
	_, _, body := o.ask(http.MethodGet, api.PathAudit, token, "")
	var got []api.AuditEntry
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, e := range got {
		lines = append(lines, strings.Join([]string{e.User, e.From, e.Action, e.Target, e.After, e.Outcome}, "|"))
	}
	want := []string{
		"otto|192.0.2.9|set a real server|Harmonic_Traffic/none|halt|service \"Harmonic_Traffic\" has no server \"none\": there is HT1, HT 2/x",
		"otto|192.0.2.9|set a real server|Harmonic_Traffic/HT1|drain 5m|done",
		"otto|192.0.2.9|log in|otto||done",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("the trail (-want +got; what nobody may do is not in it):\n%s", diff)
	}
}

func TestLogs(t *testing.T) {
	o := newOffice(t)
	token := o.login("anna")
	var got []api.LogLine
	_, _, body := o.ask(http.MethodGet, api.PathLogs+"?level=warn", token, "")
	if err := json.Unmarshal(body, &got); err != nil || len(got) != 1 || got[0].Level != "warn" {
		t.Errorf("%s, %v", body, err)
	}
	if code, p, _ := o.ask(http.MethodGet, api.PathLogs+"?level=loud", token, ""); code != http.StatusBadRequest {
		t.Errorf("an unknown level: %d %+v", code, p)
	}
}

// TestDraftCalls: who changes the draft and which one they saw reach the backend.
func TestDraftCalls(t *testing.T) {
	o := newOffice(t)
	token := o.login("loadbalancer")
	for _, call := range [][3]string{
		{http.MethodPost, "/api/v1/draft/services", `{"name":"VIP1"}`},
		{http.MethodPut, "/api/v1/draft/services/VIP1", `{"check.port":""}`},
		{http.MethodPost, "/api/v1/draft/services/VIP1/servers", `{"name":"HM1"}`},
		{http.MethodDelete, "/api/v1/draft/services/VIP1/servers/HM1", ""},
		{http.MethodPut, "/api/v1/draft/parts/cluster", `{"dead":"600ms"}`},
		{http.MethodPost, "/api/v1/draft/apply", `{"within":"60s"}`},
		{http.MethodPost, "/api/v1/draft/apply", `{}`},
		{http.MethodPost, "/api/v1/draft/keep", ""},
		{http.MethodPost, "/api/v1/history/7", ""},
	} {
		if code, p, _ := o.ask(call[0], call[1], token, call[2], "If-Match", `"t1"`); code != http.StatusNoContent {
			t.Errorf("%s %s: %d %+v", call[0], call[1], code, p)
		}
	}
	want := []string{
		"write {loadbalancer t1} {  } map[name:VIP1] true",
		"write {loadbalancer t1} {VIP1  } map[check.port:] false",
		"write {loadbalancer t1} {VIP1  } map[name:HM1] true",
		"write {loadbalancer t1} {VIP1 HM1 } map[] false",
		"write {loadbalancer t1} {  cluster} map[dead:600ms] false",
		"apply {loadbalancer t1} 1m0s", "apply {loadbalancer t1} 0s",
		"keep {loadbalancer t1}", "revert {loadbalancer t1} 7",
	}
	if diff := cmp.Diff(want, o.f.asked()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if code, _, _ := o.ask(http.MethodPut, api.PathDraft, token, "node:", "Content-Type", "application/yaml"); code != http.StatusNoContent || o.f.asked()[len(want)] != "restore {loadbalancer } node:" {
		t.Errorf("restored: %d %q", code, o.f.asked())
	}
	if code, _, _ := o.ask(http.MethodPut, api.PathDraft, token, "node:"); code != http.StatusUnsupportedMediaType {
		t.Errorf("a file that is said to be JSON: %d", code)
	}
	for body, field := range map[string]string{`{"within":"1s"}`: "within", `{"within":"x"}`: "within", `{"within":"9h"}`: "within"} {
		if code, p, _ := o.ask(http.MethodPost, api.PathApply, token, body); code != http.StatusUnprocessableEntity || p.Fields[field] == "" {
			t.Errorf("%s: %d %+v", body, code, p)
		}
	}
}
