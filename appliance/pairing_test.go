package appliance_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/vosbed/vosbed/appliance/api"
)

const freshFile = `
node: {name: lb%[1]d, management: ["192.168.94.10%[1]d:9443"]}
cluster: {heartbeat: 100ms, dead: 1600ms, lease: 1400ms}
`

const goodPassword = "correct horse battery"

// freshPair are two nodes out of the box: a name, an address, a password, and nothing else.
func freshPair(t *testing.T) (a, b *node) {
	t.Helper()
	a, b = newPairOfNodes(t)
	for _, n := range []*node{a, b} {
		n.must(os.WriteFile(filepath.Join(n.dir, "config.yaml"), fmt.Appendf(nil, freshFile, n.number), 0o600))
		n.must(n.ns.Do(func() error {
			lo, err := netlink.LinkByName("lo")
			if err != nil {
				return err
			}
			return netlink.LinkSetUp(lo)
		}))
		n.start()
		until(t, "up", func() bool { return n.status().Role == "standalone" })
		n.must(n.client.SetAccount(t.Context(), "loadbalancer", api.NewAccount{Role: api.RoleAdmin, Password: goodPassword}))
	}
	return a, b
}

// change edits the draft and applies it.
func (n *node) change(edits ...func(*api.Client) error) {
	n.t.Helper()
	for _, e := range edits {
		n.must(e(n.client))
	}
	n.must(n.client.Apply(n.t.Context(), "", ""))
}

func (n *node) services() string {
	var names []string
	for _, s := range n.status().Services {
		names = append(names, fmt.Sprintf("%s:%d", s.Name, len(s.Servers)))
	}
	return strings.Join(names, ",")
}

// TestPairByAddressAndPassword follows guide 14.1.2: the primary is configured, the
// secondary added by its address and password, kept in sync, and the pair broken again.
// At no moment have both the VIP.
func TestPairByAddressAndPassword(t *testing.T) {
	a, b := freshPair(t)
	ctx := t.Context()
	a.change(
		func(c *api.Client) error {
			return c.AddService(ctx, "", api.Fields{"name": "traffic", "address": "192.168.94.110", "ports": "60000", "check.type": "on"})
		},
		func(c *api.Client) error {
			return c.AddServer(ctx, "", "traffic", api.Fields{"name": "HT1", "address": "192.168.94.115"})
		},
	)
	until(t, "the single node serves", a.hasVIP)
	watch := onlyOne(t, b)
	defer watch()

	report, err := a.client.LookAtPeer(ctx, "192.168.94.102")
	a.must(err)
	if len(report.Blocks) > 0 || report.Locals[0] != "192.168.94.101" || !strings.HasPrefix(report.Fingerprint, "sha256//") {
		t.Errorf("the peer looks like %+v", report)
	}
	want := api.PairCreate{Local: "192.168.94.101", Address: report.Address, Fingerprint: report.Fingerprint, Password: "wrong"}
	var problem *api.ProblemError
	if err := a.client.CreatePair(ctx, want); !errors.As(err, &problem) || problem.Problem.Fields["password"] == "" {
		t.Errorf("a wrong password: %v", err)
	}
	want.Password = goodPassword
	a.must(a.client.CreatePair(ctx, want))
	if a.status().Role != "standalone" || b.status().Role != "standalone" {
		t.Error("something took effect before it was applied")
	}
	a.must(a.client.Apply(ctx, "", ""))
	until(t, "the primary is active and in sync", a.is("active"))
	until(t, "the secondary is passive and in sync", b.is("passive"))
	if got := b.services(); got != "traffic:1" || a.status().Seat != "primary" || b.status().Seat != "secondary" {
		t.Errorf("lb2 serves %q; seats %s, %s", got, a.status().Seat, b.status().Seat)
	}

	a.change(func(c *api.Client) error {
		return c.AddServer(ctx, "", "traffic", api.Fields{"name": "HT2", "address": "192.168.94.116"})
	})
	until(t, "the secondary is kept in sync", func() bool { return b.services() == "traffic:2" })
	if err := b.client.AddServer(ctx, "", "traffic", api.Fields{"name": "HT3", "address": "192.168.94.117"}); !errors.As(err, &problem) || problem.Problem.Status != 409 {
		t.Errorf("a change on the secondary: %v", err)
	}

	a.must(a.client.BreakPair(ctx))
	until(t, "two single nodes", func() bool { return a.status().Role == "standalone" && b.status().Role == "standalone" })
	until(t, "the one goes on", a.hasVIP)
	if got := b.services(); got != "" || b.hasVIP() {
		t.Errorf("lb2 serves %q after the end", got)
	}
}

