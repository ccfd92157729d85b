package appliance_test

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/backup"
)

const passphrase = "four unrelated words"

// furnished is a node without a peer that has a service and two accounts.
func furnished(t *testing.T) *node {
	t.Helper()
	n, _ := newPairOfNodes(t)
	n.settings("lb1", 100)
	n.start()
	until(t, "up", func() bool { return n.status().Role == "standalone" })
	n.must(n.client.SetAccount(t.Context(), "anna", api.NewAccount{Role: api.RoleAdmin, Password: goodPassword}))
	n.must(n.client.SetAccount(t.Context(), "otto", api.NewAccount{Role: api.RoleOperator, Password: goodPassword}))
	return n
}

func (n *node) backup(passphrase string) []byte {
	n.t.Helper()
	data, err := n.client.Backup(n.t.Context())
	if passphrase != "" {
		data, err = n.client.SealedBackup(n.t.Context(), passphrase)
	}
	n.must(err)
	return data
}

func (n *node) restore(data []byte, passphrase string) api.Restored {
	n.t.Helper()
	came, err := n.client.RestoreBackup(n.t.Context(), "", api.Restore{File: data, Passphrase: passphrase})
	n.must(err)
	return came
}

func (n *node) accounts() string {
	n.t.Helper()
	data, err := os.ReadFile(filepath.Join(n.dir, "state", "accounts.json"))
	n.must(err)
	return string(data)
}

// TestBackupRoundTrip: backup, change, restore, backup: the same bytes.
func TestBackupRoundTrip(t *testing.T) {
	n := furnished(t)
	ctx := t.Context()
	first := n.backup("")
	if again := n.backup(""); !bytes.Equal(first, again) {
		t.Error("two backups of one state differ")
	}
	if file, err := backup.Decode(first); err != nil || len(file.Files) != 1 || strings.Contains(string(file.Files[0].Data), "argon2id") {
		t.Errorf("a backup without passphrase holds %+v, %v", file, err)
	}
	sealed, accounts := n.backup(passphrase), n.accounts()
	if bytes.Contains(sealed, []byte("argon2id")) {
		t.Error("hashes can be read")
	}
	n.change(func(c *api.Client) error { return c.EditServer(ctx, "", "web", "W1", api.Fields{"weight": "7"}) })
	n.must(n.client.RemoveAccount(ctx, "otto"))
	n.must(n.client.SetAccount(ctx, "late", api.NewAccount{Role: api.RoleAdmin, Password: "who came later on"}))
	session, err := n.client.Login(ctx, "late", "who came later on")
	n.must(err)
	if bytes.Equal(first, n.backup("")) {
		t.Error("a change does not show in the backup")
	}

	came := n.restore(sealed, "")
	if !slices.Equal(came.Restored, []string{"the configuration is pending"}) || len(came.LeftOut) != 1 || !strings.Contains(came.LeftOut[0], "no passphrase") {
		t.Errorf("without passphrase: %+v", came)
	}
	n.must(n.client.Apply(ctx, "", ""))
	if !bytes.Equal(first, n.backup("")) {
		t.Error("what came back packs to other bytes")
	}
	if n.accounts() == accounts {
		t.Error("the accounts came back without passphrase")
	}
	if came := n.restore(sealed, passphrase); len(came.LeftOut) != 0 || !slices.Contains(came.Restored, "the accounts") || n.accounts() != accounts {
		t.Errorf("with passphrase: %+v, accounts %s", came, n.accounts())
	}
	all, err := n.client.Sessions(ctx)
	if err != nil || slices.ContainsFunc(all, func(s api.Session) bool { return s.ID == session.Session.ID }) {
		t.Errorf("a session of an account that is gone goes on: %+v, %v", all, err)
	}
	trail, err := n.client.Audit(ctx)
	n.must(err)
	if e := trail[0]; e.Action != "restore a backup" || !strings.HasPrefix(e.Target, "lb1, revision ") || e.After != "the configuration is what is in force already; the accounts" || e.Outcome != "done" {
		t.Errorf("the trail: %+v", e)
	}
	if e := trail[slices.IndexFunc(trail, func(e api.AuditEntry) bool { return strings.HasPrefix(e.Action, "make a backup") })]; !strings.HasSuffix(e.After, "; accounts") || strings.Contains(e.After, passphrase) {
		t.Errorf("the trail: %+v", e)
	}
}

