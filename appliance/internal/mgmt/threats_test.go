package mgmt

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/appliance/api"
)

// TestSessionFixation: nobody gets a session by a token that somebody else has chosen, and
// a login gives another one each time.
func TestSessionFixation(t *testing.T) {
	o := newOffice(t)
	planted := strings.Repeat("A", 43)
	stolen := o.login("anna")
	seen := map[string]bool{planted: true, stolen: true}
	for _, with := range []string{planted, stolen, "", planted} {
		code, _, body := o.ask(http.MethodPost, api.PathSession, with, `{"user":"otto","password":"`+goodPassword+`"}`, "Cookie", "__Host-vosbed="+planted)
		var in api.LoggedIn
		if err := json.Unmarshal(body, &in); code != http.StatusOK || err != nil || seen[in.Token] {
			t.Fatalf("login with %q: %d, %v, a token that somebody knew", with, code, err)
		}
		seen[in.Token] = true
	}
	if code, _, _ := o.ask(http.MethodGet, api.PathSession, planted, ""); code != http.StatusUnauthorized {
		t.Errorf("the planted token is answered with %d", code)
	}
	_, _, body := o.ask(http.MethodGet, api.PathSession, stolen, "")
	var still api.Session
	if err := json.Unmarshal(body, &still); err != nil || still.User != "anna" {
		t.Errorf("another's login changed whose session it is: %+v, %v", still, err)
	}
}

// TestCookiesAreNoCredentials: the API knows no cookie, so that no page of another can call
// it by a browser that is logged in.
func TestCookiesAreNoCredentials(t *testing.T) {
	o := newOffice(t)
	token := o.login("loadbalancer")
	for _, row := range o.s.routes() {
		if row.open {
			continue
		}
		if code, _, _ := o.ask(row.method, concrete(row.path), "", "{}", "Cookie", "__Host-vosbed="+token); code != http.StatusUnauthorized {
			t.Errorf("%s %s by a cookie: %d", row.method, row.path, code)
		}
	}
}

// concrete is a path of a row.
func concrete(path string) string {
	return strings.NewReplacer("{service}", "s", "{server}", "r", "{part}", "node", "{id}", "x", "{name}", "nobody", "{number}", "7", "{source}", "ldap").Replace(path)
}

