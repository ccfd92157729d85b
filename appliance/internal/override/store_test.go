package override

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/appliance/lb"
)

var ht1 = lb.RealID{Service: "Harmonic_Traffic", Real: "HT1"}

func TestSurvivesRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "overrides.json")
	s, err := Open(path, "lb1")
	if err != nil {
		t.Fatal(err)
	}
	want := lb.Override{State: lb.Drain, Deadline: time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)}
	if err = s.Set(ht1, want); err != nil {
		t.Fatal(err)
	}
	again, err := Open(path, "lb1")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[lb.RealID]lb.Override{ht1: want}, again.All()); diff != "" {
		t.Errorf("after a restart (-want +got)\n%s", diff)
	}
	if err := again.Set(ht1, lb.Override{State: lb.Online}); err != nil {
		t.Fatal(err)
	}
	if n := len(again.All()); n != 0 {
		t.Errorf("online leaves %d overrides", n)
	}
}

func TestNothingHalfApplied(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "missing", "overrides.json"), "lb1")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Set(ht1, lb.Override{State: lb.Halt}); err == nil {
		t.Fatal("an override that cannot be kept must be refused")
	}
	if n := len(s.All()); n != 0 {
		t.Errorf("%d overrides in force after a refusal", n)
	}
}

func TestBadFile(t *testing.T) {
	for _, text := range []string{
		"{", `[]`, `{"version":2,"records":[]}`,
		`{"version":1,"records":[{"service":"s","server":"r","state":"sleep","counter":1,"node":"a"}]}`,
	} {
		path := filepath.Join(t.TempDir(), "overrides.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, "lb1"); err == nil || !strings.Contains(err.Error(), "overrides") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
