package peer

import (
	"maps"
	"net/netip"
	"sync"
	"time"

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
	// maxEntries bounds what waits, and each generation of what the peer knows: as
	// many entries as a table holds. Clients need not exist to make entries.
	maxEntries = 1 << 18
	// repairEvery is the least time between two repairs after an overflow.
	repairEvery = 5 * time.Second
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

// changes are those of a while, one per client; since is when the first was offered.
type changes struct {
	list  map[entryKey]known
	since time.Time
}

func noChanges() changes { return changes{list: map[entryKey]known{}} }

// outbox coalesces changes until they are sent. It remembers what the peer knows,
// from either direction, so refreshes are few and what came from the peer does not
// go back.
//
// Its memory is bounded. What finds no room is lost for now and noted: when all that
// waited has left, a repair sends the whole tables on the same connection. To end the
// connection instead would never end under a lasting flood: it would fill the next
// one during its snapshot.
type outbox struct {
	limit int           // maxEntries
	pause time.Duration // repairEvery

	mu   sync.Mutex
	open bool // connected; otherwise the next snapshot covers everything
	// fresh collects while leaving is sent: nothing waits behind what comes later.
	fresh, leaving changes
	recent, older  map[entryKey]known
	// stale is what the peer knew of before the latest clearings, the last at staled.
	stale   map[entryKey]known
	staled  time.Time
	rotated time.Time
	second  time.Time
	spent   int // refreshes in this second
	notify  chan struct{}

	// lost is since when changes found no room, again the same during a repair; zero
	// = none.
	lost, again time.Time
	repairing   bool
	repaired    time.Time // when the last repair began
}

func newOutbox() *outbox {
	o := &outbox{limit: maxEntries, pause: repairEvery, notify: make(chan struct{}, 1)}
	o.reset(false, time.Time{})
	return o
}

// reset forgets everything, at the begin (open) and end of a connection.
func (o *outbox) reset(open bool, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open, o.rotated = open, now
	o.fresh, o.leaving = noChanges(), noChanges()
	o.recent, o.older, o.stale = map[entryKey]known{}, map[entryKey]known{}, map[entryKey]known{}
	o.lost, o.again, o.repairing, o.repaired = time.Time{}, time.Time{}, false, time.Time{}
}

// offer takes changes of a local table.
func (o *outbox) offer(table string, entries []lb.PersistenceEntry, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.open {
		return
	}
	for _, e := range entries {
		o.offerOne(entryKey{table, e.Service, e.Client}, known{e.Server, now.Add(-e.Idle)}, now)
	}
	if len(o.fresh.list) > 0 {
		o.rearm()
	}
}

// rearm makes notify deliver.
func (o *outbox) rearm() {
	select {
	case o.notify <- struct{}{}:
	default:
	}
}

func (o *outbox) offerOne(k entryKey, v known, now time.Time) {
	if old, ok := o.knows(k); ok && old.server == v.server {
		if v.seen.Sub(old.seen) < refreshEvery || !o.mayRefresh(now) {
			return
		}
	}
	if old, ok := o.stale[k]; ok && old.server == v.server && now.Sub(o.staled) < staleTime {
		o.lose(now)
		return
	}
	if _, ok := o.fresh.list[k]; !ok && len(o.fresh.list)+len(o.leaving.list) >= o.limit {
		o.lose(now)
		return
	}
	if len(o.fresh.list) == 0 {
		o.fresh.since = now
	}
	o.fresh.list[k] = v
	o.remember(k, v, now)
}

// lose notes a change that found no room. The peer does not know it, so it is not
// remembered: the client's next packet offers it again.
func (o *outbox) lose(now time.Time) {
	since := &o.lost
	if o.repairing {
		since = &o.again // the tables may have been read before it
	}
	if since.IsZero() {
		*since = now
	}
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

// remember records what the peer knows, or will. What is forgotten early, because
// there is so much, is sent once more.
func (o *outbox) remember(k entryKey, v known, now time.Time) {
	if now.Sub(o.rotated) >= generation || len(o.recent) >= o.limit {
		o.rotated, o.older, o.recent = now, o.recent, map[entryKey]known{}
	}
	o.recent[k] = v
}

// learn records what the peer sent, or was sent in a snapshot.
func (o *outbox) learn(table string, entries []lb.PersistenceEntry, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range entries {
		o.remember(entryKey{table, e.Service, e.Client}, known{e.Server, now.Add(-e.Idle)}, now)
	}
}

// staleTime is how late a busy machine may report a change of a table.
const staleTime = 2 * time.Second

// forget drops what matches a clearing: old changes must not bring entries back, and
// the peer no longer knows what it knew. A table may report only now what it imported
// before the clearing. Whether such a report is old or news is then for the table itself
// to say, in a repair.
func (o *outbox) forget(c clearing, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	matches := func(k entryKey, v known) bool { return c.matches(k, v.server) }
	if now.Sub(o.staled) >= staleTime {
		o.stale = map[entryKey]known{}
	}
	o.staled = now
	for _, m := range []map[entryKey]known{o.older, o.recent} {
		for k, v := range m {
			if matches(k, v) {
				o.stale[k] = v
			}
		}
	}
	for _, m := range []map[entryKey]known{o.fresh.list, o.leaving.list, o.recent, o.older} {
		maps.DeleteFunc(m, matches)
	}
}

// take removes up to batch waiting changes of one table, the oldest first; since is
// when the oldest of all waiting ones was offered.
func (o *outbox) take(now time.Time) (table string, out []lb.PersistenceEntry, since time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.leaving.list) == 0 {
		o.leaving, o.fresh = o.fresh, noChanges()
	}
	for k, v := range o.leaving.list {
		if len(out) > 0 && k.table != table {
			continue
		}
		table = k.table
		out = append(out, lb.PersistenceEntry{
			Service: k.service, Client: k.client, Server: v.server, Idle: max(0, now.Sub(v.seen)),
		})
		delete(o.leaving.list, k)
		if len(out) == batch {
			break
		}
	}
	return table, out, o.leaving.since
}

// empty reports whether nothing waits to be taken.
func (o *outbox) empty() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.fresh.list)+len(o.leaving.list) == 0
}

// waiting is when the oldest change was offered that has not been taken or was lost,
// zero = there is none.
func (o *outbox) waiting() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	oldest := o.lost
	for _, c := range []changes{o.leaving, o.fresh} {
		if len(c.list) > 0 && (oldest.IsZero() || c.since.Before(oldest)) {
			oldest = c.since
		}
	}
	return oldest
}

// beginRepair reports whether the tables must be sent again. It comes before they
// are read, endRepair after the peer has confirmed them.
func (o *outbox) beginRepair(now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.lost.IsZero() || o.repairing || now.Sub(o.repaired) < o.pause {
		return false
	}
	o.repairing, o.repaired = true, now
	return true
}

func (o *outbox) endRepair() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lost, o.again, o.repairing = o.again, time.Time{}, false
}
