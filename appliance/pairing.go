package appliance

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/internal/mgmt"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/atomicfile"
	"github.com/vosbed/vosbed/internal/buildinfo"
)

// Ports of the pair (guide 9.5).
const (
	portManagement  = 9443
	portHeartbeat   = 6694
	portReplication = 7778
)

// pairing makes and breaks the pair (guide 14.1.2). A pair comes about in two steps: Create
// looks whether it can be, prepares the peer, and puts it into this node's draft; when that
// is applied, this node is the owner of a pair whose peer is silent, and then the peer is
// told to join. In this order no moment has two owners, whatever fails.
type pairing struct {
	*Appliance

	mu      sync.Mutex
	pending *invitation
	asked   *api.PairJoin // on the peer: prepared and not yet joined
}

// invitation is a peer that is prepared.
type invitation struct {
	client *api.Client
	join   api.PairJoin
	name   string
}

const (
	secretBytes = 32
	pathName    = "pair"
	// adminUser is the account whose password makes the pair (guide 14.1.2).
	adminUser = "loadbalancer"
)

// secretFile is where this node keeps the secret of a pair that was made here.
func (p *pairing) secretFile() string {
	path, err := filepath.Abs(filepath.Join(p.opts.StateDir, "pair.secret"))
	if err != nil {
		return filepath.Join("/var/lib/vosbed", "pair.secret")
	}
	return path
}

// Create prepares the pair with a peer; it comes about when the draft is applied.
func (p *pairing) Create(ctx context.Context, user string, want api.PairCreate) error {
	addr, local, err := ends(want)
	if err != nil {
		return err
	}
	cfg, _ := p.facts.current()
	if blocks := p.blocks(cfg); len(blocks) > 0 {
		return refused(blocks)
	}
	client, err := p.enter(ctx, addr, want)
	if err != nil {
		return err
	}
	if err = theirBlocks(ctx, client, cfg.Node.Name); err != nil {
		return err
	}
	secret := make([]byte, secretBytes)
	_, _ = rand.Read(secret) // never fails (crypto/rand)
	text := []byte(hex.EncodeToString(secret))
	join := api.PairJoin{Primary: cfg.Node.Name, Local: addr.Addr().String(), Peer: local.String(), Secret: text}
	joined, err := client.JoinPair(ctx, join)
	if err != nil {
		return fmt.Errorf("%w: the peer cannot join: %w", mgmt.ErrRefused, err)
	}
	if err = atomicfile.Write(p.secretFile(), text, 0o600); err != nil {
		return err
	}
	err = p.draft.Edit(ctx, "", user, func(cfg *lb.Config) error {
		*cfg = paired(*cfg, lb.Primary, local, addr.Addr(), p.secretFile())
		return nil
	})
	if err != nil {
		return refusal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending = &invitation{client, join, joined.Secondary}
	return nil
}

// ends reads the two addresses.
func ends(want api.PairCreate) (addr netip.AddrPort, local netip.Addr, err error) {
	wrong := map[string]string{}
	if addr, err = peerAddr(want.Address); err != nil {
		wrong["address"] = err.Error()
	}
	if local, err = netip.ParseAddr(want.Local); err != nil {
		wrong["local"] = fmt.Sprintf("%q is not an IP address of this node", want.Local)
	}
	if len(wrong) == 0 && local.Is4() != addr.Addr().Is4() {
		wrong["local"] = fmt.Sprintf("%s and %s are of different families: use IPv4 or IPv6 for both", local, addr.Addr())
	}
	if want.Fingerprint == "" {
		wrong["fingerprint"] = "look at the peer first: its certificate must be known before the password leaves this node"
	}
	if len(wrong) > 0 {
		return addr, local, &mgmt.FieldsError{Fields: wrong}
	}
	return addr, local, nil
}

// peerAddr reads "IP" or "IP:port".
func peerAddr(text string) (netip.AddrPort, error) {
	text = strings.TrimSpace(text)
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.AddrPortFrom(a.Unmap(), portManagement), nil
	}
	ap, err := netip.ParseAddrPort(text)
	if err != nil {
		return ap, fmt.Errorf("%q is not the peer's IP address: write for example 192.168.94.102", text)
	}
	return ap, nil
}

