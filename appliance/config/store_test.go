package config_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/appliance/config"
)

func TestStore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lbd.yaml")
	store := config.NewStore(path, path+".history")
	if _, err := store.Read(); err == nil {
		t.Fatal("nothing was read without an error")
	}
	if _, ok := store.LastGood(); ok {
		t.Fatal("nothing has a last good one")
	}
	cfg := mustParse(t, config.Reference)
	if err := store.Save(cfg); err != nil {
		t.Fatal(err)
	}
	got, err := config.NewStore(path, path+".history").Read()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(cfg, got.Config, values()); diff != "" {
		t.Fatalf("loaded (-saved +loaded):\n%s", diff)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))
	if err != nil || len(left) != 0 {
		t.Fatalf("left behind: %v, %v", left, err)
	}
}

func TestABadFileChangesNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lbd.yaml")
	store := config.NewStore(path, path+".history")
	cfg := mustParse(t, config.Minimal)
	if err := store.Save(cfg); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("node: {name: lb1}\nservises: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*config.Store{"running": store, "restarted": config.NewStore(path, path+".history")} {
		if _, err := s.Read(); err == nil || !strings.Contains(err.Error(), `did you mean "services"`) {
			t.Fatalf("%s: err %v", name, err)
		}
		got, ok := s.LastGood()
		if !ok {
			t.Fatalf("%s: nothing is left", name)
		}
		if diff := cmp.Diff(cfg, got, values()); diff != "" {
			t.Fatalf("%s: not the last good one:\n%s", name, diff)
		}
	}
	broken := cfg
	broken.Node.Name = "a/b"
	before, _ := os.ReadFile(path)
	if err := store.Save(broken); err == nil {
		t.Fatal("an invalid configuration was saved")
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Fatal("a refused Save changed the file")
	}
}

func TestHistoryKeepsTheLastTwenty(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store := config.NewStore(filepath.Join(dir, "lbd.yaml"), filepath.Join(dir, "history"))
	cfg := mustParse(t, config.Minimal)
	for i := range 25 {
		cfg.Node.Name = fmt.Sprintf("lb%d", i)
		for range 2 { // the same again is no new revision
			if err := store.Save(cfg); err != nil {
				t.Fatal(err)
			}
		}
	}
	history, err := store.History()
	if err != nil || len(history) != 20 || history[0].Number != 25 || history[19].Number != 6 {
		t.Fatalf("%v, %v", history, err)
	}
	if history[0].Revision != config.Revision(cfg) {
		t.Fatalf("newest is %s, want %s", history[0].Revision, config.Revision(cfg))
	}
	old, err := store.Revision(history[19])
	if err != nil || old.Node.Name != "lb5" {
		t.Fatalf("oldest is of %q, %v", old.Node.Name, err)
	}
}

func TestAFileThatIsOnlyReadIsNotTheLastGoodOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "lbd.yaml")
	if err := os.WriteFile(path, config.Minimal, 0o600); err != nil {
		t.Fatal(err)
	}
	store := config.NewStore(path, filepath.Join(dir, "history"))
	draft, err := store.Read()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := store.LastGood(); ok {
		t.Fatal("read is not in force")
	}
	if err := store.Keep(draft); err != nil {
		t.Fatal(err)
	}
	if cfg, ok := config.NewStore(path, filepath.Join(dir, "history")).LastGood(); !ok || cfg.Node.Name != "lb1" {
		t.Fatalf("kept: %q, %v", cfg.Node.Name, ok)
	}
}

func TestKeepWithoutAHistory(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lbd.yaml")
	if err := os.WriteFile(path, config.Minimal, 0o600); err != nil {
		t.Fatal(err)
	}
	store := config.NewStore(path, filepath.Join(path, "no", "folder"))
	draft, err := store.Read()
	if err != nil {
		t.Fatal(err)
	}
	if _, only := errors.AsType[*config.HistoryError](store.Keep(draft)); !only {
		t.Fatal("no history is told")
	}
	if cfg, ok := store.LastGood(); !ok || cfg.Node.Name != "lb1" {
		t.Fatalf("in force all the same: %q, %v", cfg.Node.Name, ok)
	}
}

// TestSetAside: what people wrote into the file, and nobody has read, is never lost.
func TestSetAside(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config.yaml")
	s := config.NewStore(path, filepath.Join(dir, "history"))
	aside := func(want string) {
		t.Helper()
		got, err := s.SetAside()
		if err != nil || got != want {
			t.Fatalf("set aside as %q (%v), want %q", got, err, want)
		}
	}
	aside("") // no file
	if err := os.WriteFile(path, config.Minimal, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := s.Read()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Keep(d); err != nil {
		t.Fatal(err)
	}
	aside("")
	if err := s.Save(d.Config); err != nil {
		t.Fatal(err)
	}
	aside("")
	mine := []byte("# a mistake: and my work of an hour\n")
	if err := os.WriteFile(path, mine, 0o600); err != nil {
		t.Fatal(err)
	}
	aside(path + ".unread")
	if got, err := os.ReadFile(path + ".unread"); err != nil || string(got) != string(mine) {
		t.Errorf("it holds %q, %v", got, err)
	}
}
