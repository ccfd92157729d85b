package accounts

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCheck(t *testing.T) {
	s := newStore(t)
	tests := []struct {
		name, password string
		want           error
	}{
		{"anna", good, nil},
		{"anna", other, ErrWrong},
		{"anna", "", ErrWrong},
		{"anna", strings.ToUpper(good), ErrWrong}, // exactly as typed
		{"anna", good + " ", ErrWrong},
		{"anna", strings.Repeat("x", 1e6), ErrWrong},
		{"Anna", good, ErrWrong},
		{"nobody", good, ErrWrong},
		{"", "", ErrWrong},
		{"../../etc/passwd", good, ErrWrong},
	}
	for _, tt := range tests {
		a, err := s.Check(t.Context(), tt.name, tt.password)
		if !errors.Is(err, tt.want) || (tt.want == nil) != (a.Name == tt.name && a.Role == Operator) {
			t.Errorf("%s with %.30q: %+v, %v", tt.name, tt.password, a, err)
		}
	}
}

// TestNamesAreNotTold counts the hashes: an unknown name costs the same.
func TestNamesAreNotTold(t *testing.T) {
	s := newStore(t)
	var costs []params
	s.hasher.derive = func(password string, h phc) string {
		costs = append(costs, h.params)
		return deriveKey(password, h)
	}
	for _, name := range []string{"anna", "nobody", "", "no name at all"} {
		if _, err := s.Check(t.Context(), name, other); !errors.Is(err, ErrWrong) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if diff := cmp.Diff([]params{cheap(), cheap(), cheap(), cheap()}, costs, cmp.AllowUnexported(params{})); diff != "" {
		t.Errorf("hashes (-want +got)\n%s", diff)
	}
}

func TestSurvivesRestart(t *testing.T) {
	s := newStore(t)
	again, err := Open(s.path)
	must(t, err)
	if diff := cmp.Diff(s.List(), again.List()); diff != "" || len(again.List()) != 2 || again.Empty() {
		t.Errorf("after a restart (-want +got)\n%s", diff)
	}
	if _, err = again.Check(t.Context(), "root", good); err != nil {
		t.Error(err)
	}
	info, err := os.Stat(s.path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v", info.Mode())
	}
	if files, _ := os.ReadDir(filepath.Dir(s.path)); len(files) != 1 {
		t.Errorf("temporary files are left: %v", files)
	}
	data, err := os.ReadFile(s.path)
	must(t, err)
	if strings.Contains(string(data), good) {
		t.Error("the password is in the file")
	}
}

func TestTightensTheFile(t *testing.T) {
	s := newStore(t)
	must(t, os.Chmod(s.path, 0o644))
	_, err := Open(s.path)
	must(t, err)
	if info, err := os.Stat(s.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestSet(t *testing.T) {
	s := newStore(t)
	before := s.List()
	must(t, s.Set("anna", Auditor, "")) // keeps the password
	a, err := s.Check(t.Context(), "anna", good)
	if err != nil || a.Role != Auditor || !a.Changed.Equal(before[0].Changed) {
		t.Errorf("%+v, %v", a, err)
	}
	s.now = func() time.Time { return time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC) }
	must(t, s.Set("anna", Auditor, other))
	if a, err := s.Check(t.Context(), "anna", other); err != nil || !a.Changed.Equal(s.now()) {
		t.Errorf("%+v, %v", a, err)
	}
	tests := []struct {
		name     string
		role     Role
		password string
		field    string
	}{
		{"new", Auditor, "", "password"},
		{"new", Auditor, "short", "password"},
		{"new", 0, good, "role"},
		{"new", Admin + 1, good, "role"},
		{"not a name", Auditor, good, "name"},
		{"ANNA", Auditor, good, "name"}, // too like anna
	}
	for _, tt := range tests {
		if err := s.Set(tt.name, tt.role, tt.password); !isPolicy(err, tt.field) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	if n := len(s.List()); n != 2 {
		t.Errorf("%d accounts, want 2", n)
	}
}

func TestLastAdmin(t *testing.T) {
	s, err := open(filepath.Join(t.TempDir(), "accounts.json"), cheap())
	must(t, err)
	if err := s.Set("anna", Operator, good); !errors.Is(err, ErrLastAdmin) || !s.Empty() {
		t.Errorf("a first account that is no admin: %v", err)
	}
	must(t, s.Set("root", Admin, good))
	for name, err := range map[string]error{
		"demote": s.Set("root", Operator, ""), "demote with a password": s.Set("root", Auditor, other), "remove": s.Remove("root"),
	} {
		if !errors.Is(err, ErrLastAdmin) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Check(t.Context(), "root", good); err != nil {
		t.Errorf("a refused change changed something: %v", err)
	}
	must(t, s.Set("anna", Admin, good))
	must(t, s.Remove("root"))
	if err := s.Remove("root"); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
}

func TestChange(t *testing.T) {
	s := newStore(t)
	ctx := t.Context()
	if err := s.Change(ctx, "anna", other, "a third sentence"); !errors.Is(err, ErrWrong) {
		t.Errorf("wrong password: %v", err)
	}
	if err := s.Change(ctx, "nobody", good, other); !errors.Is(err, ErrWrong) {
		t.Errorf("unknown name: %v", err)
	}
	for _, weak := range []string{good, "short", "password", "anna-anna"} {
		if err := s.Change(ctx, "anna", good, weak); !isPolicy(err, "password") {
			t.Errorf("%q: %v", weak, err)
		}
	}
	must(t, s.Change(ctx, "anna", good, other))
	if _, err := s.Check(ctx, "anna", good); !errors.Is(err, ErrWrong) {
		t.Errorf("the old password: %v", err)
	}
	if _, err := s.Check(ctx, "anna", other); err != nil {
		t.Errorf("the new password: %v", err)
	}
}

// TestChangesMeanwhile removes or changes an account while its password is checked.
func TestChangesMeanwhile(t *testing.T) {
	for name, meanwhile := range map[string]func(s *Store) error{
		"removed":      func(s *Store) error { return s.Remove("anna") },
		"new password": func(s *Store) error { return s.Set("anna", Operator, other) },
	} {
		s := newStore(t)
		s.hasher.derive = func(password string, h phc) string {
			s.hasher.derive = deriveKey
			must(t, meanwhile(s))
			return deriveKey(password, h)
		}
		if _, err := s.Check(t.Context(), "anna", good); !errors.Is(err, ErrWrong) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := newStore(t)
	s.hasher.derive = func(password string, h phc) string {
		must(t, s.Set("anna", Auditor, ""))
		return deriveKey(password, h)
	}
	if a, err := s.Check(t.Context(), "anna", good); err != nil || a.Role != Auditor {
		t.Errorf("demoted: %+v, %v", a, err)
	}
}

func TestMostAccounts(t *testing.T) {
	s := newStore(t)
	set := map[string]record{}
	for i := range mostAccounts {
		name := fmt.Sprintf("a%d%s", i, strings.Repeat("x", 28))
		set[name] = record{Account{Name: name, Role: Admin, Changed: time.Now().UTC()}, s.decoy}
	}
	must(t, writeFile(s.path, set))
	full, err := open(s.path, cheap())
	must(t, err) // the fullest file can be read
	if err := full.Set("new", Auditor, good); !isPolicy(err, "name") {
		t.Errorf("one too many: %v", err)
	}
}

func TestUnwritable(t *testing.T) {
	s := newStore(t)
	before := s.List()
	s.path = filepath.Join(t.TempDir(), "missing", "accounts.json")
	if err := s.Set("new", Admin, good); err == nil || !strings.Contains(err.Error(), s.path) {
		t.Errorf("%v", err)
	}
	if diff := cmp.Diff(before, s.List()); diff != "" {
		t.Errorf("what could not be kept is in force (-want +got)\n%s", diff)
	}
}

func TestDamagedFiles(t *testing.T) {
	account := func(name, role, hash string) string {
		return fmt.Sprintf(`{"name":%q,"role":%q,"hash":%q,"password_changed":"2026-11-27T00:00:00Z"}`, name, role, hash)
	}
	root := account("root", "admin", vector)
	for text, want := range map[string]string{
		"":                              "unexpected end",
		"[]":                            "cannot unmarshal",
		"null":                          "version 0",
		`{"version":2,"people":[]}`:     "version 2, this program reads 1",
		`{"version":1,"people":[]}`:     "unknown field",
		`{"version":1,"accounts":[]}{}`: "after top-level value",
		`{"version":1,"accounts":[` + account("root", "god", vector) + `]}`:     "god",
		`{"version":1,"accounts":[` + account("root", "admin", "secret") + `]}`: "argon2id",
		`{"version":1,"accounts":[` + account("a b", "admin", vector) + `]}`:    "no account name",
		`{"version":1,"accounts":[` + root + `,` + root + `]}`:                  "two accounts",
		`{"version":1,"accounts":[` + account("a", "auditor", vector) + `]}`:    "no account is an admin",
		`{"version":1,"accounts":[{"name":"a"}]}`:                               "role is missing",
		strings.Repeat(" ", largestFile+1):                                      "more than",
	} {
		path := filepath.Join(t.TempDir(), "accounts.json")
		must(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := Open(path)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
	}
}

// TestThereIsAlwaysAnAdmin makes changes in any order.
func TestThereIsAlwaysAnAdmin(t *testing.T) {
	s := newStore(t)
	names := []string{"root", "anna", "ben"}
	r := rand.New(rand.NewPCG(1, 2))
	refused := 0
	for range 50 {
		name, role := names[r.IntN(len(names))], Role(r.IntN(4)) // 0: remove
		var err error
		if role == 0 {
			err = s.Remove(name)
		} else {
			err = s.Set(name, role, good)
		}
		if errors.Is(err, ErrLastAdmin) {
			refused++
		}
		if !hasAdmin(s.all()) {
			t.Fatalf("no admin is left: %+v", s.List())
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
	again, err := open(s.path, cheap())
	must(t, err)
	if diff := cmp.Diff(s.List(), again.List()); diff != "" {
		t.Errorf("kept (-want +got)\n%s", diff)
	}
}

func FuzzAccountsFile(f *testing.F) {
	f.Add([]byte(`{"version":1,"accounts":[{"name":"root","role":"admin","hash":"` + vector + `","password_changed":"2026-11-27T00:00:00Z"}]}`))
	f.Add([]byte(`{"version":1,"accounts":[]}`))
	f.Add([]byte(`{"version":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := decodeFile(data)
		if err != nil {
			return
		}
		text, err := encodeFile(set)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := decodeFile(text)
		if err != nil || !cmp.Equal(set, again, cmp.AllowUnexported(record{}, phc{}, params{})) {
			t.Errorf("read again: %v\n%s", err, cmp.Diff(set, again, cmp.AllowUnexported(record{}, phc{}, params{})))
		}
	})
}
