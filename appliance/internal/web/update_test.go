package web_test

import (
	"bytes"
	"context"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/vosbed/vosbed/appliance/api"
)

// installed is an appliance that runs 1.0.0.
func installed() api.Update {
	return api.Update{Version: "1.0.0", Healthy: true, Waiting: []string{}, Slots: []api.UpdateSlot{{Slot: "a", Version: "1.0.0", Running: true, Next: true, Proven: true}, {Slot: "b"}}}
}

// waitingUpdate is one whose update waits for a restart.
func waitingUpdate() api.Update {
	return api.Update{
		Version: "1.0.0", Restart: "1.1.0", Back: "1.0.0", Waiting: []string{"Harmonic_Traffic/HT1 was not checked yet"},
		Slots: []api.UpdateSlot{{Slot: "a", Version: "1.0.0", Running: true, Proven: true}, {Slot: "b", Version: "1.1.0", Next: true, TriesLeft: 3}},
	}
}

const (
	updatePage  = "/lbadmin/update"
	offlinePage = "/lbadmin/update/offline"
)

// part is one of a form that sends files; "" as file name is a field, or a file that was
// not chosen.
type part struct{ name, file, text string }

// sendFiles posts the form of an update as a browser does: in the order of the page.
func (d *desk) sendFiles(parts ...part) *got {
	d.t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	for _, p := range parts {
		if p.file == "" {
			_ = m.WriteField(p.name, p.text)
			continue
		}
		w, err := m.CreateFormFile(p.name, p.file)
		if err != nil {
			d.t.Fatal(err)
		}
		_, _ = w.Write([]byte(p.text))
	}
	_ = m.Close()
	return d.raw(offlinePage, m.FormDataContentType(), b.String())
}

// sentForm is the form that the daemon got, by its fields.
func sentForm(t *testing.T, c apiCall) map[string]string {
	t.Helper()
	boundary, _, _ := strings.Cut(strings.TrimPrefix(c.Body, "--"), "\r\n")
	form := multipart.NewReader(strings.NewReader(c.Body), boundary)
	out := map[string]string{}
	for {
		p, err := form.NextPart()
		if err != nil {
			return out
		}
		data, err := io.ReadAll(p)
		if err != nil {
			t.Error(err)
		}
		out[p.FormName()] = string(data)
	}
}

// TestOfflineUpdate is guide 9.4.2.
func TestOfflineUpdate(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	d.open(updatePage).want(200, "Software Update", "Offline Update", "1.0.0", "running, proven", "Healthy").without("Restart into", "Give up", "Go back")
	p := d.open(offlinePage).want(200, "The following steps will lead you through offline update.", "Archive", "Checksum", "Upload and Install", "Your own password")
	p.control("Archive")
	p.control("Checksum")
	archive := strings.Repeat("an archive", 3<<20/10) // longer than any other form may be
	d.sendFiles(
		part{"confirm-password", "", ownPassword}, part{"archive", "../../v.update", archive}, part{"checksum", "SHA256SUMS", "abc"}, part{"older", "", "true"},
	).leadsTo(updatePage)
	made := d.lb.changes()
	if got := sentForm(t, made[len(made)-1]); got["archive"] != archive || got["checksum"] != "abc" || got["older"] != "true" || len(got) != 3 {
		t.Errorf("the daemon got %d fields, an archive of %d bytes, %q %q", len(got), len(got["archive"]), got["checksum"], got["older"])
	}
	d.sendFiles(part{"archive", "v.update", "x"}, part{"checksum", "", ""}).leadsTo(updatePage)
	made = d.lb.changes()
	if got := sentForm(t, made[len(made)-1]); got["archive"] != "x" || len(got) != 1 {
		t.Errorf("without a checksum the daemon got %v", got)
	}
	d.lb.answer("GET "+api.PathUpdate, waitingUpdate())
	p = d.open(updatePage).want(200, "Information: Update completed successfully. Return to system overview", "1.1.0", "started next, on trial", "3 starts", "HT1 was not checked yet", "Not healthy yet")
	d.send(updatePage+"/restart", p.form(updatePage+"/restart")).want(200, "The appliance restarts into version 1.1.0", "by itself")
	d.send(updatePage+"/back", p.form(updatePage+"/back")).want(200, "The appliance restarts into version 1.0.0").without("by itself")
	d.lb.answer("POST "+api.PathUpdateBack, api.UpdateBack{})
	d.send(updatePage+"/back", p.form(updatePage+"/back")).leadsTo(updatePage)
}

