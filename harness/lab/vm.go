package lab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/harness/machine"
	"github.com/vosbed/vosbed/harness/topo"
	"github.com/vosbed/vosbed/internal/qemu"
)

// Bounds of what emulated machines do, on a machine that has much else to do.
const (
	bootTime  = 4 * time.Minute
	bootEvery = 500 * time.Millisecond
	vmCall    = 30 * time.Second

	vmPollEvery = 300 * time.Millisecond
	vmPollTime  = 2 * time.Second
)

// vmUser is the administrator of a machine (guide 9.1), vmPassword his password: it opens
// machines that nobody outside of the run can reach.
const (
	vmUser     = "loadbalancer"
	vmPassword = "Lab-only, 4 machines!"
)

// machines boots the appliance's image. Their API is reached over HTTPS as by any
// administrator, from the first node of the service network that is no appliance.
type machines struct {
	image string
	plan  *topo.Plan
	seeds map[string][]byte

	mu     sync.Mutex
	tokens map[string]api.Token // by node
}

func (*machines) outside() bool { return true }

func (*machines) pollEvery() time.Duration { return vmPollEvery }

func (*machines) pollTime() time.Duration { return vmPollTime }

// prepare makes the disks of a node, once: what a machine wrote is there when it is
// started again.
func (v *machines) prepare(ctx context.Context, n *Node) (disk, seed string, err error) {
	disk, seed = filepath.Join(n.dir, "disk.qcow2"), filepath.Join(n.dir, "seed.img")
	if _, err := os.Stat(disk); err == nil {
		return disk, seed, nil
	}
	s := machine.Seed{Config: v.seeds[n.Name], Password: vmPassword}
	return disk, seed, errors.Join(s.Write(ctx, seed), machine.Overlay(ctx, v.image, disk))
}

func (v *machines) start(ctx context.Context, l *Lab, n *Node) error {
	disk, seed, err := v.prepare(ctx, n)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCannot, err)
	}
	opt := machine.Options{Disk: disk, Seed: seed, Console: l.logPath(n.Name + "-console")}
	var taps []*os.File
	defer func() {
		for _, f := range taps {
			_ = f.Close()
		}
	}()
	for i, p := range n.Ports {
		var tap *os.File
		if err := l.sw.Do(func() (err error) { tap, err = qemu.OpenTap(portName(p)); return err }); err != nil {
			return err
		}
		taps = append(taps, tap)
		opt.Cards = append(opt.Cards, machine.Card{MAC: p.MAC, FD: firstExtra + i})
	}
	began := l.Now()
	if err := l.power(n, machine.Args(opt), taps); err != nil {
		return err
	}
	if err := v.serves(ctx, l, n); err != nil {
		return err
	}
	l.opt.Logger.InfoContext(ctx, "a machine serves", "node", n.Name, "after", l.Now()-began)
	return nil
}

// power starts the emulator.
func (l *Lab) power(n *Node, args []string, taps []*os.File) error {
	path, err := exec.LookPath(machine.QEMU)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCannot, err)
	}
	p, err := n.spawnWith(append([]string{path}, args...), l.logPath(n.Name), nil, taps, func(string) {})
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.proc = p
	n.mu.Unlock()
	return nil
}

// serves waits until the API of a machine takes who may come in.
func (v *machines) serves(ctx context.Context, l *Lab, n *Node) error {
	ctx, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	tick := time.NewTicker(bootEvery)
	defer tick.Stop()
	for {
		err := v.enter(ctx, l, n)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-n.proc.done:
			return fmt.Errorf("the machine ended before it served (%w): see %s: %s", exitError(n.proc.err), l.logPath(n.Name), lastLine(l.logPath(n.Name)))
		case <-ctx.Done():
			return fmt.Errorf("the machine does not serve after %s, see %s: %w", bootTime, l.logPath(n.Name+"-console"), err)
		}
	}
}

// enter asks for the status; the first time it gets a token, which outlives the machine's
// restarts.
func (v *machines) enter(ctx context.Context, l *Lab, n *Node) error {
	if v.token(n.Name).Token == "" {
		if err := v.enroll(ctx, l, n); err != nil {
			return err
		}
	}
	r, err := v.remote(l, n)
	if err != nil {
		return err
	}
	defer r.http.CloseIdleConnections()
	_, err = r.Status(ctx)
	return err
}

