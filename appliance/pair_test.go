package appliance_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance"
	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/internal/netns"
	"github.com/vosbed/vosbed/internal/testenv"
)

// TestMain is lbd too: a node needs threads that are all in its namespace, so it is
// a process, and its sentinel another.
func TestMain(m *testing.M) {
	var code int
	switch {
	case len(os.Args) == 2 && os.Args[1] == "sentinel":
		code = exitCode(appliance.Sentinel(context.Background(), os.NewFile(appliance.SentinelFd, "main")))
	case len(os.Args) == 2 && os.Args[1] == "web":
		code = exitCode(appliance.Web(context.Background(), os.NewFile(appliance.WebFd, "daemon"), slog.New(slog.DiscardHandler)))
	case os.Getenv("VOSBED_TEST_NODE") != "":
		code = exitCode(runNode(os.Getenv("VOSBED_TEST_NODE")))
	default:
		code = m.Run()
	}
	os.Exit(code) //nolint:forbidigo // this is the test binary's main
}

func exitCode(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func runNode(dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	a, err := appliance.New(appliance.Options{
		ConfigFile: filepath.Join(dir, "config.yaml"), StateDir: filepath.Join(dir, "state"),
		Socket: filepath.Join(dir, "sock"), Dataplane: dataplane(dir), Etc: filepath.Join(dir, "etc"),
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	return a.Run(ctx)
}

// dataplane is what the file of that name says, or else the one that leaves the machine alone.
func dataplane(dir string) string {
	engine, err := os.ReadFile(filepath.Join(dir, "dataplane"))
	if err != nil {
		return "memory"
	}
	return string(engine)
}

// With these timers no stall of a busy machine moves a pair.
const (
	slowTimers  = "heartbeat: 100ms, dead: 1600ms, lease: 1400ms"
	quickTimers = "heartbeat: 40ms, dead: 1200ms, lease: 1000ms"
)

const nodeFile = `
node:
  name: lb%[1]d
  role: %[2]s
  heartbeat: [{name: svc, local: 192.168.94.10%[1]d, peer: 192.168.94.10%[3]d}]
  replication: {local: 192.168.94.10%[1]d, peer: 192.168.94.10%[3]d}
cluster: {paired: true, secret_file: %[4]s, %[5]s}
services:
  - name: traffic
    address: 192.168.94.110
    ports: "60000"
    check: {type: on}
    real_servers:
      - {name: HT1, address: 192.168.94.115}
      - {name: HT2, address: 192.168.94.116}
`

// node is one appliance of a pair.
type node struct {
	t      *testing.T
	number int // 1 is the primary
	dir    string
	ns     *netns.NS
	cmd    *exec.Cmd
	client *api.Client
}

func newPairOfNodes(t *testing.T) (a, b *node) {
	t.Helper()
	a, b = &node{t: t, number: 1, ns: testenv.NewNS(t)}, &node{t: t, number: 2, ns: testenv.NewNS(t)}
	err := a.ns.Do(func() error {
		return netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: "svc0"}, PeerName: "svc0", PeerNamespace: netlink.NsFd(b.ns.Fd()),
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []*node{a, b} {
		n.prepare()
	}
	return a, b
}

func (n *node) prepare() {
	n.t.Helper()
	n.dir = n.t.TempDir()
	n.client = api.NewUnix(filepath.Join(n.dir, "sock"))
	n.must(os.WriteFile(n.secret(), bytes.Repeat([]byte{7}, 32), 0o600))
	n.write(slowTimers)
	n.must(n.ns.Do(func() error {
		l, err := netlink.LinkByName("svc0")
		if err != nil {
			return err
		}
		own := &net.IPNet{IP: net.IPv4(192, 168, 94, byte(100+n.number)), Mask: net.CIDRMask(24, 32)}
		if err := netlink.AddrAdd(l, &netlink.Addr{IPNet: own}); err != nil {
			return err
		}
		return netlink.LinkSetUp(l)
	}))
}

func (n *node) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) secret() string { return filepath.Join(n.dir, "pair.secret") }

func (n *node) write(timers string) {
	n.t.Helper()
	role := map[int]string{1: "primary", 2: "secondary"}[n.number]
	text := fmt.Sprintf(nodeFile, n.number, role, 3-n.number, n.secret(), timers)
	n.must(os.WriteFile(filepath.Join(n.dir, "config.yaml"), []byte(text), 0o600))
}

func (n *node) start() {
	n.t.Helper()
	n.cmd = exec.CommandContext(context.Background(), os.Args[0])
	n.cmd.Env = append(os.Environ(), "VOSBED_TEST_NODE="+n.dir, "GORACE=atexit_sleep_ms=0")
	n.cmd.Stderr = n.t.Output()
	n.must(n.ns.Do(n.cmd.Start))
	n.t.Cleanup(func() {
		if n.cmd.ProcessState == nil {
			_ = n.cmd.Process.Kill()
			_ = n.cmd.Wait()
		}
	})
}

// stop is what systemd does; it returns how long the node took.
func (n *node) stop() time.Duration {
	n.t.Helper()
	began := time.Now()
	n.must(n.cmd.Process.Signal(unix.SIGTERM))
	if err := n.cmd.Wait(); err != nil {
		n.t.Errorf("lb%d ended: %v", n.number, err)
	}
	return time.Since(began)
}

func (n *node) status() api.Status {
	s, err := n.client.Status(n.t.Context())
	if err != nil {
		return api.Status{} // not up yet
	}
	return s
}

func (n *node) is(role string) func() bool {
	return func() bool { s := n.status(); return s.Role == role && s.Pair.PeerAlive && s.Pair.InSync }
}

func (n *node) admin(server, state string) func() bool {
	return func() bool {
		for _, svc := range n.status().Services {
			for _, r := range svc.Servers {
				if r.Name == server {
					return r.Admin == state
				}
			}
		}
		return false
	}
}

func (n *node) hasVIP() bool {
	found := false
	n.must(n.ns.Do(func() error {
		l, err := netlink.LinkByName("svc0")
		if err != nil {
			return err
		}
		list, err := netlink.AddrList(l, netlink.FAMILY_V4)
		for _, addr := range list {
			found = found || addr.IP.Equal(net.IPv4(192, 168, 94, 110))
		}
		return err
	}))
	return found
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); !ok(); <-tick.C {
		if time.Since(began) > 15*time.Second {
			t.Fatalf("%s: not within 15 s", what)
		}
	}
}

// TestPair goes through the life of a pair: an operator's wish on either node, new
// timers, and an orderly stop of each.
func TestPair(t *testing.T) {
	a, b := newPairOfNodes(t)
	a.start()
	until(t, "the primary is up", func() bool { return a.status().Node != "" })
	b.start()
	until(t, "the primary is active", a.is("active"))
	until(t, "the secondary is passive", b.is("passive"))

	a.must(a.client.SetServer(t.Context(), "traffic", "HT1", api.ServerState{State: "halt"}))
	until(t, "a halt on the active node reaches the passive one", b.admin("HT1", "halt"))
	b.must(b.client.SetServer(t.Context(), "traffic", "HT2", api.ServerState{State: "drain"}))
	until(t, "and a drain the other way", a.admin("HT2", "drain"))

	term := a.status().Pair.Term
	for _, timers := range []string{quickTimers, slowTimers} {
		for _, n := range []*node{b, a} {
			n.write(timers)
			n.must(n.client.Reload(t.Context()))
			until(t, "still a pair", func() bool { return a.is("active")() && b.is("passive")() })
		}
	}
	if got := a.status().Pair.Term; got != term {
		t.Errorf("new timers cost %d take-overs", got-term)
	}

	took := a.stop()
	if a.hasVIP() {
		t.Error("after an orderly stop lb1 has the VIP still")
	}
	until(t, "the peer has it", func() bool { return b.hasVIP() && b.status().Role == "active" })
	if why := b.status().Pair.Reason; why != "planned switchover" {
		t.Errorf("the peer took over because: %s", why)
	}
	t.Logf("stopped in %v", took)

	b.must(b.client.SetServer(t.Context(), "traffic", "HT1", api.ServerState{State: "online"}))
	a.start() // with an older halt in its file
	until(t, "back as passive", a.is("passive"))
	until(t, "what was said in its absence holds", a.admin("HT1", "online"))
	until(t, "and on the other node still", b.admin("HT1", "online"))

	a.stop()
	t.Logf("a node without a peer stopped in %v", b.stop())
	if !b.hasVIP() {
		t.Error("without a peer the kernel's state stays in place")
	}
}

// TestNewSecretIsReadOnReload: the nodes read it one after the other, and long after:
// the owner stays the only one.
func TestNewSecretIsReadOnReload(t *testing.T) {
	a, b := newPairOfNodes(t)
	a.start()
	b.start()
	until(t, "a pair", func() bool { return a.is("active")() && b.is("passive")() })
	term := a.status().Pair.Term
	a.must(os.WriteFile(a.secret(), []byte("too short"), 0o600))
	if err := a.client.Reload(t.Context()); err == nil {
		t.Error("a secret that is none must be refused")
	}
	until(t, "a refused secret changed nothing", a.is("active"))
	for _, n := range []*node{a, b} {
		n.must(os.WriteFile(n.secret(), bytes.Repeat([]byte{8}, 32), 0o600))
	}
	a.must(a.client.Reload(t.Context()))
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < 3*time.Second; <-tick.C { // more than Dead
		if b.status().Role != "passive" || b.hasVIP() {
			t.Fatalf("%v after the first reload lb2 is %+v", time.Since(began), b.status().Pair)
		}
	}
	b.must(b.client.Reload(t.Context()))
	until(t, "a pair again, by the new secret", func() bool { return a.is("active")() && b.is("passive")() })
	if got := a.status().Pair.Term; got != term {
		t.Errorf("a new secret cost %d take-overs", got-term)
	}
}

// TestRestartBetweenTheReloads: a node that has the new secret starts again before its peer
// has it. It still hears the peer, so there is one owner, and forgets the former secret once
// both have the new one.
func TestRestartBetweenTheReloads(t *testing.T) {
	a, b := newPairOfNodes(t)
	a.start()
	b.start()
	until(t, "a pair", func() bool { return a.is("active")() && b.is("passive")() })
	former := filepath.Join(a.dir, "state", "pair.former")
	for _, n := range []*node{a, b} {
		n.must(os.WriteFile(n.secret(), bytes.Repeat([]byte{8}, 32), 0o600))
	}
	a.must(a.client.Reload(t.Context()))
	if info, err := os.Stat(former); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the former secret is not kept: %v, %v", info, err)
	}
	a.stop()
	until(t, "the peer has the addresses", func() bool { return b.hasVIP() })
	a.start()
	until(t, "the peer is heard by the former secret", func() bool { s := a.status(); return s.Role == "passive" && s.Pair.PeerAlive && !a.hasVIP() })
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < 2*time.Second; <-tick.C { // more than Dead
		if a.hasVIP() {
			t.Fatalf("two owners %v after the restart", time.Since(began))
		}
	}
	b.must(b.client.Reload(t.Context()))
	until(t, "a pair again, by the new secret", func() bool { return a.is("passive")() && b.is("active")() })
	until(t, "the former secret is gone", func() bool { _, err := os.Stat(former); return err != nil })
}
