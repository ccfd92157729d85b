package web_test

import (
	"bytes"
	"context"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/vosbed/vosbed/appliance/api"
)

const securityAt = "/lbadmin/security"

// certify posts a certificate as a browser does.
func (d *desk) certify(parts map[string]string) *got {
	d.t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	for name, text := range parts {
		var w interface{ Write([]byte) (int, error) }
		var err error
		if name == "confirm-password" {
			w, err = m.CreateFormField(name)
		} else {
			w, err = m.CreateFormFile(name, name+".pem")
		}
		if err != nil {
			d.t.Fatal(err)
		}
		_, _ = w.Write([]byte(text))
	}
	_ = m.Close()
	req := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "https://lb1:9443"+securityAt+"/certificate", &b)
	req.Header.Set("Content-Type", m.FormDataContentType())
	req.AddCookie(&http.Cookie{Name: "__Host-vosbed", Value: d.role})
	w := httptest.NewRecorder()
	d.http.ServeHTTP(w, req)
	doc, err := html.Parse(strings.NewReader(w.Body.String()))
	if err != nil {
		d.t.Fatal(err)
	}
	return &got{d.t, w.Code, w.Header(), w.Body.String(), doc}
}

func TestUploadACertificate(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	d.open(securityAt).want(200, "Security", "CN=lb1", "AB:CD", "ECDSA, P-256", "Expires within 30 days", "a warning", "Use the self-made one again")
	p := d.certify(map[string]string{"confirm-password": ownPassword}).want(422, "Nothing was changed", "Certificate : choose a file first", "Private key : choose a file first")
	wellFormed(t, p)
	const secret = "TOP-SECRET-KEY"
	d.certify(map[string]string{"chain": "C", "key": secret}).want(403).without(secret)
	d.certify(map[string]string{"chain": "C", "key": secret, "confirm-password": "wrong"}).want(422, "the password is wrong").without(secret)
	if n := len(d.lb.changes()); n != 1 { // the one that was sent away
		t.Errorf("%d calls of forms that were refused", n)
	}
	d.lb.answer("PUT "+api.PathCertificate, api.Problem{Status: 422, Detail: "no", Fields: map[string]string{"key": "is another's " + nasty}})
	p = d.certify(map[string]string{"chain": "C", "key": secret, "confirm-password": ownPassword}).want(422, "is another's "+nasty).without(secret)
	wellFormed(t, p)
	d.lb.answer("PUT "+api.PathCertificate, api.Certificate{Fingerprint: "EF"})
	d.certify(map[string]string{"chain": "C", "key": secret, "confirm-password": ownPassword}).leadsTo(securityAt)
	d.lb.answer("DELETE "+api.PathCertificate, api.Certificate{})
	d.send(securityAt+"/selfmade", url.Values{}).leadsTo(securityAt)
	d.last("DELETE", api.PathCertificate)
	d.certify(map[string]string{"chain": strings.Repeat("x", 2<<20), "key": "k"}).want(422, "it may be longer than 1 MB")
	if p := sit(t, api.RoleAuditor).open(securityAt).want(200, "AB:CD", "Service Socket Addresses", "WebUI – HTTP off").without("Upload certificate"); p.has("Update") {
		t.Error("an auditor may update the addresses")
	}
}

func TestNastyCertificate(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	d.lb.answer("GET "+api.PathCertificate, api.Certificate{Subject: nasty, Issuer: nasty, Names: []string{nasty}, KeyType: nasty, Fingerprint: nasty, Pin: nasty, Warnings: []string{nasty}})
	wellFormed(t, d.open(securityAt).want(200, nasty, "Expired"))
}