// crafted packs files as no node would.
func crafted(t *testing.T, node string, files ...backup.File) []byte {
	t.Helper()
	data, err := backup.Encode(backup.Backup{Head: backup.Head{Version: "v9", Node: node, Revision: "r9"}, Files: files})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestRestoreRefuses: whatever is wrong with one part, no part is changed.
func TestRestoreRefuses(t *testing.T) {
	n := furnished(t)
	whole, err := backup.Decode(n.backup(passphrase))
	n.must(err)
	config, _ := whole.Get("configuration.yaml")
	accounts := n.accounts()
	good := backup.File{Name: "configuration.yaml", Data: bytes.Replace(config, []byte("weight: 100"), []byte("weight: 50"), 1)}
	seal := func(files ...backup.File) backup.File {
		data, err := backup.Seal(files, passphrase)
		n.must(err)
		return backup.File{Name: "sealed.age", Data: data}
	}
	fine := backup.File{Name: "accounts.json", Data: []byte(accounts)}
	for name, tt := range map[string]struct {
		data       []byte
		passphrase string
		want       []string
	}{
		"no backup":          {[]byte("hello"), "", []string{"the backup is refused", "no .tar.gz"}},
		"no configuration":   {crafted(t, "lb1"), "", []string{"configuration.yaml is missing"}},
		"bad configuration":  {crafted(t, "lb1", backup.File{Name: "configuration.yaml", Data: []byte("node: {}\nodd: 1\n")}), "", []string{"configuration.yaml:1", "odd"}},
		"unknown part":       {crafted(t, "lb1", good, backup.File{Name: "cron.sh", Data: []byte("rm")}), "", []string{"cron.sh: this program does not know"}},
		"hashes not sealed":  {crafted(t, "lb1", good, fine), "", []string{"accounts.json: this program does not know"}},
		"wrong passphrase":   {crafted(t, "lb1", good, seal(fine)), "four unrelated wordz", []string{"does not open this backup"}},
		"sealed is no seal":  {crafted(t, "lb1", good, backup.File{Name: "sealed.age", Data: []byte("x")}), passphrase, []string{"what is sealed is damaged"}},
		"no admin in it":     {crafted(t, "lb1", good, seal(backup.File{Name: fine.Name, Data: bytes.ReplaceAll(fine.Data, []byte(`"admin"`), []byte(`"auditor"`))})), passphrase, []string{"no account is an admin"}},
		"nobody in it":       {crafted(t, "lb1", good, seal(backup.File{Name: fine.Name, Data: []byte(`{"version":1,"accounts":[]}`)})), passphrase, []string{"holds no account"}},
		"two things at once": {crafted(t, "lb1", backup.File{Name: "configuration.yaml", Data: []byte("node: {}\n")}, seal(backup.File{Name: fine.Name, Data: []byte("{}")})), passphrase, []string{"configuration.yaml:1", "accounts.json: the file has version 0"}},
	} {
		_, err := n.client.RestoreBackup(t.Context(), "", api.Restore{File: tt.data, Passphrase: tt.passphrase})
		problem, ok := errors.AsType[*api.ProblemError](err)
		if !ok || problem.Problem.Status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
		}
		draft, err := n.client.Draft(t.Context())
		n.must(err)
		if len(draft.Changes) > 0 || n.accounts() != accounts {
			t.Errorf("%s: something was changed: %+v", name, draft.Changes)
		}
	}
	if _, err := n.client.SealedBackup(t.Context(), "short"); err == nil || !strings.Contains(err.Error(), "at least 12") {
		t.Errorf("a short passphrase: %v", err)
	}
	if _, err := n.client.SealedBackup(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "sealed only") {
		t.Errorf("no passphrase: %v", err)
	}
}

