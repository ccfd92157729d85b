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
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

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
	Logger      *slog.Logger
}

// ReplicationStatus is one reading. InSync: the peer's whole table has been applied
// on the present connection. Lag is the age of the oldest change that the peer has
// not acknowledged. Sent and Received count entries since start.
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
	id             *identity
	out            *outbox
	sent, received atomic.Uint64
	connections    atomic.Uint64
	notify         chan struct{}

	mu      sync.Mutex
	current *session
	problem string
}

// NewReplicator checks the configuration; Run does the work.
func NewReplicator(cfg ReplicatorConfig, tables ...Table) (*Replicator, error) {
	id, err := newIdentity(cfg.Secret, cfg.Seat)
	if err != nil {
		return nil, err
	}
	return &Replicator{cfg: cfg, tables: tables, id: id, out: newOutbox(), notify: make(chan struct{}, 1)}, nil
}

// Run replicates until ctx ends. It returns an error only when it cannot work at
// all: when the local address cannot be bound, or a table cannot be watched.
func (r *Replicator) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, t := range r.tables {
		g.Go(func() error { return r.watch(ctx, t) })
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
	var oldest time.Time
	oldest, st.InSync = s.oldest()
	if w := r.out.waiting(); oldest.IsZero() || !w.IsZero() && w.Before(oldest) {
		oldest = w
	}
	if !oldest.IsZero() {
		st.Lag = max(0, time.Since(oldest))
	}
	return st
}

// Changed delivers when Connected or InSync may have changed; a slow reader misses
// repetitions, never the last one.
func (r *Replicator) Changed() <-chan struct{} { return r.notify }

func (r *Replicator) changed() {
	select {
	case r.notify <- struct{}{}:
	default:
	}
}

// Clear asks the peer to remove entries, for an operator's clearing that must reach
// both nodes. It reports whether a peer is connected; nothing else can be promised.
func (r *Replicator) Clear(ctx context.Context, table string, sel dataplane.Selector) bool {
	r.mu.Lock()
	s := r.current
	r.mu.Unlock()
	if s == nil {
		return false
	}
	select {
	case s.clears <- clearing{table, sel}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (r *Replicator) table(name string) (Table, bool) {
	i := slices.IndexFunc(r.tables, func(t Table) bool { return t.Name == name })
	if i < 0 {
		return Table{}, false
	}
	return r.tables[i], true
}

// listen is the primary's end. The last connection wins: the earlier one belongs to
// a peer that has died without a word.
func (r *Replicator) listen(ctx context.Context) error {
	lc := net.ListenConfig{Control: freebind}
	ln, err := lc.Listen(ctx, "tcp", r.cfg.Local.String())
	if err != nil {
		return fmt.Errorf("listen for replication on %s: %w", r.cfg.Local, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	end := func() {}
	for {
		conn, err := ln.Accept()
		if ctx.Err() != nil {
			end()
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept a replication connection: %w", err)
		}
		if !r.fromPeer(conn) {
			_ = conn.Close()
			continue
		}
		tlsConn := tls.Server(conn, r.id.config())
		if err := r.shake(ctx, tlsConn); err != nil {
			continue
		}
		end()
		end = r.background(ctx, tlsConn)
	}
}

// background serves a connection; the function it returns ends it and waits.
func (r *Replicator) background(ctx context.Context, conn net.Conn) func() {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.serve(ctx, conn)
	}()
	return func() {
		cancel()
		<-done
	}
}

func (r *Replicator) fromPeer(conn net.Conn) bool {
	a, ok := conn.RemoteAddr().(*net.TCPAddr)
	return ok && a.AddrPort().Addr().Unmap() == r.cfg.Peer.Addr().Unmap()
}

// freebind lets the listener start before its address has arrived.
func freebind(network, _ string, c syscall.RawConn) error {
	level, name := unix.SOL_IP, unix.IP_FREEBIND
	if network == "tcp6" {
		level, name = unix.SOL_IPV6, unix.IPV6_FREEBIND
	}
	var err error
	if cerr := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, name, 1) }); cerr != nil {
		return cerr
	}
	return err
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

// shake makes sure of the other end before anything else is said.
func (r *Replicator) shake(ctx context.Context, conn *tls.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, handshake)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		r.trouble(fmt.Errorf("replication handshake with %s: %w", conn.RemoteAddr(), err))
		return errors.Join(err, conn.Close())
	}
	return nil
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

// trouble remembers why there is no connection and logs each reason once in a row.
func (r *Replicator) trouble(err error) {
	r.mu.Lock()
	news := err != nil && r.problem != err.Error()
	if news {
		r.problem = err.Error()
	}
	r.mu.Unlock()
	if news {
		r.cfg.Logger.Warn("replication", "err", err)
	}
}
