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

// Names of the replicated tables: both nodes must agree on them.
const (
	tableL4 = "l4"
	tableL7 = "l7"
)

// replicationRetry is the pause after replication could not work at all.
const replicationRetry = time.Second

// replication keeps the persistence tables equal on both nodes and tells whether
// they are. It survives every failure of its link: the pair must work without it.
type replication struct {
	tables  []peer.Table
	log     *slog.Logger
	synced  func(bool)
	restart chan struct{} // capacity 1: the configuration changed

	mu      sync.Mutex
	config  lb.Config
	secret  []byte
	current *peer.Replicator
}

func newReplication(a *Appliance, synced func(bool)) *replication {
	r := &replication{
		log: a.log, synced: synced, restart: make(chan struct{}, 1),
		tables: []peer.Table{{Name: tableL7, Face: stick.Face{Table: a.table}}},
	}
	if face, ok := a.engine.Plane.(peer.Face); ok {
		r.tables = append(r.tables, peer.Table{Name: tableL4, Face: face})
	}
	return r
}

// configure takes effect at once: a running link is taken down and built anew.
func (r *replication) configure(cfg lb.Config, secret []byte) {
	r.mu.Lock()
	r.config, r.secret = cfg, secret
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

// once replicates until its context ends; without a peer, or with replication off,
// there is nothing to be in sync with.
func (r *replication) once(ctx context.Context) {
	r.mu.Lock()
	cfg, secret := r.config, r.secret
	r.mu.Unlock()
	if !cfg.Cluster.Paired || !cfg.Cluster.Replicate {
		r.synced(true)
		<-ctx.Done()
		return
	}
	r.synced(false)
	for ctx.Err() == nil {
		if err := r.replicate(ctx, cfg, secret); err != nil {
			r.log.ErrorContext(ctx, "replication cannot work, trying again", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(replicationRetry):
		}
	}
}

func (r *replication) replicate(ctx context.Context, cfg lb.Config, secret []byte) error {
	rep, err := peer.NewReplicator(peer.ReplicatorConfig{
		Node: cfg.Node.Name, Seat: cfg.Node.Seat,
		Local: cfg.Node.Replication.Local, Peer: cfg.Node.Replication.Peer,
		Secret: secret, Logger: r.log,
	}, r.tables...)
	if err != nil {
		return err
	}
	r.publish(rep)
	defer r.publish(nil)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.watch(ctx, rep)
	}()
	err = rep.Run(ctx)
	cancel()
	<-done
	return err
}

// watch tells the sentinel whether the tables are in sync.
func (r *replication) watch(ctx context.Context, rep *peer.Replicator) {
	for {
		select {
		case <-ctx.Done():
			r.synced(false)
			return
		case <-rep.Changed():
			r.synced(rep.Status().InSync)
		}
	}
}

func (r *replication) publish(rep *peer.Replicator) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current = rep
}

// lag is the age of the oldest change that the peer has not confirmed.
func (r *replication) lag() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current == nil {
		return 0
	}
	return r.current.Status().Lag
}

// clear carries an operator's clearing to the peer, where it has one.
func (r *replication) clear(ctx context.Context, sel dataplane.Selector) error {
	r.mu.Lock()
	rep, paired := r.current, r.config.Cluster.Paired && r.config.Cluster.Replicate
	r.mu.Unlock()
	if rep == nil {
		return nil
	}
	reached := rep.Clear(ctx, tableL4, sel)
	if rep.Clear(ctx, tableL7, sel) && reached || !paired {
		return nil
	}
	return errPeerNotReached
}

var errPeerNotReached = errors.New("cleared here, but the peer is not connected: its entries remain")
