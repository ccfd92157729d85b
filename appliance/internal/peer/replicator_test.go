package peer_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/dataplane"
	"github.com/vosbed/vosbed/appliance/internal/peer"
	"github.com/vosbed/vosbed/appliance/lb"
)

// table is a persistence table as an engine would offer it: imports keep the
// younger entry and are reported by the stream like any other change.
type table struct {
	mu      sync.Mutex
	entries map[netip.Addr]entry
	stream  chan []lb.PersistenceEntry
	imports int
}

type entry struct {
	server string
	seen   time.Time
}

func newTable() *table {
	return &table{entries: map[netip.Addr]entry{}, stream: make(chan []lb.PersistenceEntry, 1024)}
}

func (t *table) Export(context.Context) ([]lb.PersistenceEntry, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []lb.PersistenceEntry
	for c, e := range t.entries {
		out = append(out, lb.PersistenceEntry{Service: "traffic", Client: c, Server: e.server, Idle: time.Since(e.seen)})
	}
	return out, nil
}

func (t *table) Import(_ context.Context, list []lb.PersistenceEntry) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.imports += len(list)
	var changed []lb.PersistenceEntry
	for _, e := range list {
		seen := time.Now().Add(-e.Idle)
		if old, ok := t.entries[e.Client]; ok && !seen.After(old.seen) {
			continue
		}
		t.entries[e.Client] = entry{e.Server, seen}
		changed = append(changed, e)
	}
	if len(changed) > 0 {
		t.stream <- changed
	}
	return nil
}

func (t *table) Clear(_ context.Context, sel dataplane.Selector) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.entries)
	maps.DeleteFunc(t.entries, func(c netip.Addr, _ entry) bool { return !sel.Client.IsValid() || sel.Client == c })
	return n - len(t.entries), nil
}

func (t *table) Watch(ctx context.Context, fn func([]lb.PersistenceEntry)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case list := <-t.stream:
			fn(list)
		}
	}
}

// put is a client's packet.
func (t *table) put(client, server string, idle time.Duration) {
	t.mu.Lock()
	a := netip.MustParseAddr(client)
	t.entries[a] = entry{server, time.Now().Add(-idle)}
	t.mu.Unlock()
	t.stream <- []lb.PersistenceEntry{{Service: "traffic", Client: a, Server: server, Idle: idle}}
}

func (t *table) fill(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range n {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		t.entries[a] = entry{"HT1", time.Now().Add(-time.Second)}
	}
}

// burst is n new clients at once.
func (t *table) burst(first, n int, server string) {
	list := make([]lb.PersistenceEntry, n)
	t.mu.Lock()
	for i := range list {
		c := first + i
		a := netip.AddrFrom4([4]byte{172, byte(c >> 16), byte(c >> 8), byte(c)})
		t.entries[a] = entry{server, time.Now()}
		list[i] = lb.PersistenceEntry{Service: "traffic", Client: a, Server: server}
	}
	t.mu.Unlock()
	t.stream <- list
}

// flood has clients that never stop coming until the function it returns is called.
func (t *table) flood() (end func()) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		const clients, share = 1 << 14, 1 << 8
		servers := []string{"HT1", "HT2"}
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				// Always another server: nothing of it is known.
				t.burst(i*share%clients, share, servers[i*share/clients%2])
			}
		}
	}()
	return sync.OnceFunc(func() { close(stop); <-done })
}

func (t *table) server(client string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.entries[netip.MustParseAddr(client)].server
}

func (t *table) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.entries)
}

// end is one node of a pair on loopback.
type end struct {
	t     *testing.T
	cfg   peer.ReplicatorConfig
	table *table
	rep   *peer.Replicator
	limit int           // of the outbox, 0 = the usual one
	pause time.Duration // between its repairs
	stop  func()
}

func ends(t *testing.T) (a, b *end) {
	t.Helper()
	free, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := netip.MustParseAddrPort(free.Addr().String()).Port()
	_ = free.Close()
	one, two := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port), netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), port)
	logger := slog.New(slog.NewTextHandler(t.Output(), nil))
	a = &end{t: t, table: newTable(), cfg: peer.ReplicatorConfig{Node: "lb1", Seat: lb.Primary, Local: one, Peer: two, Secret: secret(1), Logger: logger}}
	b = &end{t: t, table: newTable(), cfg: peer.ReplicatorConfig{Node: "lb2", Seat: lb.Secondary, Local: two, Peer: one, Secret: secret(1), Logger: logger}}
	return a, b
}