// TestAPeerThatCannotJoin: what blocks is named before anything changes.
func TestAPeerThatCannotJoin(t *testing.T) {
	a, b := freshPair(t)
	ctx := t.Context()
	b.change(
		func(c *api.Client) error {
			return c.AddService(ctx, "", api.Fields{"name": "own", "address": "192.168.94.111", "ports": "60000", "check.type": "on"})
		},
		func(c *api.Client) error {
			return c.AddServer(ctx, "", "own", api.Fields{"name": "x", "address": "192.168.94.115"})
		},
	)
	report, err := a.client.LookAtPeer(ctx, "192.168.94.102")
	a.must(err)
	want := api.PairCreate{Local: "192.168.94.101", Address: report.Address, Fingerprint: report.Fingerprint, Password: goodPassword}
	if err := a.client.CreatePair(ctx, want); err == nil || !strings.Contains(err.Error(), "virtual services of its own") {
		t.Errorf("a peer that serves something: %v", err)
	}
	want.Fingerprint = "sha256//" + strings.Repeat("A", 43) + "="
	if err := a.client.CreatePair(ctx, want); err == nil {
		t.Error("the password went to a stranger")
	}
	if report, err := a.client.LookAtPeer(ctx, "192.168.94.101"); err != nil || !strings.Contains(strings.Join(report.Blocks, " "), "this node itself") {
		t.Errorf("itself: %+v, %v", report, err)
	}
	if _, err := a.client.LookAtPeer(ctx, "192.168.94.199"); err == nil {
		t.Error("nobody is a peer")
	}
	if d, err := a.client.Draft(ctx); err != nil || len(d.Changes) > 0 {
		t.Errorf("pending: %+v, %v", d.Changes, err)
	}
}

// onlyOne watches that the secondary never has the VIP; the function that it returns ends
// that.
func onlyOne(t *testing.T, b *node) (stop func()) {
	t.Helper()
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-end:
				return
			case <-tick.C:
				if b.hasVIP() {
					t.Error("the secondary has the VIP beside the primary")
					return
				}
			}
		}
	}()
	return sync.OnceFunc(func() { close(end); <-done })
}

// TestBreakWhileThePeerIsOff: the peer learns of it when it is back, and never has the VIP.
func TestBreakWhileThePeerIsOff(t *testing.T) {
	a, b := freshPair(t)
	ctx := t.Context()
	a.change(
		func(c *api.Client) error {
			return c.AddService(ctx, "", api.Fields{"name": "traffic", "address": "192.168.94.110", "ports": "60000", "check.type": "on"})
		},
		func(c *api.Client) error {
			return c.AddServer(ctx, "", "traffic", api.Fields{"name": "HT1", "address": "192.168.94.115"})
		},
	)
	report, err := a.client.LookAtPeer(ctx, "192.168.94.102")
	a.must(err)
	a.must(a.client.CreatePair(ctx, api.PairCreate{Local: "192.168.94.101", Address: report.Address, Fingerprint: report.Fingerprint, Password: goodPassword}))
	a.must(a.client.Apply(ctx, "", ""))
	until(t, "a pair", func() bool { return a.is("active")() && b.is("passive")() })
	b.stop()
	until(t, "the loss is seen", func() bool { return !a.status().Pair.PeerAlive })

	a.must(a.client.BreakPair(ctx))
	until(t, "a single node that says what is left", func() bool {
		s := a.status()
		return s.Role == "standalone" && strings.Contains(strings.Join(s.Problems, "\n"), "192.168.94.102 does not know it yet")
	})
	a.stop()
	a.start() // it remembers
	until(t, "it serves", func() bool { return a.hasVIP() && a.status().Role == "standalone" })

	watch := onlyOne(t, b)
	defer watch()
	b.start()
	until(t, "the peer has left", func() bool { s := b.status(); return s.Role == "standalone" && len(s.Services) == 0 })
	until(t, "nothing is left to say", func() bool {
		return a.hasVIP() && !strings.Contains(strings.Join(a.status().Problems, "\n"), "does not know")
	})
	if _, err := os.Stat(filepath.Join(a.dir, "state", "farewell.json")); err == nil {
		t.Error("the former secret is still there")
	}
	var problem *api.ProblemError
	if err := a.client.BreakPair(ctx); !errors.As(err, &problem) || problem.Problem.Status != 409 {
		t.Errorf("a single node breaks its pair: %v", err)
	}
}
