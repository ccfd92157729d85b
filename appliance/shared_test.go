package appliance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/internal/draft"
	"github.com/vosbed/vosbed/appliance/lb"
)

// member is a node of a pair whose configuration is shared, and nothing else.
func member(t *testing.T, name string, services int) *shared {
	t.Helper()
	cfg := lb.Config{Node: lb.Node{Name: name, Seat: lb.Primary}}
	base, err := config.Parse("minimal", config.Minimal)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Cluster = base.Cluster
	cfg.Cluster.Paired, cfg.Cluster.SecretFile = true, "/"+name+".secret"
	end := netip.MustParseAddrPort("10.0.0.1:6694")
	peer := netip.MustParseAddrPort("10.0.0.2:6694")
	if name == "lb2" {
		end, peer, cfg.Node.Seat = peer, end, lb.Secondary
	}
	cfg.Node.Paths = []lb.HeartbeatPath{{Name: "x", Local: end, Peer: peer}}
	cfg.Node.Replication = lb.Replication{Local: end, Peer: peer}
	addr := netip.MustParseAddr("10.1.0.1")
	for i := range services {
		s := base.Services[0]
		s.Name, s.Addr = fmt.Sprintf("s%d", i), addr
		addr = addr.Next()
		cfg.Services = append(cfg.Services, s)
	}
	f := &facts{}
	f.setConfig(cfg, config.Revision(cfg))
	dir := t.TempDir()
	a := &Appliance{facts: f, log: slog.New(slog.DiscardHandler), settings: &settings{store: config.NewStore(filepath.Join(dir, "config.yaml"), filepath.Join(dir, "history"))}}
	a.pairing = &pairing{Appliance: a}
	if a.farewell, err = openFarewell(filepath.Join(dir, "farewell.json")); err != nil {
		t.Fatal(err)
	}
	s, err := openShared(a, filepath.Join(dir, "shared.json"))
	if err != nil {
		t.Fatal(err)
	}
	s.apply = func(cfg lb.Config) error { f.setConfig(cfg, config.Revision(cfg)); return nil }
	a.shared = s
	a.draft, err = draft.Open(draft.Options{
		File: filepath.Join(dir, "draft.json"), Tools: draftTools(), Current: f.current,
		Apply: func(_ context.Context, cfg lb.Config) error { return s.apply(cfg) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tell sends all parts of one node to another, in any order and some of them twice.
func tell(t *testing.T, from, to *shared) int {
	t.Helper()
	parts, err := from.Parts()
	if err != nil {
		t.Fatal(err)
	}
	again := append([][]byte{}, parts...)
	again = append(again, parts[:len(parts)/2]...)
	rand.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
	for _, p := range again {
		if err := to.Merge(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	return len(parts)
}

func (s *shared) names() (n int, secret string) {
	cfg, _ := s.facts.current()
	return len(cfg.Services), cfg.Cluster.SecretFile
}

// TestTheNewerConfigurationWins on both nodes, whole, and without what belongs to a node.
func TestTheNewerConfigurationWins(t *testing.T) {
	one, two := member(t, "lb1", 500), member(t, "lb2", 1)
	if tell(t, one, two) != 0 {
		t.Error("a configuration that nobody changed travels")
	}
	cfg, _ := one.facts.current()
	one.changed(cfg)
	if n := tell(t, one, two); n < 2 {
		t.Errorf("500 services make %d part: the test does not prove the joining of several", n)
	}
	if n, secret := two.names(); n != 500 || secret != "/lb2.secret" {
		t.Errorf("lb2 has %d services and the secret %s", n, secret)
	}
	own, _ := two.facts.current()
	if own.Node.Name != "lb2" || own.Node.Seat != lb.Secondary {
		t.Errorf("the node's own part travelled: %+v", own.Node)
	}
	// What came from the peer is no news for it, and an older one changes nothing.
	old, err := one.Parts()
	if err != nil {
		t.Fatal(err)
	}
	own.Services = own.Services[:5]
	two.facts.setConfig(own, config.Revision(own))
	two.changed(own)
	tell(t, two, one)
	if n, _ := one.names(); n != 5 {
		t.Errorf("lb1 has %d services after a change on lb2", n)
	}
	for _, p := range old {
		if err := two.Merge(t.Context(), p); err != nil {
			t.Error(err)
		}
	}
	if n, _ := two.names(); n != 5 {
		t.Errorf("an older configuration came back: %d services", n)
	}
}

func TestAnUnchangedConfigurationIsNoNews(t *testing.T) {
	s := member(t, "lb1", 1)
	cfg, _ := s.facts.current()
	s.changed(cfg)
	count := s.state.Count
	s.changed(cfg)
	if s.state.Count != count {
		t.Error("a reload of the same file counts as a change")
	}
}

func TestBrokenPairLeavesTheOtherEmpty(t *testing.T) {
	one, two := member(t, "lb1", 3), member(t, "lb2", 3)
	one.broke("lb1")
	tell(t, one, two)
	tell(t, two, one)
	if !one.known() {
		t.Error("lb1 does not know that lb2 was told")
	}
	two.told = time.Time{} // a while ago
	if told, err := two.leave(); !told || err != nil {
		t.Error(told, err)
	}
	cfg, _ := two.facts.current()
	if cfg.Cluster.Paired || len(cfg.Services) != 0 || len(cfg.Node.Paths) != 0 || cfg.Node.Name != "lb2" {
		t.Errorf("lb2 is %+v", cfg)
	}
	if got := config.Mistakes(cfg); got != nil {
		t.Errorf("it could not start again: %v", got)
	}
	two.reset()
	if two.state != (sharedState{}) {
		t.Error("a former pair is remembered by the next")
	}
}

func TestNonsenseFromThePeer(t *testing.T) {
	s := member(t, "lb1", 1)
	for _, part := range []string{"", "{", `{"count":1,"of":0}`, `{"count":1,"of":9999}`, `{"count":1,"index":5,"of":2}`, `{"count":1,"node":"lb2","index":0,"of":1,"text":"bm9kZTog"}`} {
		if err := s.Merge(t.Context(), []byte(part)); err == nil {
			t.Errorf("%q was taken", part)
		}
	}
	if n, _ := s.names(); n != 1 {
		t.Errorf("%d services", n)
	}
	if len(s.problems()) == 0 {
		t.Error("nobody is told")
	}
}

// TestWhatCannotBeTakenIsTriedAgain: the peer says it once; a disk that is full for a while
// must not keep the nodes apart for good.
func TestWhatCannotBeTakenIsTriedAgain(t *testing.T) {
	one, two := member(t, "lb1", 2), member(t, "lb2", 1)
	cfg, _ := one.facts.current()
	one.changed(cfg)
	parts, err := one.Parts()
	if err != nil {
		t.Fatal(err)
	}
	apply := two.apply
	two.apply = func(lb.Config) error { return errors.New("no space left on device") }
	for _, p := range parts {
		err = two.Merge(t.Context(), p)
	}
	if err == nil || len(two.problems()) == 0 {
		t.Error("nobody is told")
	}
	two.apply = apply
	now := time.Now()
	two.retry(now)
	if n, _ := two.names(); n != 1 {
		t.Error("it was tried again at once")
	}
	two.retry(now.Add(retryEvery + time.Second))
	if n, _ := two.names(); n != 2 || len(two.problems()) > 0 {
		t.Errorf("%d services, %v", n, two.problems())
	}
}