// TestLongBodies: what is longer than a body may be is refused by every row that reads one,
// before anything is done.
func TestLongBodies(t *testing.T) {
	f := &fake{status: sample()}
	o := &office{t, newServer(t, f), f}
	for _, a := range staff() {
		if err := o.s.opts.People.Accounts.Set(a.Name, a.Role, goodPassword); err != nil {
			t.Fatal(err)
		}
	}
	token := o.login("loadbalancer")
	bodyless := []string{api.PathReload, api.PathToken, api.PathKeep, api.PathUndo, api.PathPairBreak, api.PathRevision, api.PathUpdateRestart, api.PathUpdateBack, api.PathUpdate, api.PathUpdateOnline} // an update has its own test
	for _, row := range o.s.routes() {
		if row.method == http.MethodGet || row.method == http.MethodDelete || slices.Contains(bodyless, row.path) {
			continue
		}
		for name, body := range map[string]string{"text": `{"name":"` + strings.Repeat("x", 2*maxBody) + `"}`, "depth": strings.Repeat("[", maxBody-1), "blanks": strings.Repeat(" ", 2*maxBody)} {
			r := httptest.NewRequestWithContext(t.Context(), row.method, concrete(row.path), strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			if row.path == api.PathDraft {
				r.Header.Set("Content-Type", "application/yaml")
			}
			r.Header.Set("Authorization", "Bearer "+token)
			w := httptest.NewRecorder()
			guarded(o.s.throughWeb(o.s.handler)).ServeHTTP(w, r)
			if want := name != "depth"; want && w.Code != http.StatusRequestEntityTooLarge || w.Code/100 != 4 && row.path != api.PathDraft {
				t.Errorf("%s %s, %s: %d %.200s", row.method, row.path, name, w.Code, w.Body)
			}
		}
	}
}

// TestMistakesAtTheirField: what is wrong with a name is told of the name.
func TestMistakesAtTheirField(t *testing.T) {
	o := newOffice(t)
	token := o.login("loadbalancer")
	for path, body := range map[string]string{
		"/api/v1/accounts/1%20x":              `{"role":"admin","password":"four unrelated words"}`,
		"/api/v1/accounts/OTTO":               `{"role":"admin","password":"four unrelated words"}`,
		"/api/v1/accounts/%2E%2E":             `{"role":"admin","password":"four unrelated words"}`,
		"/api/v1/accounts/%22%3E%3Cscript%3E": `{"role":"admin","password":"four unrelated words"}`,
	} {
		if code, p, _ := o.ask(http.MethodPut, path, token, body); code != http.StatusUnprocessableEntity || p.Fields["name"] == "" {
			t.Errorf("%s: %d %+v", path, code, p)
		}
	}
	if code, p, _ := o.ask(http.MethodPut, "/api/v1/accounts/late", token, `{"role":"admin","password":"short"}`); code != http.StatusUnprocessableEntity || p.Fields["password"] == "" {
		t.Errorf("a short password: %d %+v", code, p)
	}
	if len(o.s.opts.People.Accounts.List()) != len(staff()) {
		t.Errorf("there are others now: %+v", o.s.opts.People.Accounts.List())
	}
}

// TestOnlyUTF8: other text would be kept as something else than was sent.
func TestOnlyUTF8(t *testing.T) {
	var got api.NewFallbackPage
	err := decodeJSON([]byte("{\"html\":\"<p>\n"+"gr\xfc\xdfe\"}"), &got)
	if err == nil || err.Error() != "body:2:3: the text is not UTF-8" {
		t.Errorf("got %v, %+v", err, got)
	}
}

// FuzzRequests: no request of a caller who may do everything breaks the server, and what a
// stranger sends reaches no backend.
func FuzzRequests(f *testing.F) {
	for _, s := range [][4]string{
		{"PUT", "/api/v1/services/a/servers/b/state", "", `{"state":"drain","deadline":"5m"}`},
		{"DELETE", "/api/v1/persistence", "client=::1%25x", ""},
		{"PUT", "/api/v1/draft/parts/node", "", `{"name":"x","authentication.source":"ldap"}`},
		{"POST", "/api/v1/restore", "", `{"file":"H4sI","passphrase":"x"}`},
		{"GET", "/api/v1/events", "after=-1", ""},
		{"POST", "/api/v1/history/99999999999999999999", "", "{}"},
		{"PUT", "/api/v1/accounts/%2e%2e", "", `{"role":"admin"}`},
		{"GET", "/api/v1/logs/stream", "level=x&after=9", ""},
		{"POST", "/api/v1/apply", "", `{"within":"-1ns"}`},
	} {
		f.Add(s[0], s[1], s[2], []byte(s[3]), "application/json", "\"t\"")
	}
	f.Fuzz(func(t *testing.T, method, path, query string, body []byte, kind, tag string) {
		if strings.ContainsAny(method, " \r\n\t") || method == "" || !strings.HasPrefix(path, "/") || strings.HasSuffix(path, "stream") || strings.HasSuffix(path, "events") {
			return
		}
		back := &fake{status: sample()}
		s := newServer(t, back)
		token, err := s.tokens.ReplaceFirst()
		if err != nil {
			t.Fatal(err)
		}
		for _, auth := range []string{"", "Bearer " + token} {
			r, err := http.NewRequestWithContext(t.Context(), method, "http://lbd"+path+"?"+query, strings.NewReader(string(body)))
			if err != nil {
				return
			}
			r.RequestURI = r.URL.RequestURI()
			r.Header.Set("Content-Type", kind)
			r.Header.Set("If-Match", tag)
			r.Header.Set(api.HeaderFrom, "192.0.2.9")
			if auth != "" {
				r.Header.Set("Authorization", auth)
			}
			w := httptest.NewRecorder()
			guarded(s.throughWeb(s.handler)).ServeHTTP(w, r)
			if w.Code == http.StatusInternalServerError {
				t.Fatalf("%s %s: %s", method, path, w.Body)
			}
			if auth == "" && len(back.asked()) > 0 {
				t.Fatalf("%s %s of a stranger reached the backend: %q", method, path, back.asked())
			}
		}
	})
}

// TestGuessingInASession: a session that was left open, or stolen, is no place to guess the
// password either.
func TestGuessingInASession(t *testing.T) {
	for _, call := range [][3]string{
		{http.MethodPost, api.PathConfirm, `{"password":"wrong"}`},
		{http.MethodPut, api.PathPassword, `{"old":"wrong","new":"four unrelated words"}`},
	} {
		o := newOffice(t)
		token := o.login("loadbalancer")
		code := 0
		for range 20 {
			if code, _, _ = o.ask(call[0], call[1], token, call[2]); code == http.StatusTooManyRequests {
				break
			}
		}
		if code != http.StatusTooManyRequests {
			t.Errorf("%s: guessing is answered with %d for ever", call[1], code)
		}
		if code, _, _ := o.ask(http.MethodPost, api.PathConfirm, token, `{"password":"`+goodPassword+`"}`); code != http.StatusTooManyRequests {
			t.Errorf("%s: the next guess is answered at once with %d", call[1], code)
		}
	}
}
