package appliance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/peer"
	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/internal/sentinel"
	"github.com/vosbed/vosbed/appliance/lb"
)

// Bounds of a pairing secret in bytes.
const (
	leastSecret = 32
	mostSecret  = 4096
)

// pair joins the sentinel (who owns the VIPs) and the replication of persistence
// entries to the rest of the appliance.
type pair struct {
	handle   *sentinel.Handle
	repl     *replication
	farewell *farewell
	parting  atomic.Bool // the pair is a former one: see farewell
	blind    *blindness
	leaseDir string
	publish  func()
	log      *slog.Logger

	mu     sync.Mutex
	config lb.Config
	secret []byte
	former *formerSecret
	// generation numbers the secrets, from 1.
	generation uint64
	vips       []plan.VIP
	ready      bool // the VIPs are known: the sentinel may be configured
}

func newPair(a *Appliance, cfg lb.Config) (*pair, error) {
	p := &pair{
		leaseDir: a.opts.BPFFS, publish: a.publish, log: a.log, blind: a.blind, farewell: a.farewell,
		former: openFormer(filepath.Join(a.opts.StateDir, "pair.former"), a.log),
	}
	p.farewell.change = func() {
		now, _ := a.facts.current()
		if err := p.reconfigure(now); err != nil {
			a.log.Error("the former pair is not left", "err", err)
		}
	}
	if a.opts.Dataplane == memoryEngine || a.opts.Dataplane == ipvsEngine {
		p.leaseDir = "" // they have no lease in the kernel
	}
	p.handle = sentinel.New(sentinel.Options{
		Logger: a.log,
		Flush:  func(ctx context.Context) error { return p.repl.flush(ctx) },
		Agreed: p.agreed,
	})
	p.repl = newReplication(a, p.handle.Synced)
	return p, p.reconfigure(cfg)
}

// reconfigure takes the pair's part of a new configuration. On an error nothing
// has changed.
func (p *pair) reconfigure(cfg lb.Config) error {
	var secret []byte
	former := p.farewell.of(cfg)
	if former != nil {
		cfg, secret = former.dress(cfg), former.Secret
	} else if cfg.Cluster.Paired {
		var err error
		if secret, err = readSecret(cfg.Cluster.SecretFile); err != nil {
			return err
		}
		// A node that cannot make heartbeats would be a second owner.
		if _, err := peer.NewCodec(secret, cfg.Node.Name, len(cfg.Node.Paths)); err != nil {
			return fmt.Errorf("take part in the pair: %w", err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !samePair(p.config, cfg) || !bytes.Equal(p.secret, secret) {
		p.repl.configure(cfg, secret)
	}
	if !bytes.Equal(p.secret, secret) {
		p.generation++
	}
	p.former.replaced(p.secret, secret, time.Now())
	p.config, p.secret = cfg, secret
	p.vips = p.own(p.vips)
	p.parting.Store(former != nil)
	if p.ready {
		p.configure()
	}
	return nil
}

// samePair reports whether replication may go on as it is. Timers are none of its
// business: a link that is taken down is not in sync for a while.
func samePair(a, b lb.Config) bool {
	return a.Cluster.Paired == b.Cluster.Paired && a.Cluster.Replicate == b.Cluster.Replicate &&
		a.Node.Replication == b.Node.Replication &&
		a.Node.Seat == b.Node.Seat && a.Node.Name == b.Node.Name
}

// readSecret refuses a secret that others can read or that is too short to be one.
func readSecret(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the pairing secret (cluster.secret_file): %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the pairing secret: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("the pairing secret %s can be read by others (mode %v): set mode 0600", path, info.Mode().Perm())
	}
	secret, err := io.ReadAll(io.LimitReader(f, mostSecret))
	if err != nil {
		return nil, fmt.Errorf("read the pairing secret: %w", err)
	}
	if len(secret) < leastSecret {
		return nil, fmt.Errorf("the pairing secret %s has %d bytes: it needs at least %d random bytes", path, len(secret), leastSecret)
	}
	return secret, nil
}

// set is the VIP actuator: the sentinel takes or releases them by its role.
func (p *pair) set(_ context.Context, vips []plan.VIP) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	vips = p.own(vips)
	if p.ready && slices.Equal(p.vips, vips) {
		return nil
	}
	p.vips, p.ready = slices.Clone(vips), true
	p.configure()
	return nil
}

// own drops the addresses of an earlier plan: a node that leaves its pair has no services
// from that moment on, and as a single node it would take them. It is called with the lock
// held.
func (p *pair) own(vips []plan.VIP) []plan.VIP {
	if len(p.config.Services) == 0 {
		return nil
	}
	return vips
}

// configure is called with the lock held.
func (p *pair) configure() {
	p.handle.Configure(sentinel.Config{
		Node: p.config.Node, Cluster: p.config.Cluster, Secret: p.secret, Former: p.former.secret(), Generation: p.generation,
		VIPs: p.vips, LeaseDir: p.leaseDir,
	})
}

// agreed drops the former secret once the peer is heard by the present one.
func (p *pair) agreed(generation uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if generation == p.generation && p.former.secret() != nil {
		p.former.drop()
		p.configure() // nor does a sentinel that starts again get it
	}
	p.former.expire(time.Now())
}

// alive tells the sentinel that the reconcile loop turns.
func (p *pair) alive() { p.handle.Progress() }

// status is what the pair is now; a role change is published at once.
func (p *pair) status() lb.PairStatus {
	s := p.handle.State()
	lag, problem := p.repl.status()
	s.Lag = lag
	if problem != "" {
		s.Problems = append(slices.Clone(s.Problems), "persistence is not replicated: "+problem)
	}
	return s
}

// shown is the status as people are to see it: a node that waits to tell a former peer of
// the end of their pair is a single one.
func (p *pair) shown() lb.PairStatus {
	s := p.status()
	if !p.parting.Load() || s.Role != lb.Active {
		return s
	}
	return lb.PairStatus{
		Role: lb.Standalone, Since: s.Since, Reason: "the pair was broken", LeaseHeld: s.LeaseHeld,
		Pings: s.Pings, RealTime: s.RealTime, RealTimeNo: s.RealTimeNo,
	}
}

func (p *pair) watch(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case s := <-p.handle.States():
			p.blind.observe(s.Pings, time.Now())
			p.publish()
		}
	}
}

