package web_test

import (
	"bytes"
	"context"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/appliance/api"
)

// upload posts a file as a browser does; name "" = the person chose none.
func (d *desk) upload(path, name, text string) *httptest.ResponseRecorder {
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
	_ = m.Close()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "https://lb1:9443"+path, &b)
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
	if w := d.upload("/lbadmin/backup/restore", "../../etc/passwd", "node: {name: lb1}\n"); w.Code != http.StatusSeeOther {
		t.Errorf("restored: %d %s", w.Code, w.Body)
	}
	made := d.lb.changes()
	if c := made[len(made)-1]; c.Method != http.MethodPut || c.Path != api.PathDraft || c.Body != "node: {name: lb1}\n" {
		t.Errorf("the daemon got %+v", c)
	}
	if w := d.upload("/lbadmin/backup/restore", "", ""); w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "choose a file first") {
		t.Errorf("without a file: %d", w.Code)
	}
	if w := d.upload("/lbadmin/backup/restore", "big", strings.Repeat("x", 2<<20)); w.Code/100 != 4 {
		t.Errorf("a file of 2 MB: %d", w.Code)
	}
	if got := len(d.lb.changes()); got != len(made) {
		t.Errorf("%d changes came of forms that were refused", got-len(made))
	}
	sit(t, api.RoleAuditor).open("/lbadmin/backup").want(200, "Download backup").without("Upload and compare")
}
