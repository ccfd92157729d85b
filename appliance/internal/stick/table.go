package stick

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/dataplane"
	"github.com/vosbed/vosbed/appliance/lb"
)

// Options shape a table; zero fields take the defaults.
type Options struct {
	// Capacity is the greatest number of entries, default 1 000 000. The entry used
	// longest ago makes room.
	Capacity int
	// Timeout is the idle timeout of services that SetTimeouts does not name,
	// default 30 min.
	Timeout time.Duration
	// RefreshEvery is how often a refreshed entry is reported again, default 5 s
	// and never more than a quarter of the service's timeout.
	RefreshEvery time.Duration
}

func (o Options) withDefaults() Options {
	return Options{
		Capacity:     cmp.Or(max(o.Capacity, 0), 1_000_000),
		Timeout:      cmp.Or(max(o.Timeout, 0), 30*time.Minute),
		RefreshEvery: cmp.Or(max(o.RefreshEvery, 0), 5*time.Second),
	}
}

// Stats are the sizes of a table and its counts since it was made.
type Stats struct {
	Entries, Capacity uint64
	Evicted           uint64 // made room for others
	Expired           uint64 // idle timeout
}

// Table ties clients to real servers; safe for concurrent use. One mutex guards it:
// a reservation costs about a microsecond, 0.7 µs alone and 1.2 µs with two busy
// processors in it at once, little against the system calls of the connection that
// it is for. Measure it with
//
//	go test -run '^$' -bench Reserve -cpu 1,2,4 ./appliance/internal/stick
type Table struct {
	mu sync.Mutex
	c  *core
}

// New makes an empty table.
func New(o Options) *Table { return &Table{c: newCore(o.withDefaults())} }

// SetTimeouts replaces the idle timeouts, by service.
func (t *Table) SetTimeouts(byService map[string]time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.c.timeouts = maps.Clone(byService)
}

// Reserve returns the client's server, or reserves the one that choose names. choose
// runs under the table's lock, so that of many parallel first connections only
// one chooses; it must be short and must not call the table. ok is false when
// there was no entry and choose had no server.
func (t *Table) Reserve(now time.Time, service string, client netip.Addr, choose func() (server string, ok bool)) (server string, existed, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := key{service, client}
	if e := t.c.live(now, k); e != nil {
		t.c.touch(e, now)
		return e.server, true, true
	}
	server, ok = choose()
	if ok {
		t.c.put(k, server, now)
	}
	return server, false, ok
}

// Move leaves a server that cannot be used: if the client's entry is still failed (or
// is gone) the one that choose names takes its place; if another connection has
// moved it already, that decision stands and is returned with existed true.
func (t *Table) Move(now time.Time, service string, client netip.Addr, failed string, choose func() (server string, ok bool)) (server string, existed, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := key{service, client}
	if e := t.c.live(now, k); e != nil && e.server != failed {
		t.c.touch(e, now)
		return e.server, true, true
	}
	server, ok = choose()
	if ok {
		t.c.put(k, server, now)
	}
	return server, false, ok
}

// Drop removes the client's entry if it still names server, and reports whether it did.
func (t *Table) Drop(service string, client netip.Addr, server string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.c.entries[key{service, client}]
	if e == nil || e.server != server {
		return false
	}
	t.c.remove(e)
	return true
}

// Touch refreshes the client's entry if it still names server: a session that lives
// long keeps its entry alive. An entry that has gone is not made again.
func (t *Table) Touch(now time.Time, service string, client netip.Addr, server string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.c.live(now, key{service, client})
	if e == nil || e.server != server {
		return false
	}
	t.c.touch(e, now)
	return true
}

// Lookup returns the client's server without refreshing the entry.
func (t *Table) Lookup(now time.Time, service string, client netip.Addr) (server string, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.c.live(now, key{service, client})
	if e == nil {
		return "", false
	}
	return e.server, true
}

// Sweep removes expired entries and returns how many went. It walks from the entry
// used longest ago and stops at the first that no timeout can have reached.
func (t *Table) Sweep(now time.Time) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	shortest := t.c.fallback
	for _, d := range t.c.timeouts {
		if d > 0 {
			shortest = min(shortest, d)
		}
	}
	n := 0
	for e := t.c.head.prev; e != &t.c.head && now.Sub(e.used) >= shortest; {
		prev := e.prev
		if t.c.expired(e, now) {
			t.c.remove(e)
			n++
		}
		e = prev
	}
	t.c.stats.Expired += uint64(n)
	return n
}

// Export lists the live entries, the most recently used first.
func (t *Table) Export(now time.Time) []lb.PersistenceEntry {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]lb.PersistenceEntry, 0, len(t.c.entries))
	for e := t.c.head.next; e != &t.c.head; e = e.next {
		if !t.c.expired(e, now) {
			out = append(out, e.export(now))
		}
	}
	return out
}

// Import merges entries from elsewhere; of two entries for one client the younger
// wins, the present one on a tie. Expired entries are skipped; an entry older than
// everything in a full table is not let in. It returns how many were taken.
func (t *Table) Import(now time.Time, entries []lb.PersistenceEntry) int {
	order := oldestFirst(entries)
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	var hint *entry
	for _, i := range order {
		if e := t.c.merge(now, entries[i], hint); e != nil {
			hint = e
			n++
		}
	}
	return n
}

// oldestFirst returns the order in which to merge. Indices are sorted, not entries,
// and not with a stable sort, which is O(n log² n) and at its worst on the order that
// Export has: the index as second key does the same for the price of a look.
func oldestFirst(entries []lb.PersistenceEntry) []int32 {
	order := make([]int32, len(entries))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		return cmp.Or(cmp.Compare(entries[b].Idle, entries[a].Idle), cmp.Compare(a, b))
	})
	return order
}

// merge takes one entry in and returns it, or nil when it was not taken. hint is
// the entry merged before it.
func (c *core) merge(now time.Time, in lb.PersistenceEntry, hint *entry) *entry {
	k := key{in.Service, in.Client.Unmap().WithZone("")}
	used := now.Add(-max(0, in.Idle))
	if in.Server == "" || !k.client.IsValid() || now.Sub(used) >= c.timeout(in.Service) {
		return nil
	}
	have := c.live(now, k)
	switch {
	case have != nil && !used.After(have.used):
		return nil
	case have == nil && len(c.entries) >= c.capacity && !used.After(c.head.prev.used):
		return nil
	}
	e := c.take(k)
	e.server, e.used = in.Server, used
	c.linkMerged(e, hint)
	c.tell(e, now)
	return e
}

// Clear removes the entries that match; zero fields match everything.
func (t *Table) Clear(s dataplane.Selector) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, e := range t.c.entries {
		if matches(s, e) {
			t.c.remove(e)
			n++
		}
	}
	return n
}

// Stats returns the present sizes and counts.
func (t *Table) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.c.stats
	s.Entries, s.Capacity = uint64(len(t.c.entries)), uint64(t.c.capacity)
	return s
}

// watch claims the queue of changes for one watcher, or gives it back.
func (t *Table) watch(on bool) (claimed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if on && t.c.watched {
		return false
	}
	for _, e := range t.c.queue {
		e.queued = false
	}
	t.c.watched, t.c.queue = on, nil
	return true
}

func (t *Table) changes(now time.Time, limit int) []lb.PersistenceEntry {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.c.takeChanges(now, limit)
}
