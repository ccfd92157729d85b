package peer

import (
	"maps"
	"net/netip"
	"sync"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/dataplane"
	"github.com/vosbed/vosbed/appliance/lb"
)

// Rates of the outbox.
const (
	// refreshEvery is how much younger an entry must have become to be sent again.
	refreshEvery = time.Second
	// maxRefreshes bounds refreshes a second; new entries are never held back.
	maxRefreshes = 5000
	// generation is the life of a memory of what the peer knows; two are kept.
	generation = time.Minute
)

type entryKey struct {
	table, service string
	client         netip.Addr
}

// known is what the peer knows of an entry: its server, and when the client was
// last seen by this node's clock.
type known struct {
	server string
	seen   time.Time
}

// outbox coalesces changes until they are sent: one pending change per client. It
// remembers what the peer knows, from either direction, so refreshes are few and
// what came from the peer does not go back.
type outbox struct {
	mu      sync.Mutex
	open    bool // connected; otherwise the next snapshot covers everything
	pending map[entryKey]known
	since   time.Time // of the oldest pending change
	recent  map[entryKey]known
	older   map[entryKey]known
	rotated time.Time
	second  time.Time
	spent   int // refreshes in this second
	notify  chan struct{}
}

func newOutbox() *outbox {
	o := &outbox{notify: make(chan struct{}, 1)}
	o.reset(false, time.Time{})
	return o
}

// reset forgets everything, at the begin (open) and end of a connection.
func (o *outbox) reset(open bool, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open, o.rotated, o.since = open, now, time.Time{}
	o.pending, o.recent, o.older = map[entryKey]known{}, map[entryKey]known{}, map[entryKey]known{}
}

// offer takes changes of a local table.
func (o *outbox) offer(table string, entries []lb.PersistenceEntry, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.open {
		return
	}
	o.rotate(now)
	for _, e := range entries {
		o.offerOne(entryKey{table, e.Service, e.Client}, known{e.Server, now.Add(-e.Idle)}, now)
	}
	if len(o.pending) > 0 {
		select {
		case o.notify <- struct{}{}:
		default:
		}
	}
}

func (o *outbox) offerOne(k entryKey, v known, now time.Time) {
	if old, ok := o.knows(k); ok && old.server == v.server {
		if v.seen.Sub(old.seen) < refreshEvery || !o.mayRefresh(now) {
			return
		}
	}
	if len(o.pending) == 0 {
		o.since = now
	}
	o.pending[k], o.recent[k] = v, v
}

func (o *outbox) knows(k entryKey) (known, bool) {
	if v, ok := o.recent[k]; ok {
		return v, true
	}
	v, ok := o.older[k]
	return v, ok
}

func (o *outbox) mayRefresh(now time.Time) bool {
	if now.Sub(o.second) >= time.Second {
		o.second, o.spent = now, 0
	}
	o.spent++
	return o.spent <= maxRefreshes
}

func (o *outbox) rotate(now time.Time) {
	if now.Sub(o.rotated) >= generation {
		o.rotated, o.older, o.recent = now, o.recent, map[entryKey]known{}
	}
}

// learn records what the peer sent, or was sent in a snapshot.
func (o *outbox) learn(table string, entries []lb.PersistenceEntry, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rotate(now)
	for _, e := range entries {
		o.recent[entryKey{table, e.Service, e.Client}] = known{e.Server, now.Add(-e.Idle)}
	}
}

// forget drops what matches a clearing: old changes must not bring entries back, and
// the peer no longer knows what it knew.
func (o *outbox) forget(table string, sel dataplane.Selector) {
	o.mu.Lock()
	defer o.mu.Unlock()
	matches := func(k entryKey, v known) bool {
		return k.table == table && (sel.Service == "" || sel.Service == k.service) &&
			(sel.Server == "" || sel.Server == v.server) && (!sel.Client.IsValid() || sel.Client == k.client)
	}
	for _, m := range []map[entryKey]known{o.pending, o.recent, o.older} {
		maps.DeleteFunc(m, matches)
	}
	if len(o.pending) == 0 {
		o.since = time.Time{}
	}
}

// take removes up to batch pending changes of one table; since is when the oldest
// of all pending ones was offered.
func (o *outbox) take(now time.Time) (table string, out []lb.PersistenceEntry, since time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	since = o.since
	for k, v := range o.pending {
		if len(out) > 0 && k.table != table {
			continue
		}
		table = k.table
		out = append(out, lb.PersistenceEntry{
			Service: k.service, Client: k.client, Server: v.server, Idle: max(0, now.Sub(v.seen)),
		})
		delete(o.pending, k)
		if len(out) == batch {
			break
		}
	}
	if len(o.pending) == 0 {
		o.since = time.Time{}
	}
	return table, out, since
}

// waiting is when the oldest pending change was offered, zero = nothing waits.
func (o *outbox) waiting() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.since
}
