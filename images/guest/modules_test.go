package guest

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vosbed/vosbed/images/kmod"
)

// TestModulesAreLoadedOnceAndInOrder: at once, but none before what it needs, and none twice.
func TestModulesAreLoadedOnceAndInOrder(t *testing.T) {
	var mu sync.Mutex
	var got []string
	broken := errors.New("bad signature")
	l := &loader{loads: map[string]*loading{}, index: kmod.Index{Modules: []kmod.Module{
		{Name: "fat", Path: "fat"},
		{Name: "vfat", Path: "vfat", Deps: []string{"fat"}},
		{Name: "msdos", Path: "msdos", Deps: []string{"fat"}},
		{Name: "bad", Path: "bad"},
		{Name: "worse", Path: "worse", Deps: []string{"bad"}},
	}}, put: func(path string) error {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, path)
		if path == "bad" {
			return broken
		}
		return nil
	}}
	if err := l.load("vfat", "msdos", "fat", "vfat"); err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || got[0] != "fat" {
		t.Errorf("loaded %v", got)
	}
	if err := l.load("worse", "none"); !errors.Is(err, broken) || !strings.Contains(err.Error(), "none") {
		t.Errorf("%v", err)
	}
	if slices.Contains(got, "worse") {
		t.Error("a module was loaded without what it needs")
	}
	if err := l.load("bad"); !errors.Is(err, broken) || len(got) != 5 {
		t.Errorf("what failed is not tried again: %v, %v", err, got)
	}
}

// TestBondingMakesNothing: an interface that nobody asked for would be offered as a card.
func TestBondingMakesNothing(t *testing.T) {
	for path, want := range map[string]string{"/lib/modules/bonding.ko": "max_bonds=0", "/lib/modules/bonding.ko.xz": "max_bonds=0", "/lib/modules/8021q.ko": ""} {
		if got := parameters(path); got != want {
			t.Errorf("%s is loaded with %q, want %q", path, got, want)
		}
	}
}

func TestTheKernelAsks(t *testing.T) {
	for _, tt := range []struct {
		argv  string
		names string
		ok    bool
	}{
		{"/sbin/modprobe -q -- fs-vfat", "fs-vfat", true},
		{"modprobe ip_vs dummy", "ip_vs dummy", true},
		{"/init", "", false},
		{"", "", false},
	} {
		names, ok := asked(strings.Fields(tt.argv))
		if strings.Join(names, " ") != tt.names || ok != tt.ok {
			t.Errorf("%q: %v, %v", tt.argv, names, ok)
		}
	}
}
