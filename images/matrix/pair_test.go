package matrix_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/images/vm"
)

// peerIP is the second machine's address in the guide's deployment.
const peerIP = "192.168.94.102"

// slowness is by what the pair's timers are stretched: two emulated machines share the
// processors of one.
const slowness = 20

// node is one machine of a pair.
type node struct {
	name, ip string
	id       byte
	v        *vm.VM
	port     int // of loopback, leads to its WebUI
}

// TestUpdatePair makes a pair of two booted images as an administrator does (guide 14.1.2)
// and updates both by one command (guide 9.4.2) from a third machine, while clients use both
// VIPs. Both nodes run the new version then, and no client waited as long as one node takes
// to start.
func TestUpdatePair(t *testing.T) {
	at, good := updates(t)
	l := newLAN(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*updatePatience)
	defer cancel()
	pair := []*node{{name: "lb1", ip: machineIP, id: 101}, {name: "lb2", ip: peerIP, id: 102}}
	began := time.Now()
	l.power(ctx, t, pair[0], at, primaryConfig(t))
	boot := l.serving(ctx, t, began)
	t.Logf("a machine serves both VIPs %.1f s after power-on", boot.Seconds())
	l.power(ctx, t, pair[1], at, spareConfig(t))
	pairUp(ctx, t, pair)

	gap := l.longestGap()
	updatesPair(ctx, t, pair, good)
	longest, asked := gap()
	t.Logf("clients asked both VIPs %d times meanwhile, the longest time without an answer was %.1f s", asked, longest.Seconds())
	if longest >= boot {
		t.Errorf("clients were without an answer for %.1f s: as long as a machine takes to start", longest.Seconds())
	}
	for _, n := range pair {
		u, err := client(ctx, t, n.port).Update(ctx)
		must(t, err)
		if u.Version != goodVersion || !proven(u) {
			t.Errorf("%s: %+v", n.name, u)
		}
	}
	if st, err := client(ctx, t, pair[0].port).Status(ctx); err != nil || st.Role != "active" || !st.Pair.InSync {
		t.Errorf("the primary is %s, in sync %t: %v", st.Role, st.Pair.InSync, err)
	}
	l.serving(ctx, t, time.Now())
}

// power boots one of the machines and lets the administrator in.
func (l *lan) power(ctx context.Context, t *testing.T, n *node, at, text string) {
	t.Helper()
	n.port = l.forward(t, n.ip+":9443")
	n.v, _ = l.startAs(t, n.id, vm.Options{Disk: overlay(t, at), Seed: seed(t, text), Hardware: vm.Hardwares()[0]})
	answers(ctx, t, n.port, time.Now())
	logIn(ctx, t, n.port)
}

// primaryConfig is the guide's deployment before it is a pair.
func primaryConfig(t *testing.T) string {
	t.Helper()
	cfg, err := config.ParseDraft("guide", []byte(guideConfig(t)))
	must(t, err)
	timers := &cfg.Cluster.Timers
	for _, d := range []*time.Duration{&timers.Heartbeat, &timers.Dead, &timers.Lease, &timers.Init} {
		*d *= slowness
	}
	text, err := config.Encode(cfg)
	must(t, err)
	return string(text)
}

// spareConfig is a node that knows itself only.
func spareConfig(t *testing.T) string {
	t.Helper()
	cfg, err := config.ParseDraft("spare", []byte("node:\n  name: lb2\n  management: [\""+peerIP+":9443\"]\n"))
	must(t, err)
	cfg.Node.System = lb.System{Hostname: "lb2", Interfaces: []lb.Interface{{Name: "eth0", Addrs: []netip.Prefix{netip.MustParsePrefix(peerIP + "/24")}}}}
	text, err := config.Encode(cfg)
	must(t, err)
	return string(text)
}

// pairUp makes the two a pair, and waits until they are in sync.
func pairUp(ctx context.Context, t *testing.T, pair []*node) {
	t.Helper()
	c := client(ctx, t, pair[0].port)
	peer, err := c.LookAtPeer(ctx, pair[1].ip)
	must(t, err)
	if len(peer.Blocks) > 0 {
		t.Fatalf("they cannot become a pair: %q", peer.Blocks)
	}
	must(t, c.CreatePair(ctx, api.PairCreate{Local: pair[0].ip, Address: peer.Address, Fingerprint: peer.Fingerprint, Password: password}))
	must(t, c.Apply(ctx, "", ""))
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		one, wrong := client(ctx, t, pair[0].port).Status(ctx)
		other, alsoWrong := client(ctx, t, pair[1].port).Status(ctx)
		if wrong == nil && alsoWrong == nil && one.Pair.InSync && other.Pair.InSync {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("the machines do not become a pair: %+v, %v; %+v, %v", one.Pair, wrong, other.Pair, alsoWrong)
		}
	}
}

// updatesPair runs lbctl update pair, as its help says.
func updatesPair(ctx context.Context, t *testing.T, pair []*node, archive string) {
	t.Helper()
	dir := t.TempDir()
	lbctl := filepath.Join(dir, "lbctl")
	build := exec.CommandContext(ctx, "go", "build", "-o", lbctl, "../../cmd/lbctl")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build lbctl: %v\n%s", err, out)
	}
	args := []string{"--json", "update", "pair", archive, "--to-primary"}
	for i, prefix := range []string{"--", "--peer-"} {
		token, err := client(ctx, t, pair[i].port).CreateToken(ctx, api.NewTokenOf{Name: "update", Role: api.RoleAdmin})
		must(t, err)
		file := filepath.Join(dir, pair[i].name+".token")
		must(t, os.WriteFile(file, []byte(token.Token+"\n"), 0o600))
		args = append(args, prefix+"address", fmt.Sprintf("127.0.0.1:%d", pair[i].port), prefix+"token-file", file, prefix+"pin", token.Pin)
	}
	cmd := exec.CommandContext(ctx, lbctl, args...)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	must(t, err)
	began := time.Now()
	must(t, cmd.Start())
	var last struct{ Node, Step, Text string }
	for lines := bufio.NewScanner(out); lines.Scan(); {
		must(t, json.Unmarshal(lines.Bytes(), &last))
		t.Logf("%6.1f s  %-4s %-8s %s", time.Since(began).Seconds(), last.Node, last.Step, last.Text)
	}
	if err := cmd.Wait(); err != nil || last.Step != "done" {
		t.Fatalf("lbctl update pair: %v\n%s", err, complaints.String())
	}
}

// longestGap asks both VIPs as every client until stop is called, which tells the longest
// time without a good answer and how often they were asked.
func (l *lan) longestGap() (stop func() (time.Duration, int)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	var longest time.Duration
	asked, last := 0, time.Now()
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			err := l.served(ctx)
			if asked++; err == nil {
				longest, last = max(longest, time.Since(last)), time.Now()
			}
		}
	}()
	return func() (time.Duration, int) {
		cancel()
		<-done
		return max(longest, time.Since(last)), asked
	}
}