func TestSocketAddresses(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	const action = securityAt + "/sockets"
	form := d.open(securityAt).form(action)
	d.send(action, fill(form, map[string]string{"management": "192.168.94.101:9444", "management_http": "192.168.94.101"})).leadsTo(securityAt)
	has(t, d.last("PUT", "/api/v1/draft/parts/node"), api.Fields{"management": "192.168.94.101:9444", "management_http": "192.168.94.101", "fallback": ""})
	calls := len(d.lb.changes())
	d.send(action, fill(form, map[string]string{"management": " "})).want(422, "the WebUI needs an address")
	if len(d.lb.changes()) != calls {
		t.Error("nobody could have come back")
	}
	d.lb.answer("PUT /api/v1/draft/parts/node", api.Problem{Status: 422, Detail: "no", Fields: map[string]string{"management[0]": "is bad " + nasty, "management[1]": "is worse"}})
	p := d.send(action, fill(form, map[string]string{"management": nasty, "fallback": "x"})).want(422, "Nothing was changed", "is bad "+nasty+"; is worse")
	wellFormed(t, p)
	if again := p.form(action); again.Get("management") != nasty || again.Get("fallback") != "x" {
		t.Errorf("the input is gone: %v", again)
	}
}

// TestTheDoorMovesOnTrialOnly: there is no button that locks everybody out, and who tries
// it is told where the WebUI went.
func TestTheDoorMovesOnTrialOnly(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	d.lb.answer("GET "+api.PathDraft, api.Draft{Tag: "t1", TrialOnly: true, Changes: []api.Change{{Text: "node: management", Path: "node/management"}}})
	d.lb.answer("GET /api/v1/draft/parts/node", api.PartDraft{Tag: "t1", Fields: api.Fields{"management": "192.168.94.101:9444,[::1]:9443"}})
	p := d.open(securityAt).want(200)
	for _, word := range []string{"Apply changes", "Restart Heartbeat", "Reload HAProxy"} {
		if p.has(word) {
			t.Errorf("there is %q", word)
		}
	}
	try := func(local string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, net.Addr(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(local)))),
			http.MethodPost, "https://lb1:9443/lbadmin/commit/try", strings.NewReader(p.form("/lbadmin/commit/try").Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.AddCookie(&http.Cookie{Name: "__Host-vosbed", Value: d.role})
		w := httptest.NewRecorder()
		d.http.ServeHTTP(w, r)
		return w
	}
	if w := try("192.168.94.101:9443"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `href="https://192.168.94.101:9444/lbadmin/"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := try("192.168.94.101:9444"); w.Code != http.StatusSeeOther {
		t.Errorf("it stays, and still: %d", w.Code)
	}
}

func TestFallbackPage(t *testing.T) {
	t.Parallel()
	const at = "/lbadmin/fallback"
	d := sit(t, api.RoleAdmin)
	d.lb.answer("GET "+api.PathFallback, api.FallbackPage{HTML: "\n</textarea>" + nasty, Own: true})
	p := d.open(at).want(200, "Fallback Page", "</textarea>"+nasty, "Use the built-in page again")
	wellFormed(t, p)
	d.send(at, url.Values{"html": {"<p>a\r\nb"}}).leadsTo(at)
	if c := d.lb.changes(); !strings.Contains(c[len(c)-1].Body, `a\nb`) {
		t.Errorf("sent %s", c[len(c)-1].Body)
	}
	d.lb.answer("PUT "+api.PathFallback, api.Problem{Status: 422, Detail: "no", Fields: map[string]string{"html": "is bad " + nasty}})
	p = d.send(at, url.Values{"html": {"kept " + nasty}}).want(422, "Nothing was changed", "is bad "+nasty, "kept "+nasty)
	wellFormed(t, p)
	d.send(at+"/reset", url.Values{}).leadsTo(at)
	d.last("DELETE", api.PathFallback)
	shown := d.open(at + "/preview")
	if shown.Header.Get("Content-Security-Policy") != api.FallbackPolicy || !strings.Contains(shown.Body, nasty) {
		t.Errorf("preview: %v %s", shown.Header, shown.Body)
	}
	if p := sit(t, api.RoleAuditor).open(at).want(200, "<h1>Later</h1>").without("Use the built-in"); p.has("Update") {
		t.Error("an auditor may update the page")
	}
}

func TestOverviewTellsOfTheFallback(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAuditor)
	st := small()
	st.Services[0].Fallback = true
	d.lb.answer("GET "+api.PathStatus, st)
	d.open("/lbadmin/").want(200, "⚑ Fallback")
}
