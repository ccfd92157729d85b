package web_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/appliance/api"
)

const externalPage = "/lbadmin/external-authentication"

// withAuthentication puts settings into the node's part of the draft.
func withAuthentication(d *desk, f api.Fields) {
	all := api.Fields{"name": "lb1"}
	for key, text := range f {
		all["authentication."+key] = text
	}
	d.lb.answer("GET /api/v1/draft/parts/node", api.PartDraft{Tag: "t1", Fields: all})
}

func TestExternalGolden(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	withAuthentication(d, api.Fields{"source": "ldap", "servers": "ldap://dc1.example.org", "base_dn": "dc=example,dc=org", "insecure": "true", "groups.admin": "cn=lb,dc=example,dc=org"})
	golden(t, "external", d.open(externalPage).want(200))
}

func TestExternalAuthentication(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	p := d.open(externalPage).want(200, "External Authentication", "LDAP or LDAPS", "Active Directory", "RADIUS", "passwords cross the network as plain text", "Secrets stored")
	form := fill(p.form(externalPage), map[string]string{
		"authentication.source": "ldap", "authentication.servers": "ldaps://dc1.example.org", "authentication.base_dn": "dc=example,dc=org",
		"authentication.groups.admin": "cn=lb,dc=example,dc=org", "confirm-password": ownPassword,
	})
	d.send(externalPage, form).leadsTo(externalPage)
	sent := d.last("PUT", "/api/v1/draft/parts/node")
	has(t, sent, api.Fields{"authentication.source": "ldap", "authentication.servers": "ldaps://dc1.example.org", "authentication.start_tls": "false", "authentication.insecure": "false"})
	for key := range sent {
		if !strings.HasPrefix(key, "authentication.") {
			t.Errorf("%s was sent too", key)
		}
	}
	d.lb.answer("PUT /api/v1/draft/parts/node", api.Problem{Status: http.StatusUnprocessableEntity, Fields: map[string]string{"authentication.servers": "is not a server"}})
	form.Set("authentication.servers", nasty)
	wrong := d.send(externalPage, form).want(422, "Nothing was changed")
	if got := wrong.control("Servers"); !strings.Contains(got, "is not a server") {
		t.Errorf("at the field: %q", got)
	}
	if got := wrong.form(externalPage).Get("authentication.servers"); got != nasty {
		t.Errorf("the input is %q", got)
	}
	form.Set("confirm-password", "wrong")
	d.lb.confirmed = false
	if got := d.send(externalPage, form).want(422).control("Your own password"); !strings.Contains(got, "the password is wrong") {
		t.Errorf("a wrong password: %q", got)
	}
}

func TestExternalSecret(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	const at = externalPage + "/secret"
	form := fill(d.open(externalPage).form(at), map[string]string{"source": "radius", "source-password": " in the dark ", "confirm-password": ownPassword})
	d.send(at, form).leadsTo(externalPage)
	has(t, d.last("PUT", api.PathAuthSecret), api.Fields{"source": "radius", "secret": " in the dark "})
	d.lb.answer("PUT "+api.PathAuthSecret, api.Problem{Status: http.StatusUnprocessableEntity, Fields: map[string]string{"secret": "is too long"}})
	wrong := d.send(at, form).want(422, "Nothing was changed")
	if got := wrong.control("Password or shared secret"); !strings.Contains(got, "is too long") {
		t.Errorf("at the field: %q", got)
	}
	if strings.Contains(wrong.Body, "in the dark") {
		t.Error("the secret came back")
	}
	if wrong.form(at).Get("source") != "radius" {
		t.Error("the source was not kept")
	}
}

func TestExternalTest(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	const at = externalPage + "/test"
	form := fill(d.open(externalPage).form(at), map[string]string{"user": "eva", "user-password": "s3cret word"})
	p := d.send(at, form).want(200, "LDAP or LDAPS: the name or the password is wrong")
	has(t, d.last("POST", api.PathAuthTest), api.Fields{"user": "eva", "password": "s3cret word"})
	if strings.Contains(p.Body, "s3cret") || p.form(at).Get("user") != "eva" {
		t.Error("the password came back, or the name did not")
	}
	d.lb.answer("POST "+api.PathAuthTest, api.AuthTested{Source: "radius", OK: true, Role: "admin", Text: nasty})
	if p := d.send(at, form).want(200, "✔", nasty); strings.Contains(p.Body, "<script>alert") {
		t.Error("what a server says becomes a script")
	}
	d.lb.answer("POST "+api.PathAuthTest, api.Problem{Status: http.StatusTooManyRequests, Detail: "too many wrong passwords"})
	d.send(at, form).want(429, "too many wrong passwords")
	d.lb.answer("POST "+api.PathAuthTest, api.Problem{Status: http.StatusUnprocessableEntity, Fields: map[string]string{"user": "use letters"}})
	if got := d.send(at, form).want(422).control("Username"); !strings.Contains(got, "use letters") {
		t.Errorf("at the field: %q", got)
	}
	for _, role := range []string{api.RoleOperator, api.RoleAuditor} {
		sit(t, role).open(externalPage).want(403)
	}
}

// TestPeopleOfADirectory see where their password is.
func TestPeopleOfADirectory(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAuditor)
	d.lb.source = "radius"
	d.open("/lbadmin/passwords").want(200, "Your password is not kept on this node", "RADIUS").without("Present password")
	d.lb.answer("GET "+api.PathSessions, []api.Session{{ID: "s2", User: "eva", Role: "operator", Source: "ldap"}})
	d.open("/lbadmin/sessions").want(200, "(operator, by ldap)")
}