func (v *machines) token(node string) api.Token {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.tokens[node]
}

// enroll logs in and takes a token. The certificate is believed this first time.
func (v *machines) enroll(ctx context.Context, l *Lab, n *Node) error {
	pin, err := l.pinOf(ctx, n, v.eye())
	if err != nil {
		return err
	}
	r, err := l.https(n, v.eye(), api.Token{Pin: pin})
	if err != nil {
		return err
	}
	defer r.http.CloseIdleConnections()
	var in api.LoggedIn
	if err := r.ask(ctx, http.MethodPost, api.PathSession, api.Login{User: vmUser, Password: vmPassword}, &in); err != nil {
		return err
	}
	r.token = in.Token
	var token api.Token
	if err := r.ask(ctx, http.MethodPost, api.PathTokens, api.NewTokenOf{Name: "lab", Role: "admin"}, &token); err != nil {
		return err
	}
	token.Pin = pin
	v.mu.Lock()
	defer v.mu.Unlock()
	v.tokens[n.Name] = token
	return nil
}

// eye is the node from which the machines are looked at: the router, which no machine's
// fault touches.
func (v *machines) eye() string {
	for _, kind := range []string{topo.KindRouter, topo.KindClients} {
		if all := v.plan.OfKind(kind); len(all) > 0 {
			return all[0].Name
		}
	}
	return ""
}

func (v *machines) remote(l *Lab, n *Node) (*Remote, error) {
	token := v.token(n.Name)
	if token.Token == "" {
		return nil, fmt.Errorf("nobody has logged in to %s yet", n.Name)
	}
	return l.https(n, v.eye(), token)
}

// join makes the pair as an administrator does (guide 14.1.2): the primary is told of its
// peer. Then each node gets the paths that the topology has, of which that dialog makes
// only one.
func (v *machines) join(ctx context.Context, l *Lab) error {
	ctx, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	nodes := v.plan.OfKind(topo.KindAppliance)
	if len(nodes) < 2 {
		return nil
	}
	slices.SortStableFunc(nodes, func(a, b *topo.Machine) int { return rank(a) - rank(b) })
	primary, secondary := nodes[0], nodes[1]
	r, err := l.nodes[primary.Name].Remote()
	if err != nil {
		return err
	}
	defer r.http.CloseIdleConnections()
	var peer api.PeerReport
	if err := r.ask(ctx, http.MethodPost, api.PathPairPeer, api.PeerQuestion{Address: WebUI(secondary).String()}, &peer); err != nil {
		return err
	}
	want := api.PairCreate{Local: primary.Addr(4).String(), Address: peer.Address, Fingerprint: peer.Fingerprint, Password: vmPassword}
	if err := r.ask(ctx, http.MethodPost, api.PathPairCreate, want, nil); err != nil {
		return err
	}
	if err := r.ask(ctx, http.MethodPost, api.PathApply, api.Apply{}, nil); err != nil {
		return err
	}
	if err := v.inSync(ctx, l, nodes); err != nil {
		return err
	}
	for _, m := range nodes {
		if err := v.rewire(ctx, l, m); err != nil {
			return fmt.Errorf("%s: give it the topology's paths: %w", m.Name, err)
		}
	}
	return v.inSync(ctx, l, nodes)
}

func rank(m *topo.Machine) int {
	if m.Role == "secondary" {
		return 1
	}
	return 0
}

// inSync waits until both nodes say that they are a pair.
func (v *machines) inSync(ctx context.Context, l *Lab, nodes []*topo.Machine) error {
	tick := time.NewTicker(bootEvery)
	defer tick.Stop()
	for {
		n := 0
		var last error
		for _, m := range nodes {
			var st api.Status
			r, err := l.nodes[m.Name].Remote()
			if err == nil {
				err = r.ask(ctx, http.MethodGet, api.PathStatus+"?history=0", nil, &st)
				r.http.CloseIdleConnections()
			}
			if last = errors.Join(last, err); err == nil && st.Pair.InSync {
				n++
			}
		}
		if n == len(nodes) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(errors.New("the machines do not become a pair"), last, context.Cause(ctx))
		}
	}
}
