package web_test

import (
	"bytes"
	"context"
	"maps"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	pathpkg "path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/web"
)

// everyPage are all pages of the router that an admin can open, with what they are about.
func everyPage(t *testing.T) []string {
	t.Helper()
	about := map[string]string{
		"/lbadmin/service":     "?name=Harmonic_Traffic",
		"/lbadmin/service/new": "?layer=7",
		"/lbadmin/real":        "?service=Harmonic_Traffic&name=HT1",
		"/lbadmin/real/new":    "?service=Harmonic_Traffic",
		"/lbadmin/check":       "?" + url.Values{"service": {attack}, "server": {attack}}.Encode(),
		"/lbadmin/persistence": "?" + url.Values{"client": {attack}, "service": {attack}}.Encode(),
		"/lbadmin/audit":       "?" + url.Values{"text": {"script"}}.Encode(),
		"/lbadmin/logs":        "?" + url.Values{"text": {"script"}}.Encode(),
	}
	closed, open := routesOf(t)
	var out []string
	for _, row := range slices.Concat(closed, open) {
		path := strings.NewReplacer("/number", "/1", "/files/file", "/files/layer4-status.csv").Replace(concrete(row[1]))
		endless := path == "/lbadmin/events" || path == "/lbadmin/logs/stream" // TestEventsAreWellFormed
		if row[0] == http.MethodGet && !endless {
			out = append(out, path+about[path])
		}
	}
	return out
}

// poisonedAnswers is the guide's deployment with the attack in every text that the daemon
// answers, but for what chooses the page.
func poisonedAnswers() map[string]any {
	out := deployment()
	out["GET "+api.PathStatus] = poisoned()
	out["GET "+api.PathLogs] = []api.LogLine{{ID: 7, At: noon(), Level: "warn"}}
	out["GET "+api.PathDraft] = api.Draft{Tag: "t", Changes: []api.Change{{}}, Mistakes: []api.Mistake{{}}, Trial: &api.Trial{}, Overtaken: "x"}
	for _, name := range []string{api.ReportLayer4, api.ReportLayer4Rate, api.ReportLayer7, api.ReportPersistence} {
		out["GET "+api.PathReports+"/"+name] = api.Report{Notes: []string{""}, Columns: []api.ReportColumn{{}}, Rows: []map[string]any{{attack: attack}}}
	}
	out["GET "+api.PathStats] = wave()
	for call, with := range out {
		switch with := with.(type) {
		case []byte:
			out[call] = []byte(attack)
		case api.Status, api.Stats:
		default:
			v := reflect.New(reflect.TypeOf(with)).Elem()
			v.Set(reflect.ValueOf(with))
			poison(v)
			out[call] = v.Interface()
		}
	}
	return out
}

// TestEveryPageIsText: whatever the daemon or a person says, on every page of the router,
// is text.
func TestEveryPageIsText(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	d.lb.mu.Lock()
	d.lb.answers = poisonedAnswers()
	d.lb.mu.Unlock()
	shown := 0
	for _, path := range everyPage(t) {
		p := d.open(path)
		kind := p.Header.Get("Content-Type")
		switch {
		case p.Status != http.StatusOK:
			t.Errorf("%s: %d %s", path, p.Status, text(p.doc))
		case p.Header.Get("Content-Disposition") != "" || kind == "application/json":
		case strings.HasSuffix(path, "/preview"):
			if !strings.Contains(p.Header.Get("Content-Security-Policy"), "sandbox") {
				t.Errorf("%s: the page of a person may run: %v", path, p.Header)
			}
		case !strings.HasPrefix(kind, "text/html"):
			t.Errorf("%s is %q", path, kind)
		default:
			inert(t, path, p.doc)
			wellFormed(t, p)
			if strings.Contains(text(p.doc), "alert(1)") {
				shown++
			}
		}
	}
	if shown < 20 {
		t.Errorf("the attack is on %d pages only: is it in the answers?", shown)
	}
}

