package web_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/appliance/api"
)

const onlinePage = "/lbadmin/update/online"

// TestOnlineUpdate is guide 9.4.1.
func TestOnlineUpdate(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	p := d.open(updatePage).want(200, "Information: Update 1.1.0 is now available for this appliance.", "https://updates.example.org/", "was asked just now")
	if !p.has("Online Update") {
		t.Error("nothing leads to the update")
	}
	d.send(updatePage+"/check", p.form(updatePage+"/check")).leadsTo(updatePage)
	p.control("Update server")
	d.send(updatePage+"/server", fill(p.form(updatePage+"/server"), map[string]string{"update.server": "https://x/"})).leadsTo(updatePage)
	has(t, d.last("PUT", "/api/v1/draft/parts/node"), api.Fields{"update.server": "https://x/", "update.proxy": ""})
	p = d.open(onlinePage).want(200, "Online Update", "Faster.", "43 MB", "abcd", "Do not navigate away", "Your own password")
	form := fill(p.form(onlinePage), map[string]string{"confirm-password": "guess"})
	d.send(onlinePage, form).want(422, "the password is wrong", "Faster.")
	form.Set("confirm-password", ownPassword)
	d.send(onlinePage, form).leadsTo(updatePage)
	made := d.lb.changes()
	if c := made[len(made)-1]; c.Path != api.PathUpdateOnlineInstall || c.Body != `{"version":"1.1.0"}` {
		t.Errorf("the daemon got %+v", c)
	}
}

// TestOnlineUpdateIsRefused: what the server does, and what it says, is told as text.
func TestOnlineUpdateIsRefused(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	d.lb.confirmed = true
	hangs := api.Problem{Status: 409, Detail: "the update server hangs " + nasty}
	d.lb.answer("POST "+api.PathUpdateOnline, hangs)
	d.lb.answer("POST "+api.PathUpdateOnlineInstall, hangs)
	wellFormed(t, d.send(updatePage+"/check", url.Values{}).want(409, "Nothing was changed", "the update server hangs"))
	wellFormed(t, d.send(onlinePage, url.Values{"version": {nasty}}).want(409, "Nothing was changed", "the update server hangs", "Faster."))
	d.lb.answer("GET "+api.PathUpdateOnline, api.OnlineUpdate{Server: "https://" + nasty, Available: &api.AvailableUpdate{Version: nasty, Notes: nasty, SHA256: nasty}})
	wellFormed(t, d.open(updatePage).want(200, nasty))
	wellFormed(t, d.open(onlinePage).want(200, nasty))
	d.lb.answer("GET "+api.PathUpdateOnline, api.OnlineUpdate{})
	d.open(updatePage).want(200, "None is configured, and nobody is called").without("Check for Updates")
	d.open(onlinePage).want(409, "No newer version is known")
	d.lb.answer("GET "+api.PathUpdateOnline, api.OnlineUpdate{Server: "https://x/", Checked: new(noon()), Latest: "1.0.0"})
	d.open(updatePage).want(200, "1.0.0 is there, and no newer version").without("Online Update")
}

func TestOnlineUpdateRoles(t *testing.T) {
	t.Parallel()
	for _, role := range []string{api.RoleOperator, api.RoleAuditor} {
		d := sit(t, role)
		if p := d.open(updatePage).want(200, "Update 1.1.0 is now available"); p.has("Check for Updates") || p.has("Online Update") {
			t.Errorf("%s may update", role)
		}
		d.open(onlinePage).want(403)
		d.send(onlinePage, url.Values{"version": {"1.1.0"}}).want(403)
		d.send(updatePage+"/check", url.Values{}).want(403)
	}
}

func TestOnlineUpdateGolden(t *testing.T) {
	t.Parallel()
	p := sit(t, api.RoleAdmin).open(onlinePage).want(200)
	golden(t, "online", p)
	if !strings.Contains(p.Body, "<pre tabindex=\"0\">Faster.\nSafer.</pre>") {
		t.Error("the notes have lost their lines")
	}
}
