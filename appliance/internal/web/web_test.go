package web_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/web"
)

// ask makes a request with headers, as the person at the desk.
func (d *desk) ask(method, path string, header http.Header) *httptest.ResponseRecorder {
	d.t.Helper()
	r := httptest.NewRequestWithContext(d.t.Context(), method, "https://lb1:9443"+path, http.NoBody)
	maps.Copy(r.Header, header)
	if d.role != "" {
		r.AddCookie(&http.Cookie{Name: "__Host-vosbed", Value: d.role})
	}
	w := httptest.NewRecorder()
	d.http.ServeHTTP(w, r)
	return w
}

// concrete is a path that a pattern of the router matches.
func concrete(pattern string) string {
	return strings.NewReplacer("{$}", "", "{", "", "}", "").Replace(pattern)
}

// routesOf are those of a fresh server.
func routesOf(t *testing.T) (closed, open [][2]string) {
	t.Helper()
	s, err := web.New(web.Options{Logger: slog.New(slog.DiscardHandler), Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	return s.Routes()
}

func TestEveryRouteNeedsASession(t *testing.T) {
	closed, open := routesOf(t)
	if want := [][2]string{{"GET", "/lbadmin/login"}, {"POST", "/lbadmin/login"}, {"POST", "/lbadmin/logout"}}; !slices.Equal(open, want) {
		t.Errorf("open are %v, want %v", open, want)
	}
	d := sit(t, "")
	for _, row := range closed {
		res := d.ask(row[0], concrete(row[1]), nil)
		to := res.Header().Get("Location")
		switch {
		case row[0] == http.MethodGet && (res.Code != http.StatusSeeOther || !strings.HasPrefix(to, "/lbadmin/login")):
			t.Errorf("%v: %d to %q, want 303 to the login", row, res.Code, to)
		case row[0] != http.MethodGet && res.Code != http.StatusUnauthorized:
			t.Errorf("%v: %d, want 401", row, res.Code)
		}
	}
	if calls := d.lb.changes(); len(calls) > 0 {
		t.Errorf("the daemon was asked for %v", calls)
	}
}

func TestForeignPagesChangeNothing(t *testing.T) {
	closed, open := routesOf(t)
	d := sit(t, api.RoleAdmin)
	for _, row := range slices.Concat(closed, open) {
		if row[0] == http.MethodGet {
			continue
		}
		for name, header := range map[string]http.Header{
			"cross-site": {"Sec-Fetch-Site": {"cross-site"}},
			"same-site":  {"Sec-Fetch-Site": {"same-site"}},
			"origin":     {"Origin": {"https://evil.example"}},
			"null":       {"Origin": {"null"}},
		} {
			if res := d.ask(row[0], concrete(row[1]), header); res.Code != http.StatusForbidden {
				t.Errorf("%v, %s: %d, want 403", row, name, res.Code)
			}
		}
	}
	if calls := d.lb.changes(); len(calls) > 0 {
		t.Errorf("the daemon was asked for %v", calls)
	}
}

func TestHeadersOnEveryAnswer(t *testing.T) {
	d, nobody := sit(t, api.RoleAdmin), sit(t, "")
	foreign := http.Header{"Sec-Fetch-Site": {"cross-site"}}
	answers := map[string]*httptest.ResponseRecorder{
		"overview": d.ask("GET", "/lbadmin/", nil), "unknown page": d.ask("GET", "/lbadmin/none", nil),
		"login": nobody.ask("GET", "/lbadmin/login", nil), "no session": nobody.ask("GET", "/lbadmin/", nil),
		"foreign": d.ask("POST", "/lbadmin/server", foreign), "root": d.ask("GET", "/", nil),
		"no file": d.ask("GET", "/lbadmin/static/none.css", nil), "outside": d.ask("GET", "/etc/passwd", nil),
		"method": d.ask("DELETE", "/lbadmin/server", nil),
	}
	for name, res := range answers {
		csp := res.Header().Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src 'none';") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", name, csp)
		}
		if res.Header().Get("X-Content-Type-Options") != "nosniff" || res.Header().Get("Cross-Origin-Opener-Policy") != "same-origin" || res.Header().Get("Referrer-Policy") == "" {
			t.Errorf("%s: headers %v", name, res.Header())
		}
		if res.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: may be stored: %q", name, res.Header().Get("Cache-Control"))
		}
	}
}