func (e *end) start() {
	e.t.Helper()
	rep, err := peer.NewReplicator(e.cfg, peer.Table{Name: "l4", Face: e.table})
	if err != nil {
		e.t.Fatal(err)
	}
	e.rep = rep
	if e.limit > 0 {
		rep.LimitOutbox(e.limit, e.pause)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- rep.Run(ctx) }()
	var once sync.Once
	e.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				e.t.Error(err)
			}
		})
	}
	e.t.Cleanup(e.stop)
}

func until(t *testing.T, what string, ok func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Since(began) > 30*time.Second {
			t.Fatalf("%s: not within 30 s", what)
		}
		<-tick.C
	}
	return time.Since(began)
}

func synced(list ...*end) func() bool {
	return func() bool {
		return !slices.ContainsFunc(list, func(e *end) bool { return !e.rep.Status().InSync })
	}
}

func TestTablesBecomeEqual(t *testing.T) {
	a, b := ends(t)
	a.table.put("10.0.0.1", "HT1", 0)
	b.table.put("10.0.0.2", "HT2", 0)
	b.table.put("10.0.0.1", "HT2", time.Minute) // older than a's
	a.start()
	b.start()
	until(t, "in sync", synced(a, b))
	for _, e := range []*end{a, b} {
		if e.table.server("10.0.0.1") != "HT1" || e.table.server("10.0.0.2") != "HT2" {
			t.Errorf("%s has %q and %q", e.cfg.Node, e.table.server("10.0.0.1"), e.table.server("10.0.0.2"))
		}
	}
	a.table.put("2001:db8::", "HT1", 0)
	took := until(t, "a new entry", func() bool { return b.table.server("2001:db8::") == "HT1" })
	t.Logf("a new entry took %v", took)
	a.table.put("2001:db8::", "HT2", 0)
	until(t, "a moved client", func() bool { return b.table.server("2001:db8::") == "HT2" })
	until(t, "no lag", func() bool { return a.rep.Status().Lag == 0 && b.rep.Status().Lag == 0 })
	if n := a.table.imports; n > 3 {
		t.Errorf("%d entries came back to where they came from", n)
	}
}

func TestSnapshotOfMany(t *testing.T) {
	a, b := ends(t)
	const n = 50000
	a.table.fill(n)
	a.start()
	b.start()
	took := until(t, "in sync", synced(b))
	t.Logf("%d entries in sync after %v", n, took)
	if b.table.size() != n {
		t.Errorf("in sync with %d of %d entries", b.table.size(), n)
	}
}

func TestReturningNodeIsNotInSyncAtFirst(t *testing.T) {
	a, b := ends(t)
	a.start()
	b.start()
	until(t, "in sync", synced(a, b))
	b.stop()
	until(t, "the loss is seen", func() bool { return !a.rep.Status().Connected })
	if a.rep.Status().InSync {
		t.Error("in sync with nobody")
	}
	a.table.put("10.0.0.9", "HT2", 0)
	b.start()
	if b.rep.Status().InSync {
		t.Error("in sync before the first word")
	}
	until(t, "in sync again", synced(a, b))
	if b.table.server("10.0.0.9") != "HT2" {
		t.Error("in sync without the entry made meanwhile")
	}
	a.stop()
	a.start()
	until(t, "the dialling end finds the listener again", synced(a, b))
}

func TestStrangersAreRefused(t *testing.T) {
	a, b := ends(t)
	b.cfg.Secret = secret(2)
	a.table.put("10.0.0.1", "HT1", 0)
	a.start()
	b.start()
	until(t, "the reason is told", func() bool {
		return strings.Contains(a.rep.Status().Problem, "pairing secret") || strings.Contains(b.rep.Status().Problem, "pairing secret")
	})
	if a.rep.Status().InSync || b.rep.Status().InSync || b.table.size() > 0 {
		t.Error("a stranger got something")
	}
}

func TestClearReachesThePeer(t *testing.T) {
	a, b := ends(t)
	sel := dataplane.Selector{Client: netip.MustParseAddr("10.0.0.1")}
	a.table.put("10.0.0.1", "HT1", 0)
	a.table.put("10.0.0.2", "HT1", 0)
	a.start()
	if a.rep.Clear(t.Context(), "l4", sel) {
		t.Error("cleared at no peer")
	}
	b.start()
	until(t, "in sync", synced(a, b))
	if !a.rep.Clear(t.Context(), "l4", sel) {
		t.Error("no peer to clear at")
	}
	until(t, "cleared", func() bool { return b.table.server("10.0.0.1") == "" })
	if b.table.server("10.0.0.2") == "" {
		t.Error("cleared too much")
	}
}

