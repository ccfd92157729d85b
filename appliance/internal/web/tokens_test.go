package web_test

import (
	"net/url"
	"testing"

	"github.com/vosbed/vosbed/appliance/api"
)

// TestTokens: the text of a new token is in one answer and on no page after it.
func TestTokens(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	const at, text = "/lbadmin/tokens", "the-text-of-the-token"
	d.lb.answer("POST "+api.PathTokens, api.Token{Token: text, Pin: "sha256//pin"})
	page := d.open(at).want(200, "API Tokens", "grafana", "Expired", "never", "Revoke", "Create token")
	form := fill(page.form(at), map[string]string{"name": "deploy", "role": "operator", "expires_in": "720h"})
	d.send(at, form).want(403) // asks for the password
	d.send(at, fill(form, map[string]string{"confirm-password": "wrong"})).want(422, "the password is wrong").without(text)
	d.send(at, fill(form, map[string]string{"confirm-password": ownPassword})).want(200, "shown this one time", text, "sha256//pin")
	d.last("POST", api.PathTokens)
	d.open(at).want(200).without(text)
	d.send(at+"/revoke", url.Values{"name": {"grafana"}}).leadsTo(at)
	d.last("DELETE", "/api/v1/tokens/grafana")
	d.lb.answer("DELETE /api/v1/tokens/x", api.Problem{Status: 404, Detail: "there is no token of that name"})
	d.send(at+"/revoke", url.Values{"name": {"x"}}).want(404, "no token of that name")
}