// filled is a form of a page as a person fills it in.
type filled struct {
	page, action string
	files        bool
	values       url.Values
	fields       []*html.Node // that a person sees
}

// visibleForms are the forms of a page that ask a person for something.
func (g *got) visibleForms(page string) []filled {
	var out []filled
	for _, n := range all(g.doc, func(n *html.Node) bool { return n.Data == "form" && attr(n, "method") == "post" }) {
		f := filled{page: page, action: attr(n, "action"), files: attr(n, "enctype") != "", values: url.Values{}}
		for _, c := range all(n, func(c *html.Node) bool { return attr(c, "name") != "" && c.Data != "button" }) {
			name, kind := attr(c, "name"), attr(c, "type")
			switch {
			case kind == "hidden":
				f.values.Set(name, attr(c, "value"))
				continue
			case c.Data == "select":
				f.values.Set(name, chosen(c))
			case name == "confirm-password":
				f.values.Set(name, ownPassword)
				continue // refused by the daemon itself, not by the call
			case kind == "checkbox":
				f.values.Set(name, "true")
			case kind == "password":
				f.values.Set(name, "four unrelated words")
			default:
				f.values.Set(name, attack)
			}
			f.fields = append(f.fields, c)
		}
		if len(f.fields) > 0 {
			out = append(out, f)
		}
	}
	return out
}

// submit sends a form as a browser does.
func (d *desk) submit(f filled) *got {
	d.t.Helper()
	if !f.files {
		return d.send(f.action, f.values)
	}
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	shown := map[string]bool{}
	for _, c := range f.fields {
		shown[attr(c, "name")] = true
	}
	for name := range f.values { // hidden ones, and the person's own password, stand first
		if !shown[name] {
			_ = m.WriteField(name, f.values.Get(name))
		}
	}
	for _, c := range f.fields {
		name := attr(c, "name")
		if attr(c, "type") != "file" {
			_ = m.WriteField(name, f.values.Get(name))
			continue
		}
		w, err := m.CreateFormFile(name, "../../"+attack)
		if err != nil {
			d.t.Fatal(err)
		}
		_, _ = w.Write([]byte("\x1f\x8b" + attack))
	}
	_ = m.Close()
	return d.raw(f.action, m.FormDataContentType(), b.String())
}

// raw posts a body as it is.
func (d *desk) raw(path, kind, body string) *got {
	d.t.Helper()
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "https://lb1:9443"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", kind)
	r.AddCookie(&http.Cookie{Name: "__Host-vosbed", Value: d.role})
	w := httptest.NewRecorder()
	d.http.ServeHTTP(w, r)
	doc, err := html.Parse(strings.NewReader(w.Body.String()))
	if err != nil {
		d.t.Fatal(err)
	}
	return &got{d.t, w.Code, w.Header(), w.Body.String(), doc}
}

// everyForm are all forms of all pages.
func everyForm(t *testing.T) []filled {
	t.Helper()
	d := sit(t, api.RoleAdmin)
	d.lb.answer("GET "+api.PathStatus, small())
	d.lb.answer("GET "+api.PathLogs, []api.LogLine{})
	var out []filled
	seen := map[string]bool{}
	keep := func(forms []filled) {
		for _, f := range forms {
			if !seen[f.action] {
				seen[f.action] = true
				out = append(out, f)
			}
		}
	}
	for _, page := range everyPage(t) {
		keep(d.open(page).visibleForms(page))
	}
	keep(d.send("/lbadmin/availability/look", url.Values{"address": {"192.168.94.102"}}).visibleForms("/lbadmin/availability"))
	return out
}

// sentAs are the names of fields in the API, where a page has another one: two forms of a
// page cannot have controls of one name.
func sentAs(name string) string {
	if other, ok := map[string]string{"own-password": "new", "source-password": "secret", "user-password": "password"}[name]; ok {
		return other
	}
	return name
}

// onlyHere are fields that the daemon never hears of, or never refuses.
func onlyHere(action, name string) bool {
	return name == "again" || strings.HasPrefix(action, "/lbadmin/login")
}

