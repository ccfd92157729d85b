package appliance

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/lb"
)

// parted is a node that has broken its pair while the peer was away.
func parted(t *testing.T, s *shared) {
	t.Helper()
	cfg, _ := s.facts.current()
	cfg.Cluster.SecretFile = filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(cfg.Cluster.SecretFile, make([]byte, leastSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	if !s.broke(cfg.Node.Name) {
		t.Fatal("the peer was first")
	}
	if err := s.farewell.begin(cfg); err != nil {
		t.Fatal(err)
	}
	if err := s.apply(single(cfg)); err != nil {
		t.Fatal(err)
	}
}

// settled lets a node that was told leave.
func settled(t *testing.T, s *shared) lb.Config {
	t.Helper()
	s.told = time.Time{} // a while ago
	if _, err := s.leave(); err != nil {
		t.Fatal(err)
	}
	cfg, _ := s.facts.current()
	return cfg
}

// TestTheEndOfAPairIsNewerThanItsChanges: a node that was away when its pair was broken,
// and has changed things since, leaves all the same, and what it changed does not bring
// the pair back.
func TestTheEndOfAPairIsNewerThanItsChanges(t *testing.T) {
	one, two := apart(t)
	parted(t, one)
	for i := range 5 {
		two.edit(idle("s1", 100+i))
	}
	tell(t, two, one)
	if cfg, _ := one.facts.current(); cfg.Cluster.Paired || len(cfg.Services) != 3 {
		t.Fatalf("the former peer has brought the pair back: %+v", cfg)
	}
	tell(t, one, two)
	if cfg, _ := two.facts.current(); !cfg.Cluster.Paired {
		t.Error("it left before its answer could arrive")
	}
	tell(t, two, one)
	if !one.known() {
		t.Error("lb1 does not know that lb2 knows")
	}
	if cfg := settled(t, two); cfg.Cluster.Paired || len(cfg.Services) > 0 {
		t.Errorf("lb2 still serves: %+v", cfg)
	}
	if two.broke("lb2") {
		t.Error("who was told can break the pair as well, and both would serve")
	}
}

// TestBothBreak: both nodes broke the pair while they could not reach each other. When
// they can, one of them keeps the services, and not both.
func TestBothBreak(t *testing.T) {
	one, two := apart(t)
	parted(t, one)
	parted(t, two)
	meet := func() {
		tell(t, one, two)
		tell(t, two, one)
	}
	meet()
	meet()
	a, b := settled(t, one), settled(t, two)
	if len(a.Services) != 0 || len(b.Services) != 3 {
		t.Errorf("lb1 has %d services and lb2 %d", len(a.Services), len(b.Services))
	}
	if one.farewell.of(a) != nil {
		t.Error("lb1 still says farewell")
	}
}

func TestToldAndKilled(t *testing.T) {
	one, two := apart(t)
	parted(t, one)
	tell(t, one, two)
	two = again(t, two)
	cfg, _ := two.facts.current()
	if got := two.dismissedBefore(cfg); got.Cluster.Paired || len(got.Services) > 0 {
		t.Errorf("after a restart lb2 still believes in the pair: %+v", got)
	}
	if saved, err := two.settings.store.Read(); err != nil || saved.Config.Cluster.Paired {
		t.Errorf("its file does: %v", err)
	}
}

func TestFarewell(t *testing.T) {
	one := member(t, "lb1", 1)
	parted(t, one)
	cfg, _ := one.facts.current()
	if info, err := os.Stat(one.farewell.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file with the secret: %v, %v", info, err)
	}
	f, err := openFarewell(one.farewell.path) // as after a restart
	if err != nil {
		t.Fatal(err)
	}
	p := f.of(cfg)
	if p == nil || len(p.Secret) != leastSecret {
		t.Fatalf("after a restart it is %+v", p)
	}
	before, _ := json.Marshal(cfg)
	dressed := p.dress(cfg)
	if after, _ := json.Marshal(cfg); string(after) != string(before) || !dressed.Cluster.Paired || len(dressed.Node.Paths) != 1 || dressed.Cluster.Replicate {
		t.Errorf("the sentinel gets %+v", dressed)
	}
	if got := f.problems(cfg); len(got) != 1 || !strings.Contains(got[0], "10.0.0.2") || !strings.Contains(got[0], "lbctl ha break") {
		t.Errorf("the operator is told %q", got)
	}
	paired := cfg
	paired.Cluster.Paired = true
	if f.of(paired) != nil || len(f.problems(paired)) > 0 {
		t.Error("a node with a peer says farewell to another")
	}
	if there, err := f.end(); !there || err != nil {
		t.Error(there, err)
	}
	if there, err := f.end(); there || err != nil {
		t.Error("it ends twice", err)
	}
	if _, err := os.Stat(f.path); err == nil {
		t.Error("the secret is still there")
	}
	if err := os.WriteFile(f.path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openFarewell(f.path); err == nil {
		t.Error("a damaged file is taken for none")
	}
}

// TestAFarewellIsBounded: a peer that never comes back is not waited for for ever.
func TestAFarewellIsBounded(t *testing.T) {
	one := member(t, "lb1", 1)
	parted(t, one)
	one.pair = &pair{farewell: one.farewell}
	one.farewell.parting.Since = time.Now().Add(-farewellKept)
	cfg, _ := one.facts.current()
	one.facts.setConfig(cfg, config.Revision(cfg))
	if err := one.partOnce(); err != nil {
		t.Fatal(err)
	}
	if one.farewell.of(cfg) != nil {
		t.Error("it goes on")
	}
}
