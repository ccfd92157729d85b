package config_test

import (
	"bytes"
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
	store := config.NewStore(path)
	if _, ok, err := store.Load(); ok || err == nil {
		t.Fatalf("loading nothing: ok %v, err %v", ok, err)
	}
	cfg := mustParse(t, config.Reference)
	if err := store.Save(cfg); err != nil {
		t.Fatal(err)
	}
	got, ok, err := config.NewStore(path).Load()
	if !ok || err != nil {
		t.Fatalf("ok %v, err %v", ok, err)
	}
	if diff := cmp.Diff(cfg, got, values()); diff != "" {
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
	store := config.NewStore(path)
	cfg := mustParse(t, config.Minimal)
	if err := store.Save(cfg); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("node: {name: lb1}\nservises: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*config.Store{"running": store, "restarted": config.NewStore(path)} {
		got, ok, err := s.Load()
		if !ok || err == nil || !strings.Contains(err.Error(), `did you mean "services"`) {
			t.Fatalf("%s: ok %v, err %v", name, ok, err)
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
	store := config.NewStore(filepath.Join(t.TempDir(), "lbd.yaml"))
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