// TestEveryFormSaysWhatIsWrong goes through every control of every form: a value that is
// refused has its message at the control, the rest of the input is kept, no password comes
// back, and one call at most was made.
func TestEveryFormSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	forms := everyForm(t)
	if len(forms) < 15 {
		t.Errorf("there are %d forms: did the pages come?", len(forms))
	}
	for _, f := range forms {
		t.Run(f.action, func(t *testing.T) {
			t.Parallel()
			for _, c := range f.fields {
				name := attr(c, "name")
				if onlyHere(f.action, name) {
					continue
				}
				d := sit(t, api.RoleAdmin)
				d.lb.answer("GET "+api.PathStatus, small())
				d.lb.refusal = &api.Problem{Status: 422, Detail: "some settings are not right", Fields: map[string]string{sentAs(name): "is wrong " + attack}}
				p := d.submit(f)
				if p.Status != http.StatusUnprocessableEntity {
					t.Errorf("%s: %d %s", name, p.Status, text(p.doc))
					continue
				}
				p.saysWrong(name)
				p.keeps(f, name)
				inert(t, f.action, p.doc)
				wellFormed(t, p)
				if n := len(d.lb.changes()); n > 1 {
					t.Errorf("%s: %d calls were made", name, n)
				}
			}
		})
	}
}

// saysWrong fails the test unless the control of a name is marked and described by what is
// wrong with it.
func (g *got) saysWrong(name string) {
	g.t.Helper()
	wrong := all(g.doc, func(n *html.Node) bool { return attr(n, "name") == name && attr(n, "aria-invalid") == "true" })
	if len(wrong) != 1 {
		g.t.Errorf("%s: %d controls are marked: %s", name, len(wrong), text(g.doc))
		return
	}
	for id := range strings.FieldsSeq(attr(wrong[0], "aria-describedby")) {
		if n := g.byID(id); n != nil && strings.Contains(text(n), "is wrong") {
			return
		}
	}
	g.t.Errorf("%s: the message is not at the control", name)
}

// keeps fails the test unless the input of a form is still there, but for its secrets and
// files, which browsers keep.
func (g *got) keeps(f filled, name string) {
	g.t.Helper()
	again := g.visibleForms(f.page)
	i := slices.IndexFunc(again, func(a filled) bool { return a.action == f.action })
	if i < 0 {
		g.t.Errorf("%s: the form is gone", name)
		return
	}
	for _, c := range again[i].fields {
		key, kind := attr(c, "name"), attr(c, "type")
		value := attr(c, "value")
		if c.Data == "textarea" {
			value = strings.TrimPrefix(rawText(c), "\n")
		}
		switch {
		case kind == "password" && attr(c, "value") != "":
			g.t.Errorf("%s: the password came back in %s", name, key)
		case kind == "password", kind == "file", kind == "checkbox", c.Data == "select":
		case value != f.values.Get(key):
			g.t.Errorf("%s: the input of %s is %q, and was %q", name, key, value, f.values.Get(key))
		}
	}
}

func rawText(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	return b.String()
}

// TestLongForms: what is longer than a form may be is refused by every route, and nothing
// is changed.
func TestLongForms(t *testing.T) {
	t.Parallel()
	closed, open := routesOf(t)
	for _, row := range slices.Concat(closed, open) {
		if row[0] != http.MethodPost || row[1] == "/lbadmin/logout" {
			continue
		}
		d := sit(t, api.RoleAdmin)
		long := strings.Repeat("x", 2<<20)
		var b bytes.Buffer
		m := multipart.NewWriter(&b)
		_ = m.WriteField("name", long)
		_ = m.Close()
		for kind, body := range map[string]string{"application/x-www-form-urlencoded": "name=" + long, m.FormDataContentType(): b.String()} {
			p := d.raw(concrete(row[1]), kind, body)
			if p.Status/100 == 5 {
				t.Errorf("%s, %s: %d", row[1], kind, p.Status)
			}
			if strings.HasPrefix(kind, "application") && p.Status != http.StatusBadRequest {
				t.Errorf("%s: %d, want 400", row[1], p.Status)
			}
		}
		for _, c := range d.lb.changes() {
			if strings.Contains(c.Body, "xxxx") || c.Body == "" && c.Method == http.MethodPut {
				t.Errorf("%s: the daemon got %s %s", row[1], c.Method, c.Path)
			}
		}
	}
}

