package accounts

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestExportImport: accounts come back as they were, byte for byte, and who must log in
// again is named.
func TestExportImport(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "accounts.json")
	s, err := open(path, cheap())
	if err != nil {
		t.Fatal(err)
	}
	set := func(name string, role Role, password string) {
		t.Helper()
		if err = s.Set(name, role, password); err != nil {
			t.Fatal(err)
		}
	}
	set("anna", Admin, "correct horse battery")
	set("otto", Operator, "another good password")
	set("same", Auditor, "a password that stays")
	first, err := s.Export()
	if err != nil {
		t.Fatal(err)
	}
	set("otto", Operator, "a password of later on")
	set("same", Admin, "")
	set("late", Admin, "who came after the backup")
	gone, err := s.Import(first)
	if slices.Sort(gone); err != nil || !slices.Equal(gone, []string{"late", "otto"}) {
		t.Errorf("gone are %v, %v", gone, err)
	}
	again, err := s.Export()
	if err != nil || !bytes.Equal(first, again) {
		t.Errorf("the accounts are not what they were: %s %v", again, err)
	}
	if onDisk, err := os.ReadFile(path); err != nil || !bytes.Equal(onDisk, first) {
		t.Errorf("on disk is %s, %v", onDisk, err)
	}
	if _, err := s.Check(t.Context(), "otto", "another good password"); err != nil {
		t.Errorf("the old password is not taken: %v", err)
	}
}

func TestImportRefuses(t *testing.T) {
	t.Parallel()
	s, err := open(filepath.Join(t.TempDir(), "accounts.json"), cheap())
	if err != nil {
		t.Fatal(err)
	}
	if err = s.Set("anna", Admin, "correct horse battery"); err != nil {
		t.Fatal(err)
	}
	good, err := s.Export()
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ data, want string }{
		"nothing":     {"", "unexpected end"},
		"no account":  {`{"version":1,"accounts":[]}`, "no account"},
		"no admin":    {strings.Replace(string(good), `"admin"`, `"auditor"`, 1), "no account is an admin"},
		"version":     {`{"version":9}`, "version 9"},
		"costly hash": {strings.Replace(string(good), "m=", "m=999999", 1), "out of bounds"},
	} {
		if err := CheckExport([]byte(tt.data)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
		if _, err := s.Import([]byte(tt.data)); err == nil {
			t.Errorf("%s was taken over", name)
		}
	}
	if got, err := s.Export(); err != nil || !bytes.Equal(got, good) {
		t.Error("a file that was refused has changed the accounts")
	}
}
