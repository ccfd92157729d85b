package mgmt

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/appliance/api"
)

// TestSupportArchive: a refusal is a problem, a download is in the trail.
func TestSupportArchive(t *testing.T) {
	f := &fake{status: sample()}
	c := startUnix(t, newServer(t, f))
	var b strings.Builder
	if err := c.SupportArchive(t.Context(), &b); err != nil || b.String() != "packed" {
		t.Errorf("got %q, %v", b.String(), err)
	}
	f.err = ErrRefused
	err := c.SupportArchive(t.Context(), &b)
	if p, ok := errors.AsType[*api.ProblemError](err); !ok || p.Problem.Status != http.StatusConflict {
		t.Errorf("while another is made: %v", err)
	}
	f.err = nil
	trail, err := c.Audit(t.Context())
	if err != nil || len(trail) != 2 || trail[1].Action != "create a support download" || trail[1].Outcome != "done" || !strings.Contains(trail[0].Outcome, "refused") {
		t.Errorf("the trail: %+v, %v", trail, err)
	}
	if tree, err := c.SupportChecks(t.Context()); err != nil || tree.Verdict != api.CheckOK {
		t.Errorf("got %+v, %v", tree, err)
	}
}

// TestBackups: what is secret needs a passphrase, and the trail says what was in it but
// never the passphrase.
func TestBackups(t *testing.T) {
	f := &fake{status: sample()}
	c := startUnix(t, newServer(t, f))
	if data, err := c.Backup(t.Context()); err != nil || string(data) != "packed" {
		t.Errorf("got %q, %v", data, err)
	}
	if _, err := c.SealedBackup(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "passphrase") {
		t.Errorf("without passphrase: %v", err)
	}
	if _, err := c.SealedBackup(t.Context(), "four unrelated words"); err != nil {
		t.Error(err)
	}
	came, err := c.RestoreBackup(t.Context(), "", api.Restore{File: []byte("file"), Passphrase: "four unrelated words"})
	if err != nil || came.Node != "lb1" {
		t.Errorf("got %+v, %v", came, err)
	}
	if _, err = c.RestoreBackup(t.Context(), "", api.Restore{File: make([]byte, maxBody)}); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("a large file: %v", err)
	}
	trail, err := c.Audit(t.Context())
	if err != nil || len(trail) != 4 {
		t.Fatalf("the trail: %+v, %v", trail, err)
	}
	if e := trail[1]; e.Action != "restore a backup" || e.Target != "lb1, revision r1" || e.After != "the accounts" {
		t.Errorf("the trail: %+v", e)
	}
	if e := trail[2]; e.Action != "make a backup with secrets" || e.After != "configuration r1; accounts" || strings.Contains(e.After+e.Target+e.Before, "four") {
		t.Errorf("the trail: %+v", e)
	}
}

// TestSensitiveBackups: who has only a session must give the password once more.
func TestSensitiveBackups(t *testing.T) {
	o := newOffice(t)
	token, _ := o.s.opts.People.Sessions.Start(staff()[0], netip.Addr{}, "")
	for path, body := range map[string]string{api.PathBackup: `{"passphrase":"four unrelated words"}`, api.PathRestore: `{"file":""}`} {
		if code, p, _ := o.ask(http.MethodPost, path, token, body); code != http.StatusForbidden || !p.Confirm {
			t.Errorf("%s: %d %+v", path, code, p)
		}
	}
}
