package appliance

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/dataplane"
	"github.com/vosbed/vosbed/appliance/internal/peer"
	"github.com/vosbed/vosbed/appliance/internal/stick"
	"github.com/vosbed/vosbed/appliance/lb"
)

// Names of the replicated tables and documents: both nodes must agree on them.
const (
	tableL4           = "l4"
	tableL7           = "l7"
	documentOverrides = "overrides"
	documentConfig    = "configuration"
)

const (
	// replicationRetry is the pause after replication could not work at all.
	replicationRetry = time.Second
	// syncLook is how often time itself is asked whether the peer is too far behind.
	syncLook = 200 * time.Millisecond
)

// replication keeps the persistence tables and the operator's overrides equal on both
// nodes and tells whether the tables are. It survives every failure of its link: the pair must work without it.
type replication struct {
	tables    []peer.Table
	documents []peer.Document
	log       *slog.Logger
	synced    func(bool)
	restart   chan struct{} // capacity 1: the configuration changed

	mu      sync.Mutex
	config  lb.Config
	secret  []byte
	current *peer.Replicator
	failure string // why replication cannot work at all, "" = it can
}

func newReplication(a *Appliance, synced func(bool)) *replication {
	r := &replication{
		log: a.log, synced: synced, restart: make(chan struct{}, 1),
		tables: []peer.Table{{Name: tableL7, Face: stick.Face{Table: a.table}}},
	}
	wishes := intent{a.facts.overrides, func() { a.loop.Dirty() }}
	r.documents = []peer.Document{{Name: documentOverrides, Face: wishes}, {Name: documentConfig, Face: a.shared}}
	if face, ok := a.engine.Plane.(peer.Face); ok {
		r.tables = append(r.tables, peer.Table{Name: tableL4, Face: face})
	}
	return r
}

// configure takes effect at once: a running link is taken down and built anew.
func (r *replication) configure(cfg lb.Config, secret []byte) {
	r.mu.Lock()
	r.config, r.secret, r.failure = cfg, secret, ""
	r.mu.Unlock()
	select {
	case r.restart <- struct{}{}:
	default:
	}
}

// run builds a replicator for the present configuration, again after every change.
func (r *replication) run(ctx context.Context) error {
	for ctx.Err() == nil {
		once, cancel := context.WithCancel(ctx)
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			r.once(once)
		}()
		select {
		case <-ctx.Done():
		case <-r.restart:
		}
		cancel()
		<-stopped
	}
	return nil
}

// once replicates until its context ends. Without a peer there is nothing to be in
// sync with; with replication off there are no tables to be in sync, but the
// operator's wishes still travel where the link is configured.
func (r *replication) once(ctx context.Context) {
	r.mu.Lock()
	cfg, secret := r.config, r.secret
	r.mu.Unlock()
	r.synced(!gated(cfg))
	if !cfg.Cluster.Paired || !cfg.Node.Replication.Local.IsValid() || !cfg.Node.Replication.Peer.IsValid() {
		<-ctx.Done()
		return
	}
	for ctx.Err() == nil {
		if err := r.replicate(ctx, cfg, secret); err != nil {
			r.log.ErrorContext(ctx, "replication cannot work, trying again", "err", err)
			r.failed(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(replicationRetry):
		}
	}
}

// gated reports whether there are tables that can be out of sync.
func gated(cfg lb.Config) bool { return cfg.Cluster.Paired && cfg.Cluster.Replicate }

func (r *replication) replicate(ctx context.Context, cfg lb.Config, secret []byte) error {
	tables := r.tables
	if !gated(cfg) {
		tables = nil
	}
	rep, err := peer.NewReplicator(peer.ReplicatorConfig{
		Node: cfg.Node.Name, Seat: cfg.Node.Seat,
		Local: cfg.Node.Replication.Local, Peer: cfg.Node.Replication.Peer,
		Secret: secret, Documents: r.documents, Logger: r.log,
	}, tables...)
	if err != nil {
		return err
	}
	r.publish(rep)
	defer r.publish(nil)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.watch(ctx, rep, gated(cfg))
	}()
	err = rep.Run(ctx)
	cancel()
	<-done
	return err
}

// watch tells the sentinel whether the tables are in sync.
func (r *replication) watch(ctx context.Context, rep *peer.Replicator, gated bool) {
	look := time.NewTicker(syncLook)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			r.synced(!gated)
			return
		case <-rep.Changed():
		case <-look.C:
		}
		r.synced(!gated || rep.Status().InSync)
	}
}

func (r *replication) publish(rep *peer.Replicator) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current = rep
}

func (r *replication) failed(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failure = err.Error()
}

// status is the age of the oldest change that the peer has not confirmed, and why
// nothing is replicated at all, "" = it is.
func (r *replication) status() (lag time.Duration, problem string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current == nil {
		return 0, r.failure
	}
	s := r.current.Status()
	switch {
	case s.Connected:
		r.failure = ""
		return s.Lag, ""
	case s.Problem != "":
		return 0, s.Problem
	}
	return 0, r.failure
}

// flush waits until the peer has what has changed here.
func (r *replication) flush(ctx context.Context) error {
	r.mu.Lock()
	rep, gated := r.current, gated(r.config)
	r.mu.Unlock()
	switch {
	case !gated:
		return nil
	case rep == nil:
		return errPeerNotConnected
	}
	return rep.Flush(ctx)
}

// clear carries an operator's clearings to the peer, where there is one, and clears here
// once more what came meanwhile.
func (r *replication) clear(ctx context.Context, sels []dataplane.Selector) error {
	r.mu.Lock()
	rep, gated := r.current, gated(r.config)
	r.mu.Unlock()
	if !gated {
		return nil
	}
	for _, table := range []string{tableL4, tableL7} {
		if rep == nil || !rep.Clear(ctx, table, sels...) {
			return errPeerNotReached
		}
	}
	return nil
}

var (
	errPeerNotConnected = errors.New("the peer's replication is not connected")
	errPeerNotReached   = errors.New("cleared here, but the peer is not connected: its entries remain")
)