// TestNamesThatArePaths: a name in a form is a name for the daemon too, never another call.
func TestNamesThatArePaths(t *testing.T) {
	t.Parallel()
	for _, name := range []string{".", "..", "../sessions", "../../draft", "a/../../draft", "%2e%2e", "x?y", "x#y", "a\r\nX: y", "a\x00"} {
		for path, form := range map[string]url.Values{
			"/lbadmin/passwords/account": {"name": {name}, "role": {"admin"}, "password": {"four unrelated words"}, "confirm-password": {ownPassword}},
			"/lbadmin/passwords/remove":  {"name": {name}},
			"/lbadmin/tokens/revoke":     {"name": {name}},
			"/lbadmin/sessions/end":      {"id": {name}},
			"/lbadmin/service/delete":    {"name": {name}, "tag": {"t1"}},
			"/lbadmin/history/revert":    {"number": {name}, "tag": {"t1"}},
		} {
			d := sit(t, api.RoleAdmin)
			d.lb.confirmed = true
			d.send(path, form)
			for _, c := range d.lb.changes() {
				last := c.Path[strings.LastIndex(c.Path, "/")+1:]
				if got, err := url.PathUnescape(last); err != nil || got != strings.TrimSpace(name) || pathpkg.Clean(c.Path) != c.Path { // servers clean paths
					t.Errorf("%s with %q called %s %s", path, name, c.Method, c.Path)
				}
			}
			if len(d.lb.changes()) != 1 {
				t.Errorf("%s with %q made %d calls", path, name, len(d.lb.changes()))
			}
		}
	}
}

// FuzzLocal: no next page is anywhere else than below the root of this very server.
func FuzzLocal(f *testing.F) {
	for _, s := range []string{"/lbadmin/", "//evil.example/lbadmin/", "/lbadmin/..;/", "/lbadmin/\\x", "/lbadmin/%0d%0aX:", "https:/lbadmin/", "/lbadmin/?a=//b", "/lbadmin//evil.example"} {
		f.Add(s)
	}
	base, err := url.Parse("https://lb1:9443/lbadmin/login")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, next string) {
		to, err := base.Parse(web.Local(next))
		if err != nil || to.Host != base.Host || to.Scheme != "https" || !strings.HasPrefix(to.Path, web.Root) || strings.ContainsAny(web.Local(next), "\r\n\\") {
			t.Fatalf("%q leads to %q, %v", next, to, err)
		}
	})
}

// FuzzEvent: what a region shows ends no event and begins no other one.
func FuzzEvent(f *testing.F) {
	for _, s := range []string{"", "<p>a</p>\n", "a\n\nevent: bye\ndata: x\n\n", "a\r\revent: bye\r", " \n \n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, html string) {
		event := web.Event("rows", html)
		lines := strings.FieldsFunc(strings.TrimSuffix(event, "\n\n"), func(c rune) bool { return c == '\n' || c == '\r' })
		if !strings.HasSuffix(event, "\n\n") || strings.Count(event, "\n\n") != 1 || len(lines) < 2 || lines[0] != "event: rows" {
			t.Fatalf("%q becomes %q", html, event)
		}
		for _, line := range lines[1:] {
			if !strings.HasPrefix(line, "data: ") {
				t.Fatalf("%q becomes %q", html, event)
			}
		}
	})
}