// command carries out "takeover" or "release".
func (p *pair) command(ctx context.Context, verb string) error {
	switch verb {
	case "takeover":
		return p.handle.Command(ctx, sentinel.TakeOver)
	case "release":
		return p.handle.Command(ctx, sentinel.Release)
	}
	return errors.New(`unknown command: use "takeover" or "release"`)
}

// handOverWithin bounds how long a stopping node waits for its peer, askAgain is how
// often it asks: a peer that was not up to date may be a moment later.
const (
	handOverWithin = time.Second
	askAgain       = 300 * time.Millisecond
)

// handOver gives the VIPs to a peer that is ready for them and waits until it has
// them. Without one it does nothing: kernel state and lease stay as they are.
func (p *pair) handOver(ctx context.Context) {
	if s := p.handle.State(); s.Role != lb.Active || !s.PeerAlive || p.parting.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, handOverWithin)
	defer cancel()
	if err := p.handle.Command(ctx, sentinel.Release); err != nil {
		p.log.WarnContext(ctx, "stopping without a handover", "err", err)
		return
	}
	tick, again := time.NewTicker(5*time.Millisecond), time.NewTicker(askAgain)
	defer tick.Stop()
	defer again.Stop()
	for s := p.handle.State(); s.Role == lb.Active; s = p.handle.State() {
		if !s.PeerAlive {
			p.log.WarnContext(ctx, "stopping: the peer fell silent before it took the virtual addresses")
			return
		}
		select {
		case <-ctx.Done():
			p.log.WarnContext(ctx, "stopping: the peer did not take the virtual addresses in time")
			return
		case <-again.C:
			_ = p.handle.Command(ctx, sentinel.Release) // while one is under way this changes nothing
		case <-tick.C:
		}
	}
	p.log.InfoContext(ctx, "stopping: the peer has the virtual addresses")
}