func TestLocal(t *testing.T) {
	for next, want := range map[string]string{
		"":                                  "/lbadmin/",
		"/lbadmin/":                         "/lbadmin/",
		"/lbadmin/check?service=a&server=b": "/lbadmin/check?service=a&server=b",
		"/lbadmin/x#part":                   "/lbadmin/x",
		"/other":                            "/lbadmin/",
		"//evil.example/lbadmin/":           "/lbadmin/",
		"https://evil.example/lbadmin/":     "/lbadmin/",
		"https:/lbadmin/":                   "/lbadmin/",
		`/\evil.example/lbadmin/`:           "/lbadmin/",
		`/lbadmin/\evil.example`:            "/lbadmin/",
		"/lbadmin/../../x":                  "/lbadmin/",
		"/lbadmin/%2e%2e/x":                 "/lbadmin/",
		"/lbadmin/\r\nSet-Cookie: a=b":      "/lbadmin/",
		"javascript:alert(1)":               "/lbadmin/",
		"/lbadmin":                          "/lbadmin/",
		"user@/lbadmin/":                    "/lbadmin/",
		"%zz":                               "/lbadmin/",
	} {
		if got := web.Local(next); got != want {
			t.Errorf("local(%q) = %q, want %q", next, got, want)
		}
	}
}

const attack = `"><script>alert(1)</script><img src=x onerror=alert(2)>`

// poison puts the attack into every text of a value.
func poison(v reflect.Value) {
	kind := v.Kind()
	switch {
	case kind == reflect.Pointer && !v.IsNil():
		poison(v.Elem())
	case kind == reflect.String:
		v.SetString(attack)
	case kind == reflect.Map && v.Type().Elem().Kind() == reflect.String:
		for _, key := range v.MapKeys() {
			if k := key.String(); k != "layer" { // which chooses the page
				v.SetMapIndex(key, reflect.ValueOf(attack))
			}
		}
	case kind == reflect.Slice:
		for i := range v.Len() {
			poison(v.Index(i))
		}
	case kind == reflect.Struct && v.Type().PkgPath() != "time":
		for _, field := range v.Fields() {
			poison(field)
		}
	}
}

// poisoned is a status with something in every list and the attack in every text.
func poisoned() api.Status {
	at := noon()
	verdict := api.Verdict{At: at, Status: 500}
	server := api.Server{Last: &verdict, History: []api.Verdict{verdict}, Deadline: &at}
	st := api.Status{
		At: at, Pair: api.Pair{PeerAlive: true, Paths: []api.Path{{}}, Pings: []api.Ping{{}}},
		Services: []api.Service{{Servers: []api.Server{server}}}, Conflicts: []api.Conflict{{}}, Problems: []string{""},
	}
	poison(reflect.ValueOf(&st).Elem())
	st.Dataplane.Drops = map[string]api.Counter{attack: {Packets: 1}}
	st.Proxy.Refused = map[string]uint64{attack: 1}
	return st
}

func TestTextsAreNeverMarkup(t *testing.T) {
	d := sit(t, api.RoleAdmin)
	draft := api.Draft{Changes: []api.Change{{}}, Mistakes: []api.Mistake{{}}, Trial: &api.Trial{}}
	poison(reflect.ValueOf(&draft).Elem())
	d.lb.answer("GET "+api.PathStatus, poisoned())
	d.lb.answer("GET "+api.PathDraft, draft)
	one := url.Values{"service": {attack}, "server": {attack}}
	for _, path := range []string{"/lbadmin/", "/lbadmin/?" + url.Values{"sort": {attack}, "open": {attack}}.Encode(), "/lbadmin/check?" + one.Encode()} {
		got := d.open(path)
		if got.Status != http.StatusOK || !strings.Contains(text(got.doc), "alert(1)") {
			t.Fatalf("%s: %d, the attack is not on the page", path, got.Status)
		}
		inert(t, path, got.doc)
	}
	inert(t, "login", sit(t, "").open("/lbadmin/login?"+url.Values{"next": {"/lbadmin/" + attack}, "user": {attack}}.Encode()).doc)
}

// inert fails the test if a page runs something, or looks like something, that is not
// its own.
func inert(t *testing.T, where string, doc *html.Node) {
	t.Helper()
	for _, n := range all(doc, func(*html.Node) bool { return true }) {
		if n.Data == "img" || n.Data == "style" || n.Data == "script" && !strings.HasPrefix(attr(n, "src"), "/lbadmin/static/") {
			t.Errorf("%s: there is a <%s>", where, n.Data)
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || strings.HasPrefix(a.Val, "javascript:") {
				t.Errorf("%s: <%s %s=%q>", where, n.Data, a.Key, a.Val)
			}
		}
	}
}

