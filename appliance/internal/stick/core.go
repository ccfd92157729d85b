package stick

import (
	"net/netip"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/dataplane"
	"github.com/vosbed/vosbed/appliance/lb"
)

// key is one client (already masked) of one service.
type key struct {
	service string
	client  netip.Addr
}

// entry is one reservation. It hangs in a ring ordered by last use, and, while it
// waits to be reported, in the queue of changes.
type entry struct {
	key
	server     string
	used       time.Time
	told       time.Time // when it was last queued for the watcher
	queued     bool
	gone       bool // removed while it was queued
	prev, next *entry
}

// core is the table without its lock. head is a sentinel: head.next is the entry
// used last, head.prev the one used longest ago.
type core struct {
	capacity int
	fallback time.Duration
	every    time.Duration
	timeouts map[string]time.Duration
	entries  map[key]*entry
	head     entry
	watched  bool
	queue    []*entry
	stats    Stats
}

func newCore(o Options) *core {
	c := &core{
		capacity: o.Capacity, fallback: o.Timeout, every: o.RefreshEvery,
		timeouts: map[string]time.Duration{}, entries: map[key]*entry{},
	}
	c.head.prev, c.head.next = &c.head, &c.head
	return c
}

func (c *core) timeout(service string) time.Duration {
	if t, ok := c.timeouts[service]; ok && t > 0 {
		return t
	}
	return c.fallback
}

func (c *core) expired(e *entry, now time.Time) bool {
	return now.Sub(e.used) >= c.timeout(e.service)
}

// live returns the entry unless there is none or it has expired.
func (c *core) live(now time.Time, k key) *entry {
	e := c.entries[k]
	if e == nil {
		return nil
	}
	if c.expired(e, now) {
		c.stats.Expired++
		c.remove(e)
		return nil
	}
	return e
}

// put writes the entry as used now and queues it for the watcher.
func (c *core) put(k key, server string, now time.Time) {
	e := c.take(k)
	e.server, e.used = server, now
	c.link(e)
	c.tell(e, now)
}

// take returns the entry of the key, made if need be, out of the ring.
func (c *core) take(k key) *entry {
	e := c.entries[k]
	if e != nil {
		e.unlink()
		return e
	}
	c.makeRoom()
	e = &entry{key: k}
	c.entries[k] = e
	return e
}

// makeRoom evicts the entry used longest ago when the table is full.
func (c *core) makeRoom() {
	for len(c.entries) >= c.capacity {
		c.stats.Evicted++
		c.remove(c.head.prev)
	}
}

// touch marks the entry as used now; the watcher hears of it only now and then.
func (c *core) touch(e *entry, now time.Time) {
	if now.After(e.used) {
		e.used = now
	}
	e.unlink()
	c.link(e)
	if now.Sub(e.told) >= min(c.every, c.timeout(e.service)/4) {
		c.tell(e, now)
	}
}

// link puts e into the ring by its time of last use, looking from the front: e is
// the newest, or nearly so.
func (c *core) link(e *entry) {
	at := &c.head
	for at.next != &c.head && at.next.used.After(e.used) {
		at = at.next
	}
	e.after(at)
}

// linkMerged puts e into the ring, looking from hint (the entry merged before it,
// nil = the oldest) towards the front and from the front towards hint in step: one
// ascending import walks the ring once, and a small batch of fresh entries does not
// walk over a large table.
func (c *core) linkMerged(e, hint *entry) {
	old := c.head.prev
	if hint != nil && hint.next != nil {
		old = hint
	}
	young := &c.head
	for old != &c.head && !old.used.After(e.used) && young.next != &c.head && young.next.used.After(e.used) {
		old, young = old.prev, young.next
	}
	if old == &c.head || old.used.After(e.used) {
		e.after(old)
		return
	}
	e.after(young)
}

func (e *entry) after(at *entry) {
	e.prev, e.next = at, at.next
	at.next.prev, at.next = e, e
}

func (e *entry) unlink() {
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = nil, nil
}

func (c *core) remove(e *entry) {
	e.unlink()
	e.gone = true
	delete(c.entries, e.key)
}

func (c *core) tell(e *entry, now time.Time) {
	e.told = now
	if !c.watched || e.queued {
		return
	}
	e.queued = true
	c.queue = append(c.queue, e)
}

// takeChanges returns up to limit queued entries, oldest change first.
func (c *core) takeChanges(now time.Time, limit int) []lb.PersistenceEntry {
	n := min(limit, len(c.queue))
	out := make([]lb.PersistenceEntry, 0, n)
	for _, e := range c.queue[:n] {
		e.queued = false
		if !e.gone {
			out = append(out, e.export(now))
		}
	}
	clear(c.queue[:n])
	c.queue = c.queue[n:]
	if len(c.queue) == 0 {
		c.queue = nil
	}
	return out
}

func (e *entry) export(now time.Time) lb.PersistenceEntry {
	return lb.PersistenceEntry{Service: e.service, Client: e.client, Server: e.server, Idle: max(0, now.Sub(e.used))}
}

func matches(s dataplane.Selector, e *entry) bool {
	return (s.Service == "" || s.Service == e.service) &&
		(!s.Client.IsValid() || s.Client.Unmap() == e.client) &&
		(s.Server == "" || s.Server == e.server)
}