func TestManyNewClientsLagLittle(t *testing.T) {
	a, b := ends(t)
	a.start()
	b.start()
	until(t, "in sync", synced(a, b))
	var lags []time.Duration
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for i := range 500 {
		a.table.put(fmt.Sprintf("10.1.%d.%d", i/250, i%250), "HT1", 0)
		<-tick.C
		lags = append(lags, a.rep.Status().Lag)
	}
	until(t, "all are there", func() bool { return b.table.size() == 500 })
	until(t, "and confirmed", func() bool { return a.rep.Status().Lag == 0 })
	slices.Sort(lags)
	median, worst := lags[len(lags)/2], lags[len(lags)-1]
	t.Logf("lag: median %v, worst %v", median, worst)
	// A busy machine makes some of them late, a broken stream most.
	if median > 100*time.Millisecond {
		t.Errorf("half of the changes were unconfirmed for more than %v", median)
	}
}

// TestFloodStarvesNothing: while new clients come faster than they can be sent,
// everything else goes on.
func TestFloodStarvesNothing(t *testing.T) {
	a, b := ends(t)
	a.start()
	b.start()
	until(t, "in sync", synced(a, b))
	a.table.put("10.0.0.1", "HT1", 0)
	until(t, "the client is known", func() bool { return b.table.server("10.0.0.1") == "HT1" })
	end := a.table.flood()
	defer end()
	until(t, "the flood flows", func() bool { return b.rep.Status().Received > 1<<14 })
	if !a.rep.Clear(t.Context(), "l4", dataplane.Selector{Client: netip.MustParseAddr("10.0.0.1")}) {
		t.Error("no peer to clear at")
	}
	until(t, "a clearing passes", func() bool { return b.table.server("10.0.0.1") == "" })
	b.table.put("10.0.0.2", "HT2", 0)
	until(t, "an entry against the stream", func() bool { return a.table.server("10.0.0.2") == "HT2" })
	until(t, "and its confirmation", func() bool { return b.rep.Status().Lag == 0 })
	end()
	until(t, "the rest", func() bool { return a.rep.Status().Lag == 0 })
	if n := a.rep.Status().Connections; n != 1 {
		t.Errorf("it took %d connections", n)
	}
}

// TestOverflowIsRepaired: more clients at once than the outbox holds all arrive, on the
// same connection, and until they have the pair is behind.
func TestOverflowIsRepaired(t *testing.T) {
	a, b := ends(t)
	a.limit, a.pause = 1000, 200*time.Millisecond
	a.start()
	b.start()
	until(t, "in sync", synced(a, b))
	const n = 10000
	for i := range 2 { // the second repair has to wait for its time
		a.table.burst(i*n, n, "HT1")
		until(t, "the loss counts", func() bool { return a.rep.Status().Lag > 0 })
		until(t, "all are there", func() bool { return b.table.size() == (i+1)*n })
		until(t, "and confirmed", func() bool { return a.rep.Status().Lag == 0 })
	}
	if st := a.rep.Status(); st.Connections != 1 || !st.InSync {
		t.Errorf("after the repair: %+v", st)
	}
}

// TestLastingFloodEndsInSync: an outbox that overflows all the time neither ends the
// connection nor stays behind when it is over.
func TestLastingFloodEndsInSync(t *testing.T) {
	a, b := ends(t)
	a.limit = 200             // less than the flood brings at once
	a.pause = 3 * time.Second // more than a pair may be behind
	a.start()
	b.start()
	until(t, "in sync", synced(a, b))
	end := a.table.flood()
	defer end()
	until(t, "behind for too long to be in sync", func() bool { return !a.rep.Status().InSync })
	if err := a.rep.Flush(within(t, 200*time.Millisecond)); err == nil {
		t.Error("the peer is behind, and a flush succeeded")
	}
	end()
	until(t, "in sync again", func() bool { s := a.rep.Status(); return s.InSync && s.Lag == 0 })
	if b.table.size() != a.table.size() || a.rep.Status().Connections != 1 {
		t.Errorf("%d of %d entries after %d connections", b.table.size(), a.table.size(), a.rep.Status().Connections)
	}
}

// TestFlushWaitsForTheLatest: what was there when it was called is at the peer when it
// returns, although more comes all the time.
func TestFlushWaitsForTheLatest(t *testing.T) {
	a, b := ends(t)
	a.start()
	if err := a.rep.Flush(within(t, time.Minute)); err == nil {
		t.Error("flushed to no peer")
	}
	b.start()
	until(t, "in sync", synced(a, b))
	for i := range 10 {
		client := fmt.Sprintf("10.2.0.%d", i)
		a.table.put(client, "HT1", 0)
		go a.table.put(fmt.Sprintf("10.3.0.%d", i), "HT1", 0)
		if err := a.rep.Flush(within(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
		if b.table.server(client) != "HT1" {
			t.Errorf("flushed, and %s is not there", client)
		}
	}
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