// TestUpdateIsRefused: the message is where the mistake is, nothing is sent that need not
// be, and what was ticked is kept.
func TestUpdateIsRefused(t *testing.T) {
	t.Parallel()
	own, archive, older := part{"confirm-password", "", ownPassword}, part{"archive", "a", "x"}, part{"older", "", "true"}
	for name, tt := range map[string]struct {
		parts  []part
		answer *api.Problem
		status int
		want   string
		field  string // at which it is told, "" = above the form
		sent   bool
	}{
		"wrong password":   {[]part{{"confirm-password", "", "guess"}, archive}, nil, 422, "the password is wrong", "confirm-password", false},
		"no password":      {[]part{{"confirm-password", "", ""}, archive}, nil, 422, "give your password once more", "confirm-password", true},
		"no archive":       {[]part{own, {"archive", "", ""}}, &api.Problem{Status: 422, Fields: map[string]string{"archive": "choose the archive"}}, 422, "choose the archive", "archive", true},
		"other checksum":   {[]part{own, archive, {"checksum", "s", "y"}, older}, &api.Problem{Status: 422, Fields: map[string]string{"checksum": "is that of another file " + nasty}}, 422, "is that of another file", "checksum", true},
		"one at a time":    {[]part{own, archive}, &api.Problem{Status: 409, Detail: "an update is being installed " + nasty}, 409, "an update is being installed", "", true},
		"an unknown field": {[]part{own, archive, {nasty, "", nasty}}, nil, 400, "does not belong there", "", false},
		"a second password": {
			[]part{own, archive, own}, nil, 400, "does not belong there", "", false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := sit(t, api.RoleAdmin)
			if tt.answer != nil {
				d.lb.answer("POST "+api.PathUpdate, *tt.answer)
			}
			p := d.sendFiles(tt.parts...).want(tt.status, "Nothing was changed", tt.want)
			wellFormed(t, p)
			inert(t, name, p.doc)
			marked := all(p.doc, func(n *html.Node) bool { return attr(n, "aria-invalid") == "true" })
			if tt.field == "" && len(marked) > 0 || tt.field != "" && (len(marked) != 1 || attr(marked[0], "name") != tt.field) {
				t.Errorf("%d fields are marked, want %q", len(marked), tt.field)
			}
			if ticked := p.form(offlinePage).Get("older") == "true"; ticked != (name == "other checksum") {
				t.Errorf("an older version is allowed: %v", ticked)
			}
			if made := d.lb.changes(); !tt.sent && len(made) > 0 && made[0].Body != "" && strings.HasSuffix(made[0].Body, "--\r\n") {
				t.Errorf("the daemon got the form: %v", made)
			}
		})
	}
}

// endless is a body without an end.
type endless struct{ read int64 }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	e.read += int64(len(p))
	return len(p), nil
}

// TestUpdateOfAnySize: an archive without an end is refused with the reason.
func TestUpdateOfAnySize(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	d.lb.confirmed = true
	var head bytes.Buffer
	m := multipart.NewWriter(&head)
	if _, err := m.CreateFormFile("archive", "a"); err != nil {
		t.Fatal(err)
	}
	body := &endless{}
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "https://lb1:9443"+offlinePage, io.MultiReader(&head, body))
	r.Header.Set("Content-Type", m.FormDataContentType())
	r.AddCookie(&http.Cookie{Name: "__Host-vosbed", Value: d.role})
	w := httptest.NewRecorder()
	d.http.ServeHTTP(w, r)
	if w.Code != 422 || !strings.Contains(w.Body.String(), "than the 151 MB that an update can have") || body.read > api.MaxUpdate+1<<20 {
		t.Errorf("%d after %d bytes: %s", w.Code, body.read, w.Body)
	}
}

// TestUpdateRoles: who may not update sees what is installed and no buttons.
func TestUpdateRoles(t *testing.T) {
	t.Parallel()
	for _, role := range []string{api.RoleOperator, api.RoleAuditor} {
		d := sit(t, role)
		d.lb.answer("GET "+api.PathUpdate, waitingUpdate())
		p := d.open(updatePage).want(200, "1.1.0", "started next")
		for _, word := range []string{"Offline Update", "Restart", "Give up", "Go back"} {
			if p.has(word) {
				t.Errorf("%s sees %q", role, word)
			}
		}
		d.open(offlinePage).want(403)
		d.sendFiles(part{"archive", "a", "x"}).want(403)
		d.send(updatePage+"/restart", url.Values{}).want(403)
		if n := len(d.lb.changes()); n > 1 {
			t.Errorf("%s made %d calls", role, n)
		}
	}
}

// TestUpdatedElsewhere: where packages do it, the page says so.
func TestUpdatedElsewhere(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	d.lb.confirmed = true
	no := api.Problem{Status: 409, Detail: "this installation is not updated by itself but by the packages of its system"}
	for _, call := range []string{"GET " + api.PathUpdate, "POST " + api.PathUpdate, "POST " + api.PathUpdateRestart, "POST " + api.PathUpdateBack} {
		d.lb.answer(call, no)
	}
	d.open(updatePage).want(200, "by the packages of its system").without("Offline Update")
	d.open(offlinePage).want(409, "by the packages of its system")
	d.sendFiles(part{"archive", "a", "x"}).want(409, "by the packages of its system")
	d.send(updatePage+"/restart", url.Values{}).want(409, "by the packages of its system")
	d.send(updatePage+"/back", url.Values{}).want(409, "by the packages of its system")
}

func TestUpdateGolden(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	golden(t, "offline", d.open(offlinePage).want(200))
	d.lb.answer("GET "+api.PathUpdate, waitingUpdate())
	golden(t, "update", d.open(updatePage).want(200))
}
