package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vosbed/vosbed/appliance/internal/dataplane"
	"github.com/vosbed/vosbed/appliance/lb"
)

// Reconnection. The first tries are fast: a node that has just started is waiting
// to be in sync.
const (
	firstRetry  = 100 * time.Millisecond
	maxRetry    = 2 * time.Second
	dialTimeout = time.Second
	handshake   = 3 * time.Second
	// troubleEvery bounds what failing connections write into the log.
	troubleEvery = time.Second
	// maxLag is how far the peer may be behind and still count as in sync.
	maxLag = time.Second
	// settle is the time within which every table has reported a change.
	settle = 60 * time.Millisecond
)

// Face is what a persistence table must offer to be replicated.
type Face interface {
	dataplane.Entries
	dataplane.Stream
}

// Table is one replicated table; both nodes know it by the same name.
type Table struct {
	Name string
	Face Face
}

// ReplicatorConfig is what a replicator is built from.
type ReplicatorConfig struct {
	Node        string
	Seat        lb.Seat
	Local, Peer netip.AddrPort
	Secret      []byte
	// Documents are what both nodes share besides tables.
	Documents []Document
	Logger    *slog.Logger
}

// ReplicationStatus is one reading. InSync: the peer's whole table has been applied
// on the present connection, and the peer is less than a second behind. Lag is the age
// of the oldest change that the peer has not acknowledged. Sent and Received count
// entries since start.
type ReplicationStatus struct {
	Connected, InSync bool
	Lag               time.Duration
	Sent, Received    uint64
	Connections       uint64
	// Problem is why there is no connection, "" = none.
	Problem string
}

// Replicator keeps tables equal on both nodes of a pair.
type Replicator struct {
	cfg            ReplicatorConfig
	tables         []Table
	documents      []*document
	news           chan struct{} // capacity 1: a document changed
	id             *identity
	out            *outbox
	sent, received atomic.Uint64
	connections    atomic.Uint64
	notify         chan struct{}

	mu      sync.Mutex
	current *session
	problem string
	told    time.Time // when a problem was logged last
}

// NewReplicator checks the configuration; Run does the work.
func NewReplicator(cfg ReplicatorConfig, tables ...Table) (*Replicator, error) {
	id, err := newIdentity(cfg.Secret, cfg.Seat)
	if err != nil {
		return nil, err
	}
	r := &Replicator{
		cfg: cfg, tables: tables, id: id, out: newOutbox(),
		notify: make(chan struct{}, 1), news: make(chan struct{}, 1),
	}
	for _, d := range cfg.Documents {
		r.documents = append(r.documents, &document{Document: d})
	}
	return r, nil
}

// Run replicates until ctx ends. It returns an error only when it cannot work at
// all: when the local address cannot be bound, or a table cannot be watched.
func (r *Replicator) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, t := range r.tables {
		g.Go(func() error { return r.watch(ctx, t) })
	}
	for _, d := range r.documents {
		g.Go(func() error { return r.watchDocument(ctx, d) })
	}
	if r.cfg.Seat == lb.Primary {
		g.Go(func() error { return r.listen(ctx) })
	} else {
		g.Go(func() error { return r.dial(ctx) })
	}
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (r *Replicator) watch(ctx context.Context, t Table) error {
	err := t.Face.Watch(ctx, func(entries []lb.PersistenceEntry) { r.out.offer(t.Name, entries, time.Now()) })
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("watch table %s: %w", t.Name, err)
	}
	return nil
}

// Status is safe to call at any time.
func (r *Replicator) Status() ReplicationStatus {
	r.mu.Lock()
	s, problem := r.current, r.problem
	r.mu.Unlock()
	st := ReplicationStatus{
		Connected: s != nil, Sent: r.sent.Load(), Received: r.received.Load(),
		Connections: r.connections.Load(), Problem: problem,
	}
	if s == nil {
		return st
	}
	oldest, synced := s.oldest()
	if !oldest.IsZero() {
		st.Lag = max(0, time.Since(oldest))
	}
	st.InSync = synced && st.Lag <= maxLag
	return st
}

// Flush waits until the peer has confirmed what had changed here when Flush was called.
// It costs at least the time in which tables report their changes. An error means that
// there is no peer, or that ctx ended first.
func (r *Replicator) Flush(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return fmt.Errorf("wait for the tables' changes: %w", ctx.Err())
	case <-time.After(settle):
	}
	watermark := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		r.mu.Lock()
		s := r.current
		r.mu.Unlock()
		if s == nil {
			return errors.New("the peer's replication is not connected")
		}
		oldest, _ := s.oldest()
		if oldest.IsZero() || oldest.After(watermark) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the peer is %v behind: %w", time.Since(oldest).Round(time.Millisecond), ctx.Err())
		case <-tick.C:
		}
	}
}

// Changed delivers when Connected or InSync may have changed; a slow reader misses
// repetitions, never the last one. What passing time does to InSync is not told.
func (r *Replicator) Changed() <-chan struct{} { return r.notify }

func (r *Replicator) changed() {
	select {
	case r.notify <- struct{}{}:
	default:
	}
}

func (r *Replicator) table(name string) (Table, bool) {
	i := slices.IndexFunc(r.tables, func(t Table) bool { return t.Name == name })
	if i < 0 {
		return Table{}, false
	}
	return r.tables[i], true
}

// dial is the secondary's end.
func (r *Replicator) dial(ctx context.Context) error {
	delay := firstRetry
	for ctx.Err() == nil {
		began := time.Now()
		r.attempt(ctx)
		if time.Since(began) > maxRetry {
			delay = firstRetry
		}
		// Jitter keeps two nodes that restart together from meeting at bad times.
		select {
		case <-ctx.Done():
		case <-time.After(delay/2 + rand.N(delay)):
		}
		delay = min(2*delay, maxRetry)
	}
	return nil
}

func (r *Replicator) attempt(ctx context.Context) {
	d := net.Dialer{Timeout: dialTimeout, LocalAddr: &net.TCPAddr{IP: r.cfg.Local.Addr().AsSlice()}}
	conn, err := d.DialContext(ctx, "tcp", r.cfg.Peer.String())
	if err != nil {
		r.trouble(fmt.Errorf("connect to the peer: %w", err))
		return
	}
	tlsConn := tls.Client(conn, r.id.config())
	if r.shake(ctx, tlsConn) == nil {
		r.serve(ctx, tlsConn)
	}
}

// serve runs one session to its end.
func (r *Replicator) serve(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	s := newSession(r, conn)
	r.out.reset(true, time.Now())
	r.connections.Add(1)
	r.set(s, "")
	err := s.run(ctx)
	r.out.reset(false, time.Now())
	r.set(nil, "")
	if ctx.Err() == nil {
		r.trouble(err)
	}
}

func (r *Replicator) set(s *session, problem string) {
	r.mu.Lock()
	r.current, r.problem = s, problem
	r.mu.Unlock()
	r.changed()
}

// trouble remembers why there is no connection and logs each reason once in a row,
// and not more than one in troubleEvery: strangers can cause some.
func (r *Replicator) trouble(err error) {
	r.mu.Lock()
	news := err != nil && r.problem != err.Error()
	tell := news && time.Since(r.told) >= troubleEvery
	if news {
		r.problem = err.Error()
	}
	if tell {
		r.told = time.Now()
	}
	r.mu.Unlock()
	if tell {
		r.cfg.Logger.Warn("replication", "err", err)
	}
}