// enter logs in at the peer, whose certificate must be the one that was shown.
func (p *pairing) enter(ctx context.Context, addr netip.AddrPort, want api.PairCreate) (*api.Client, error) {
	client, err := api.NewHTTPS(addr.String(), "", want.Fingerprint)
	if err != nil {
		return nil, &mgmt.FieldsError{Fields: map[string]string{"fingerprint": err.Error()}}
	}
	in, err := client.Login(ctx, adminUser, want.Password)
	if problem, ok := errors.AsType[*api.ProblemError](err); ok {
		return nil, &mgmt.FieldsError{Fields: map[string]string{"password": "the peer says: " + problem.Problem.Detail}}
	}
	if err != nil {
		return nil, &mgmt.FieldsError{Fields: map[string]string{"address": err.Error()}}
	}
	return client.As(in.Token, nil), nil
}

// theirBlocks refuses a peer that cannot join, by what it says itself.
func theirBlocks(ctx context.Context, peer *api.Client, own string) error {
	st, err := peer.Status(ctx)
	if err != nil {
		return fmt.Errorf("%w: the peer's status cannot be read: %w", mgmt.ErrRefused, err)
	}
	var blocks []string
	if st.Node == own {
		blocks = append(blocks, fmt.Sprintf("both nodes are called %s: give one of them another name", own))
	}
	if v := buildinfo.Get().Version; st.Version != v {
		blocks = append(blocks, fmt.Sprintf("this node runs version %s and the peer %s: bring both to one version", v, st.Version))
	}
	if st.Role != lb.Standalone.String() {
		blocks = append(blocks, "the peer is part of a pair already: break that first")
	}
	if len(st.Services) > 0 {
		blocks = append(blocks, fmt.Sprintf("the peer has %d virtual services of its own, which the pair would replace: remove them there first", len(st.Services)))
	}
	return refused(blocks)
}

func refused(blocks []string) error {
	if len(blocks) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", mgmt.ErrRefused, strings.Join(blocks, "; "))
}

// blocks is what keeps this node from having a peer.
func (p *pairing) blocks(cfg lb.Config) []string {
	var out []string
	if cfg.Cluster.Paired {
		out = append(out, "this node is part of a pair already: break it first")
	}
	cfg.Cluster.Paired, cfg.Cluster.Lease = true, true
	if err := suits(p.opts, cfg); err != nil {
		out = append(out, err.Error())
	}
	return out
}

// paired is a configuration with a peer.
func paired(cfg lb.Config, seat lb.Seat, local, peer netip.Addr, secretFile string) lb.Config {
	end := func(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a, port) }
	cfg.Node.Seat = seat
	cfg.Node.Paths = []lb.HeartbeatPath{{Name: pathName, Local: end(local, portHeartbeat), Peer: end(peer, portHeartbeat)}}
	cfg.Node.Replication = lb.Replication{Local: end(local, portReplication), Peer: end(peer, portReplication)}
	cfg.Cluster.Paired, cfg.Cluster.SecretFile = true, secretFile
	return cfg
}

