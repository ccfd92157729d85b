package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/appliance/api"
)

// upload posts a file to be restored, as a browser does; name "" = the person chose none. More are other
// fields of the form and their values, in turns.
func (d *desk) upload(name, text string, more ...string) *httptest.ResponseRecorder {
	d.t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	if name != "" {
		f, err := m.CreateFormFile("file", name)
		if err != nil {
			d.t.Fatal(err)
		}
		_, _ = f.Write([]byte(text))
	}
	for i := 0; i+1 < len(more); i += 2 {
		_ = m.WriteField(more[i], more[i+1])
	}
	_ = m.Close()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "https://lb1:9443/lbadmin/backup/restore", &b)
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Content-Type", m.FormDataContentType())
	req.AddCookie(&http.Cookie{Name: "__Host-vosbed", Value: d.role})
	w := httptest.NewRecorder()
	d.http.ServeHTTP(w, req)
	return w
}

func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	d.open("/lbadmin/backup").want(200, "Backup & Restore", "Download backup", "Upload and compare")
	if w := d.upload("../../etc/passwd", "node: {name: lb1}\n"); w.Code != http.StatusSeeOther {
		t.Errorf("restored: %d %s", w.Code, w.Body)
	}
	made := d.lb.changes()
	if c := made[len(made)-1]; c.Method != http.MethodPut || c.Path != api.PathDraft || c.Body != "node: {name: lb1}\n" {
		t.Errorf("the daemon got %+v", c)
	}
	if w := d.upload("", ""); w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "choose a file first") {
		t.Errorf("without a file: %d", w.Code)
	}
	if w := d.upload("big", strings.Repeat("x", 2<<20)); w.Code/100 != 4 {
		t.Errorf("a file of 2 MB: %d", w.Code)
	}
	if got := len(d.lb.changes()); got != len(made) {
		t.Errorf("%d changes came of forms that were refused", got-len(made))
	}
	sit(t, api.RoleAuditor).open("/lbadmin/backup").want(200, "Download backup").without("Upload and compare")
}

// packedFile looks like a backup.
const packedFile = "\x1f\x8bpacked"

// TestRestoreOfABackup: what came of it is told, what is wrong stands at its field, and the
// passphrase never comes back.
func TestRestoreOfABackup(t *testing.T) {
	t.Parallel()
	const passphrase = "four unrelated words"
	d := sit(t, api.RoleAdmin)
	if f := d.open("/lbadmin/backup.tar.gz"); f.Body != "packed" || f.Header.Get("Content-Disposition") != `attachment; filename="vosbed-backup-20260304-120000.tar.gz"` {
		t.Errorf("the backup: %q %v", f.Body, f.Header)
	}
	w := d.upload("b.tar.gz", packedFile, "passphrase", passphrase, "confirm-password", ownPassword)
	for _, want := range []string{"lb9", "the configuration is pending", "Left out: the settings of node lb9"} {
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%d, no %q on the page", w.Code, want)
		}
	}
	var sent api.Restore
	made := d.lb.changes()
	if err := json.Unmarshal([]byte(made[len(made)-1].Body), &sent); err != nil || string(sent.File) != packedFile || sent.Passphrase != passphrase {
		t.Errorf("the daemon got %+v, %v", sent, err)
	}
	d.lb.answer("POST "+api.PathRestore, api.Problem{Status: 422, Detail: "some settings are not right", Fields: map[string]string{"passphrase": "does not open this backup " + nasty}})
	w = d.upload("b.tar.gz", packedFile, "passphrase", passphrase)
	if w.Code != 422 || !strings.Contains(w.Body.String(), "does not open this backup") || strings.Contains(w.Body.String(), passphrase) || strings.Contains(w.Body.String(), "<script>alert") {
		t.Errorf("a wrong passphrase: %d %s", w.Code, w.Body)
	}
	d.lb.answer("POST "+api.PathRestore, api.Problem{Status: 422, Detail: "the backup is refused: nothing was changed", Errors: []string{"x is missing", nasty}})
	if w = d.upload("b.tar.gz", packedFile); w.Code != 422 || !strings.Contains(w.Body.String(), "x is missing") || strings.Contains(w.Body.String(), "<script>alert") {
		t.Errorf("a refused backup: %d %s", w.Code, w.Body)
	}
	before := len(d.lb.changes())
	if w = d.upload("b.tar.gz", packedFile+strings.Repeat("x", 800<<10)); w.Code != 422 || !strings.Contains(w.Body.String(), "longer than a backup") || len(d.lb.changes()) != before {
		t.Errorf("a large backup: %d", w.Code)
	}
}

// TestSealedBackup: it needs the passphrase twice and the person's own password.
func TestSealedBackup(t *testing.T) {
	t.Parallel()
	const at, passphrase = "/lbadmin/backup/sealed", "four unrelated words"
	d := sit(t, api.RoleAdmin)
	p := d.open(at).want(200, "Backup with accounts and certificate", "Passphrase once more", "Cancel")
	form := fill(p.form(at), map[string]string{"passphrase": passphrase, "again": "another"})
	d.send(at, form).want(422, "the two are not the same").without(passphrase)
	form = fill(p.form(at), map[string]string{"passphrase": passphrase, "again": passphrase, "confirm-password": "wrong"})
	d.send(at, form).want(422, "the password is wrong").without(passphrase)
	form.Set("confirm-password", ownPassword)
	f := d.send(at, form)
	if f.Status != 200 || f.Body != "sealed" || f.Header.Get("Content-Type") != "application/gzip" {
		t.Errorf("the file: %d %q %v", f.Status, f.Body, f.Header)
	}
	made := d.lb.changes()
	if c := made[len(made)-1]; c.Path != api.PathBackup || c.Body != `{"passphrase":"`+passphrase+`"}` {
		t.Errorf("the daemon got %+v", c)
	}
	d = sit(t, api.RoleAdmin) // without the password the page that asks for it does not show the passphrase
	p = d.send(at, url.Values{"passphrase": {passphrase}, "again": {passphrase}}).want(403, "Give your password once more", "Passphrase")
	if strings.Contains(p.Body, passphrase) {
		t.Error("the passphrase came back in a page")
	}
	confirm := fill(p.form("/lbadmin/confirm"), map[string]string{"confirm-password": ownPassword, "passphrase": passphrase, "again": passphrase})
	if f := d.send("/lbadmin/confirm", confirm); f.Body != "sealed" {
		t.Errorf("after the password: %d %s", f.Status, f.Body)
	}
	sit(t, api.RoleOperator).open(at).want(403)
}

func TestBackupGolden(t *testing.T) {
	t.Parallel()
	golden(t, "backup", sit(t, api.RoleAdmin).open("/lbadmin/backup").want(200))
}
