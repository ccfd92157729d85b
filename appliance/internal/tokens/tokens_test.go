package tokens

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/appliance/internal/accounts"
)

// clock is set by hand.
type clock struct{ now time.Time }

func open(t *testing.T, dir string, c *clock) *Store {
	t.Helper()
	s, err := Open(Options{FirstFile: filepath.Join(dir, "token"), File: filepath.Join(dir, "tokens.json"), Now: func() time.Time { return c.now }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func noon() *clock { return &clock{time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)} }

func TestFirstToken(t *testing.T) {
	t.Parallel()
	dir, c := t.TempDir(), noon()
	s := open(t, dir, c)
	text, err := os.ReadFile(filepath.Join(dir, "token"+FirstMark))
	if err != nil {
		t.Fatal(err)
	}
	first := strings.TrimSpace(string(text))
	if got, ok := s.Find(first); !ok || got.Name != First || got.Role != accounts.Admin {
		t.Fatalf("%+v, %t", got, ok)
	}
	again := open(t, dir, c)
	if _, ok := again.Find(first); !ok {
		t.Error("the first token did not survive a restart")
	}
	next, err := again.ReplaceFirst()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := again.Find(first); ok {
		t.Error("the old token is still valid")
	}
	if _, ok := again.Find(next); !ok || len(again.List()) != 1 {
		t.Errorf("the new token: %t, list %v", ok, again.List())
	}
	if _, err := os.Stat(filepath.Join(dir, "token"+FirstMark)); !errors.Is(err, os.ErrNotExist) {
		t.Error("the text was left")
	}
	if err := again.Revoke(First); err != nil {
		t.Fatal(err)
	}
	last := open(t, dir, c)
	if _, ok := last.Find(next); ok || len(last.List()) != 0 {
		t.Errorf("revoked, and after a restart %t, %v", ok, last.List())
	}
	if _, err := last.ReplaceFirst(); err != nil || len(last.List()) != 1 {
		t.Errorf("lbctl token after that: %v, %v", err, last.List())
	}
}

func TestNamedTokens(t *testing.T) {
	t.Parallel()
	dir, c := t.TempDir(), noon()
	s := open(t, dir, c)
	text, made, err := s.Create("grafana", accounts.Auditor, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Token{Name: "grafana", Role: accounts.Auditor, Created: c.now, Expires: c.now.Add(time.Hour)}); made != want {
		t.Errorf("%+v", made)
	}
	for _, name := range []string{"token", "tokens.json"} {
		kept, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || strings.Contains(string(kept), text) {
			t.Errorf("%s holds the token, or %v", name, err)
		}
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
	}
	c.now = c.now.Add(59 * time.Minute)
	if got, ok := s.Find(text); !ok || !got.Used.Equal(c.now) {
		t.Errorf("used: %+v", got)
	}
	if diff := cmp.Diff(s.List()[1:], open(t, dir, c).List()[1:]); diff != "" {
		t.Errorf("after a restart: %s", diff)
	}
	c.now = c.now.Add(time.Minute)
	if _, ok := s.Find(text); ok {
		t.Error("valid after its end")
	}
	if len(s.List()) != 2 {
		t.Error("a token that is over is not listed any more: nobody can see why it does not work")
	}
	if err := s.Revoke("grafana"); err != nil {
		t.Error(err)
	}
	if err := s.Revoke("grafana"); !errors.Is(err, ErrNotFound) {
		t.Errorf("twice: %v", err)
	}
}

func TestWrongTokens(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), noon())
	if _, _, err := s.Create("taken", accounts.Admin, 0); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		name  string
		role  accounts.Role
		life  time.Duration
		field string
	}{
		"empty": {"", accounts.Auditor, 0, "name"}, "blank": {"a b", accounts.Auditor, 0, "name"}, "long": {strings.Repeat("a", 65), accounts.Auditor, 0, "name"},
		"script": {`"><script>`, accounts.Auditor, 0, "name"}, "first": {First, accounts.Auditor, 0, "name"}, "taken": {"taken", accounts.Auditor, 0, "name"},
		"no role": {"a", 0, 0, "role"}, "odd role": {"a", 9, 0, "role"}, "past": {"a", accounts.Auditor, -1, "expires_in"},
		"soon": {"a", accounts.Auditor, time.Second, "expires_in"}, "late": {"a", accounts.Auditor, 10 * 365 * 24 * time.Hour, "expires_in"},
	} {
		_, _, err := s.Create(tt.name, tt.role, tt.life)
		if wrong, ok := errors.AsType[*FieldError](err); !ok || wrong.Field != tt.field {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range mostTokens - 1 {
		if _, _, err := s.Create(fmt.Sprint("t", i), accounts.Auditor, 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := s.Create("more", accounts.Auditor, 0); !errors.Is(err, ErrFull) {
		t.Errorf("too many: %v", err)
	}
}

func TestDamagedFiles(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"tokens.json": `{"version":2}`, "token": "sha256:12",
	} {
		dir := t.TempDir()
		open(t, dir, noon())
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(Options{FirstFile: filepath.Join(dir, "token"), File: filepath.Join(dir, "tokens.json"), Now: time.Now})
		if err == nil || !strings.Contains(err.Error(), "remove") || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	good, err := encode(map[hash]Token{sum("a"): {Name: "a", Role: accounts.Auditor, Created: noon().now}, sum("b"): {Name: First, Role: accounts.Admin, Used: noon().now}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"version":1,"tokens":[{"name":"first"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, used, err := decode(data)
		if err != nil {
			return
		}
		for h, tok := range set {
			if !validName(tok.Name) || tok.Name == First || h == (hash{}) || tok.Role < accounts.Auditor || tok.Role > accounts.Admin {
				t.Fatalf("%+v was let in", tok)
			}
		}
		if !used.IsZero() { // it is kept with its token only
			set[sum("first")] = Token{Name: First, Role: accounts.Admin, Used: used}
		}
		text, err := encode(set)
		if err != nil {
			t.Skip() // years that JSON cannot have
		}
		delete(set, sum("first"))
		again, usedAgain, err := decode(text)
		if err != nil || !usedAgain.Equal(used) || !cmp.Equal(set, again) {
			t.Fatalf("%v: %s", err, cmp.Diff(set, again))
		}
	})
}
