package mgmt

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/accounts"
)

// filled is a row's path with names in it.
func filled(path string) string {
	return strings.NewReplacer("{service}", "Harmonic_Traffic", "{server}", "HT1", "{part}", "node", "{id}", "x", "{name}", "nobody", "{number}", "7").Replace(path)
}

// TestTokensOverTheRouter asks every row as a token of every role; one of an auditor
// changes nothing, whatever it asks.
func TestTokensOverTheRouter(t *testing.T) {
	o := newOffice(t)
	for _, role := range []accounts.Role{accounts.Auditor, accounts.Operator, accounts.Admin} {
		text, _, err := o.s.tokens.Create(role.String(), role, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range o.s.routes() {
			if row.method == http.MethodGet || row.open {
				continue
			}
			before := len(o.f.asked())
			code, p, _ := o.ask(row.method, filled(row.path), text, `{"state":"drain"}`)
			forbidden := code == http.StatusForbidden && strings.Contains(p.Detail, "needs the role")
			if want := role < row.least; forbidden != want {
				t.Errorf("%s %s as a token of the role %s: %d %q", row.method, row.path, role, code, p.Detail)
			}
			if own := row.path == api.PathSession; role == accounts.Auditor && (code < 400 && !own || len(o.f.asked()) != before) {
				t.Errorf("%s %s: an auditor's token did something: %d, %v", row.method, row.path, code, o.f.asked()[before:])
			}
		}
	}
	if got := len(o.s.opts.People.Accounts.List()); got != len(staff()) {
		t.Errorf("%d accounts", got)
	}
}

func TestTokenCalls(t *testing.T) {
	o := newOffice(t)
	admin, info := o.s.opts.People.Sessions.Start(staff()[0], netip.MustParseAddr("192.0.2.9"), "")
	const want = `{"name":"grafana","role":"operator","expires_in":"720h"}`
	if code, p, _ := o.ask(http.MethodPost, api.PathTokens, admin, want); code != http.StatusForbidden || !p.Confirm {
		t.Errorf("without the password: %d %+v", code, p)
	}
	if err := o.s.opts.People.Sessions.Confirm(admin); err != nil {
		t.Fatal(err, info)
	}
	code, p, body := o.ask(http.MethodPost, api.PathTokens, admin, want)
	var made api.Token
	if err := json.Unmarshal(body, &made); code != http.StatusOK || err != nil || len(made.Token) != 43 {
		t.Fatalf("%d %+v %v %s", code, p, err, body)
	}
	for body, field := range map[string]string{
		`{"name":"grafana","role":"auditor"}`: "name", `{"name":"` + nastyName + `","role":"auditor"}`: "name", `{"name":"a","role":"root"}`: "role",
		`{"name":"a","role":"auditor","expires_in":"30 days"}`: "expires_in", `{"name":"a","role":"auditor","expires_in":"-1h"}`: "expires_in",
	} {
		if code, p, _ := o.ask(http.MethodPost, api.PathTokens, admin, body); code != http.StatusUnprocessableEntity || p.Fields[field] == "" {
			t.Errorf("%s: %d %+v", body, code, p)
		}
	}
	if code, _, _ := o.ask(http.MethodPut, "/api/v1/services/Harmonic_Traffic/servers/HT1/state", made.Token, `{"state":"drain"}`); code != http.StatusNoContent {
		t.Errorf("the token drains: %d", code)
	}
	trail, err := o.s.opts.People.Trail.Latest(1)
	if err != nil || len(trail) != 1 || trail[0].User != "token grafana" {
		t.Errorf("the trail: %+v, %v", trail, err)
	}
	var list []api.TokenInfo
	_, _, body = o.ask(http.MethodGet, api.PathTokens, admin, "")
	if err := json.Unmarshal(body, &list); err != nil || len(list) != 2 || list[0].Name != "first" || list[1].Name != "grafana" ||
		list[1].Role != "operator" || list[1].Used == nil || !list[1].Expires.Equal(epoch.Add(720*time.Hour)) || strings.Contains(string(body), made.Token) {
		t.Errorf("%v %s", err, body)
	}
	if code, _, _ := o.ask(http.MethodDelete, "/api/v1/tokens/grafana", admin, ""); code != http.StatusNoContent {
		t.Errorf("revoke: %d", code)
	}
	if code, _, _ := o.ask(http.MethodGet, api.PathStatus, made.Token, ""); code != http.StatusUnauthorized {
		t.Errorf("revoked and %d", code)
	}
	if code, _, _ := o.ask(http.MethodDelete, "/api/v1/tokens/grafana", admin, ""); code != http.StatusNotFound {
		t.Errorf("revoke again: %d", code)
	}
}

const nastyName = `\"><script>`

// TestATokenMakesNoTokens: what was stolen ends with its revocation.
func TestATokenMakesNoTokens(t *testing.T) {
	o := newOffice(t)
	text, _, err := o.s.tokens.Create("stolen", accounts.Admin, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, call := range [][2]string{{http.MethodPost, api.PathTokens}, {http.MethodDelete, "/api/v1/tokens/first"}, {http.MethodPost, api.PathToken}} {
		if code, _, _ := o.ask(call[0], call[1], text, `{"name":"other","role":"admin"}`); code != http.StatusForbidden {
			t.Errorf("%v: %d", call, code)
		}
	}
	if n := len(o.s.tokens.List()); n != 2 {
		t.Errorf("%d tokens", n)
	}
}