// FuzzForms: no form, whatever is in it, breaks a page.
func FuzzForms(f *testing.F) {
	pages, err := web.New(web.Options{})
	if err != nil {
		f.Fatal(err)
	}
	closed, _ := pages.Routes()
	posts := slices.DeleteFunc(closed, func(row [2]string) bool { return row[0] != http.MethodPost })
	for i := range posts {
		f.Add(uint8(i), "application/x-www-form-urlencoded", "name=a&tag=t&back=//x&confirm-action=/lbadmin/restart&layer=9")
	}
	f.Add(uint8(3), "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n\x1f\x8b\r\n--x--")
	f.Add(uint8(3), "multipart/form-data", "")
	f.Fuzz(func(t *testing.T, which uint8, kind, body string) {
		d := sit(t, api.RoleAdmin)
		d.lb.confirmed = true
		maps.Copy(d.lb.answers, map[string]any{"POST " + api.PathTokens: api.Token{Token: "x"}, "PUT " + api.PathCertificate: api.Certificate{}, "DELETE " + api.PathCertificate: api.Certificate{}})
		row := posts[int(which)%len(posts)]
		if p := d.raw(concrete(row[1]), kind, body); p.Status/100 == 5 {
			t.Fatalf("%s: %d %s", row[1], p.Status, text(p.doc))
		}
	})
}

// TestNoWayOut: no path leads out of the files that are built in, and no name in a path is
// one of a file.
func TestNoWayOut(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	for _, path := range []string{
		"/lbadmin/static/../../../../etc/passwd", "/lbadmin/static/..%2f..%2f..%2fetc%2fpasswd", "/lbadmin/static/%2e%2e/%2e%2e/etc/passwd", "/lbadmin/static//etc/passwd",
		"/lbadmin/static/..\\..\\etc\\passwd", "/lbadmin/static/", "/lbadmin/static/app.css%00.js", "/lbadmin/history/..%2f..%2f..%2fetc%2fpasswd", "/lbadmin/history/%2e%2e/file",
		"/lbadmin/reports/files/..%2f..%2fetc%2fpasswd", "/lbadmin/reports/files/..%2fx.csv", "/lbadmin/templates/_frame.html", "/etc/passwd", "//etc/passwd", "/lbadmin/%2e%2e/%2e%2e/etc/passwd",
	} {
		p := d.open(path)
		to := p.Header.Get("Location")
		if p.Status != http.StatusNotFound && (p.Status/100 != 3 || strings.HasPrefix(to, "//") || strings.Contains(to, "..")) {
			t.Errorf("%s: %d to %q", path, p.Status, to)
		}
		if strings.Contains(p.Body, "root:") || strings.Contains(p.Body, "{{") {
			t.Errorf("%s: %s", path, p.Body)
		}
	}
}

// TestNoHeaderOfAPerson: what a person writes becomes no header of an answer, and none of a
// call of the daemon.
func TestNoHeaderOfAPerson(t *testing.T) {
	t.Parallel()
	const evil = "/lbadmin/\r\nSet-Cookie: __Host-vosbed=planted\r\nX-Evil: 1"
	d := sit(t, api.RoleAdmin)
	d.lb.confirmed = true
	for _, f := range everyForm(t) {
		form := maps.Clone(f.values)
		for key := range form {
			form.Set(key, evil)
		}
		for _, key := range []string{"next", "back", "tag", "name", "confirm-action"} {
			form.Set(key, evil)
		}
		for _, action := range []string{f.action, "/lbadmin/persistence/clear", "/lbadmin/commit/apply", "/lbadmin/server", "/lbadmin/logout"} {
			p := d.send(action, form)
			for name, values := range p.Header {
				for _, v := range values {
					if strings.ContainsAny(v, "\r\n") || strings.Contains(v, "planted") || name == "X-Evil" {
						t.Errorf("%s: %s: %q", action, name, v)
					}
				}
			}
		}
	}
	for _, c := range d.lb.changes() {
		if strings.Contains(c.Tag, "planted") {
			t.Errorf("%s %s came with the tag %q", c.Method, c.Path, c.Tag)
		}
	}
}