// TestRestoreOfAnotherNode: its own settings stay there.
func TestRestoreOfAnotherNode(t *testing.T) {
	n := furnished(t)
	whole, err := backup.Decode(n.backup(""))
	n.must(err)
	config, _ := whole.Get("configuration.yaml")
	config = bytes.Replace(bytes.Replace(config, []byte("lb1"), []byte("lb9"), 1), []byte("weight: 100"), []byte("weight: 50"), 1)
	came := n.restore(crafted(t, "lb9", backup.File{Name: "configuration.yaml", Data: config}), "")
	if came.Node != "lb9" || len(came.LeftOut) != 1 || !strings.Contains(came.LeftOut[0], "lb9 itself: this is lb1") {
		t.Errorf("got %+v", came)
	}
	draft, err := n.client.Draft(t.Context())
	n.must(err)
	if len(draft.Changes) != 1 || !strings.Contains(draft.Changes[0].Path, "weight") {
		t.Errorf("pending is %+v", draft.Changes)
	}
}

// opened are the files of a backup, those that are sealed in it too.
func (n *node) opened(data []byte) (all []backup.File) {
	n.t.Helper()
	whole, err := backup.Decode(data)
	n.must(err)
	for _, f := range whole.Files {
		if f.Name != "sealed.age" {
			all = append(all, f)
			continue
		}
		inside, err := backup.Open(f.Data, passphrase)
		n.must(err)
		all = append(all, inside...)
	}
	return all
}

func same(a, b backup.File) bool { return a.Name == b.Name && bytes.Equal(a.Data, b.Data) }

// TestBackupOfWhatIsUploaded: certificate and fallback page come back at once, on their
// own node; of another one's backup the certificate stays away.
func TestBackupOfWhatIsUploaded(t *testing.T) {
	n := furnished(t)
	ctx := t.Context()
	chain, key, pin := certify(t, "192.168.94.101", time.Now().Add(time.Hour*24*90))
	if _, err := n.client.SetCertificate(ctx, api.NewCertificate{Chain: chain, Key: key}); err != nil {
		t.Fatal(err)
	}
	n.must(n.client.SetFallbackPage(ctx, "<h1>back soon</h1>"))
	open, sealed := n.backup(""), n.backup(passphrase)
	n.must(n.client.ResetFallbackPage(ctx))
	if _, err := n.client.ResetCertificate(ctx); err != nil {
		t.Fatal(err)
	}
	if came := n.restore(open, ""); !slices.Contains(came.Restored, "the fallback page") || !bytes.Equal(open, n.backup("")) {
		t.Errorf("the open part: %+v", came)
	}
	if c, err := n.client.Certificate(ctx); err != nil || c.Uploaded {
		t.Errorf("a certificate came back without passphrase: %+v, %v", c, err)
	}
	came := n.restore(sealed, passphrase)
	if c, err := n.client.Certificate(ctx); err != nil || !c.Uploaded || c.Pin != pin || !slices.Contains(came.Restored, "the certificate") {
		t.Errorf("the certificate is %+v, %v; %+v", c, err, came)
	}

	if before, after := n.opened(sealed), n.opened(n.backup(passphrase)); !slices.EqualFunc(before, after, same) || len(before) != 4 {
		t.Errorf("what came back is other bytes: %s, and it was %s", after, before)
	}

	whole, err := backup.Decode(sealed)
	n.must(err)
	foreign := crafted(t, "lb9", whole.Files...)
	if _, err := n.client.ResetCertificate(ctx); err != nil {
		t.Fatal(err)
	}
	came = n.restore(foreign, passphrase)
	if c, err := n.client.Certificate(ctx); err != nil || c.Uploaded || !slices.Contains(came.LeftOut, "the certificate: it belongs to node lb9") {
		t.Errorf("another node's certificate: %+v, %v; %+v", c, err, came)
	}
}

// TestOldBackup: a certificate that has ended keeps nothing else from coming back.
func TestOldBackup(t *testing.T) {
	n := furnished(t)
	whole, err := backup.Decode(n.backup(""))
	n.must(err)
	chain, key, _ := certify(t, "192.168.94.101", time.Now().Add(-time.Minute))
	sealed, err := backup.Seal([]backup.File{{Name: "certificate.pem", Data: []byte(key + chain)}, {Name: "accounts.json", Data: []byte(n.accounts())}}, passphrase)
	n.must(err)
	came := n.restore(crafted(t, "lb1", append(whole.Files, backup.File{Name: "sealed.age", Data: sealed})...), passphrase)
	if !slices.Contains(came.Restored, "the accounts") || len(came.LeftOut) != 1 || !strings.Contains(came.LeftOut[0], "not valid now") {
		t.Errorf("got %+v", came)
	}
}