// Join prepares this node for a pair, or, with the primary's configuration, joins it.
func (p *pairing) Join(_ context.Context, want api.PairJoin) (api.PairJoined, error) {
	cfg, _ := p.facts.current()
	out := api.PairJoined{Secondary: cfg.Node.Name}
	blocks := p.blocks(cfg)
	if len(cfg.Services) > 0 {
		blocks = append(blocks, "this node has virtual services of its own: remove them first")
	}
	if len(blocks) > 0 {
		return out, refused(blocks)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if want.Config == "" {
		p.asked = &want
		return out, nil
	}
	if p.asked == nil || string(p.asked.Secret) != string(want.Secret) {
		return out, fmt.Errorf("%w: this node was not asked before: begin with Add new node on the primary", mgmt.ErrRefused)
	}
	next, err := p.joining(cfg, want)
	if err != nil {
		return out, err
	}
	if err := atomicfile.Write(p.secretFile(), want.Secret, 0o600); err != nil {
		return out, err
	}
	p.asked = nil
	p.shared.reset()
	return out, p.adopt(next)
}

// joining is the configuration of a node that joins.
func (p *pairing) joining(own lb.Config, want api.PairJoin) (lb.Config, error) {
	local, errLocal := netip.ParseAddr(want.Local)
	peer, errPeer := netip.ParseAddr(want.Peer)
	theirs, err := config.Parse("the primary's configuration", []byte(want.Config))
	if err = errors.Join(errLocal, errPeer, err); err != nil {
		return own, &mgmt.InvalidError{Detail: "what the primary sent cannot be used: " + err.Error()}
	}
	return paired(config.WithCluster(own, theirs), lb.Secondary, local, peer, p.secretFile()), nil
}

// joinWithin bounds the wait for the peer to join.
const joinWithin = 15 * time.Second

// complete lets a prepared peer join, once this node is the owner of their pair. It does
// nothing where no peer is prepared.
func (p *pairing) complete(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	cfg, _ := p.facts.current()
	if p.pending == nil || !cfg.Cluster.Paired {
		return nil
	}
	text, err := config.Encode(cfg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, joinWithin)
	defer cancel()
	join := p.pending.join
	join.Config = string(text)
	if _, err := p.pending.client.JoinPair(ctx, join); err != nil {
		return fmt.Errorf("%w: this node is ready for the pair and serves, but %s did not join: %w: "+
			"apply once more to try again, or break the pair", mgmt.ErrRefused, p.pending.name, err)
	}
	p.log.InfoContext(ctx, "the peer has joined the pair", "peer", p.pending.name)
	p.pending = nil
	return nil
}

// prepared reports whether a peer waits to join.
func (p *pairing) prepared() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pending != nil
}

// forget drops a prepared peer.
func (p *pairing) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending = nil
}

// Bounds of a farewell: the peer must have let go before this node is alone.
const (
	farewellWithin = 5 * time.Second
	farewellLook   = 50 * time.Millisecond
)

// Break makes two single nodes of the pair: this one keeps the virtual services, the other
// one serves nothing. A peer that cannot be told now is told when it is back; once more,
// Break forgets it.
func (p *pairing) Break(ctx context.Context, user string) error {
	cfg, _ := p.facts.current()
	if !cfg.Cluster.Paired {
		forgotten, err := p.forgetPeer()
		if err == nil && !forgotten {
			err = fmt.Errorf("%w: this node has no peer", mgmt.ErrRefused)
		}
		return err
	}
	p.forget()
	p.log.InfoContext(ctx, "breaking the pair", "user", user)
	if !p.shared.broke(cfg.Node.Name) {
		return errBrokenThere
	}
	kept := p.farewell.begin(cfg)
	return refusal(p.goOnAlone(p.peerLeaves(ctx), kept))
}

var errBrokenThere = fmt.Errorf("%w: the peer has broken the pair: it keeps the virtual services, and this node serves nothing", mgmt.ErrRefused)

// goOnAlone makes a single node of this one: once the peer is gone, or if the peer can be
// told later, which kept says.
func (p *pairing) goOnAlone(gone bool, kept error) error {
	p.settings.reloading.Lock()
	defer p.settings.reloading.Unlock()
	cfg, _ := p.facts.current()
	if !cfg.Cluster.Paired || p.shared.dismissed(cfg.Node.Name) {
		return errBrokenThere
	}
	if gone {
		_, kept = p.farewell.end()
	}
	if kept != nil {
		return kept
	}
	return p.replace(single(cfg))
}

// peerLeaves waits until the peer knows and is silent; false = it could not be told.
func (p *pairing) peerLeaves(ctx context.Context) bool {
	if st := p.pair.status(); !st.PeerAlive {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, farewellWithin)
	defer cancel()
	tick := time.NewTicker(farewellLook)
	defer tick.Stop()
	for !p.shared.known() || p.pair.status().PeerAlive {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}