// gate is the daemon at the moment of a login: it answers with a token or a refusal, and
// keeps the sessions that were ended.
type gate struct {
	refusal api.Problem // zero = it lets in
	asked   api.Login
	ended   []string
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodDelete:
		g.ended = append(g.ended, r.Header.Get("Authorization"))
		if r.Header.Get("Authorization") == "Bearer old" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		refuse(w, api.Problem{Status: http.StatusUnauthorized})
	case g.refusal.Status != 0:
		refuse(w, g.refusal)
	default:
		body, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(body, &g.asked)
		reply(w, api.LoggedIn{Token: "fresh"})
	}
}

// knock posts the form of the login, or another one, with the cookie of a session.
func (g *gate) knock(t *testing.T, path, token string, form url.Values) *httptest.ResponseRecorder {
	t.Helper()
	srv := httptest.NewUnstartedServer(g)
	srv.Listener = listen(t)
	srv.Start()
	client := api.NewUnix(srv.Listener.Addr().String())
	defer srv.Close()
	defer client.Close()
	s, err := web.New(web.Options{API: client, Logger: slog.New(slog.DiscardHandler), Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "https://lb1:9443"+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if token != "" {
		r.AddCookie(&http.Cookie{Name: "__Host-vosbed", Value: token})
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

func TestLogin(t *testing.T) {
	g := &gate{}
	res := g.knock(t, "/lbadmin/login", "", url.Values{"user": {" loadbalancer "}, "password": {" with blanks "}, "next": {"/lbadmin/l4-services"}})
	if want := (api.Login{User: "loadbalancer", Password: " with blanks "}); g.asked != want {
		t.Errorf("asked with %v, want %v", g.asked, want)
	}
	if res.Code != http.StatusSeeOther || res.Header().Get("Location") != "/lbadmin/l4-services" {
		t.Errorf("%d to %q", res.Code, res.Header().Get("Location"))
	}
	if got, want := res.Header().Get("Set-Cookie"), "__Host-vosbed=fresh; Path=/; HttpOnly; Secure; SameSite=Strict"; got != want {
		t.Errorf("cookie %q, want %q", got, want)
	}
	if len(g.ended) > 0 {
		t.Errorf("ended %v, though there was no session", g.ended)
	}
}

func TestLoginEndsTheSessionBefore(t *testing.T) {
	g := &gate{}
	g.knock(t, "/lbadmin/login", "old", url.Values{"user": {"a"}, "password": {"b"}})
	if !slices.Equal(g.ended, []string{"Bearer old"}) {
		t.Errorf("ended %v", g.ended)
	}
}

func TestLoginIsRefused(t *testing.T) {
	for status, detail := range map[int]string{401: "the user name or the password is wrong", 409: "no password is set yet", 429: "too many attempts: wait 30 seconds"} {
		g := &gate{refusal: api.Problem{Status: status, Detail: detail}}
		res := g.knock(t, "/lbadmin/login", "", url.Values{"user": {"anna"}, "password": {"sesame"}, "next": {"/lbadmin/audit"}})
		page := res.Body.String()
		if res.Code != status || !strings.Contains(page, strings.ToUpper(detail[:1])+detail[1:]+".") {
			t.Errorf("%d: %d, %s", status, res.Code, page)
		}
		if !strings.Contains(page, `value="anna"`) || !strings.Contains(page, `value="/lbadmin/audit"`) || strings.Contains(page, "sesame") {
			t.Errorf("%d: the page keeps the wrong things: %s", status, page)
		}
		if res.Header().Get("Set-Cookie") != "" {
			t.Errorf("%d: a cookie was set", status)
		}
	}
}

func TestLogout(t *testing.T) {
	for _, token := range []string{"old", "of a session that has ended", ""} {
		res := (&gate{}).knock(t, "/lbadmin/logout", token, nil)
		if res.Code != http.StatusSeeOther || res.Header().Get("Location") != "/lbadmin/login" || !strings.Contains(res.Header().Get("Set-Cookie"), "Max-Age=0") {
			t.Errorf("%q: %d, %v", token, res.Code, res.Header())
		}
	}
}

// listen opens a unix socket of the test.
func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	return ln
}
