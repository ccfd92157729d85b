// Package ledger counts what a node sends and receives, by protocol and by
// client address, so that a test can compare what it sent with what arrived
// and can tell whether media landed on the server that holds the control
// session.
package ledger

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/vosbed/vosbed/simvos/control"
)

// maxClients bounds the memory of a ledger. Clients beyond it are counted in
// the totals only.
const maxClients = 1 << 18

// Ledger holds the counters of one node. The zero value is ready to use.
type Ledger struct {
	mu      sync.RWMutex
	totals  map[string]*counter
	clients map[key]*counter
}

type key struct {
	client netip.Addr
	proto  string
}

// counter is the live form of control.Counters.
type counter struct {
	sessions, receivedPackets, receivedBytes, sentPackets, sentBytes, lost, stray atomic.Uint64
	active                                                                        atomic.Int64
}

// Entry counts for one client of one protocol, and for the protocol as a whole.
// Its methods are safe for concurrent use and allocate nothing.
type Entry struct{ total, client *counter }

// Entry returns the entry of that protocol and client. Keep it where packets
// are counted: finding it takes a lock.
func (l *Ledger) Entry(proto string, client netip.Addr) Entry {
	k := key{client.Unmap().WithZone(""), proto}
	l.mu.RLock()
	e := Entry{l.totals[proto], l.clients[k]}
	l.mu.RUnlock()
	if e.total != nil && e.client != nil {
		return e
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.add(k)
}

// add creates what is missing of the entry k; l.mu is held.
func (l *Ledger) add(k key) Entry {
	if l.totals == nil {
		l.totals, l.clients = map[string]*counter{}, map[key]*counter{}
	}
	e := Entry{l.totals[k.proto], l.clients[k]}
	if e.total == nil {
		e.total = new(counter)
		l.totals[k.proto] = e.total
	}
	if e.client == nil {
		e.client = new(counter)
		if len(l.clients) < maxClients {
			l.clients[k] = e.client
		}
	}
	return e
}

// Open counts a session that begins.
func (e Entry) Open() {
	e.total.sessions.Add(1)
	e.client.sessions.Add(1)
	e.total.active.Add(1)
	e.client.active.Add(1)
}

// Close counts a session that ends.
func (e Entry) Close() {
	e.total.active.Add(-1)
	e.client.active.Add(-1)
}

// Received counts packets that arrived, with the sum of their payloads.
func (e Entry) Received(packets, bytes int) {
	e.total.receivedPackets.Add(uint64(packets))
	e.client.receivedPackets.Add(uint64(packets))
	e.total.receivedBytes.Add(uint64(bytes))
	e.client.receivedBytes.Add(uint64(bytes))
}

// Sent counts packets that left, with the sum of their payloads.
func (e Entry) Sent(packets, bytes int) {
	e.total.sentPackets.Add(uint64(packets))
	e.client.sentPackets.Add(uint64(packets))
	e.total.sentBytes.Add(uint64(bytes))
	e.client.sentBytes.Add(uint64(bytes))
}

// Lost counts packets that a gap in sequence numbers shows to be missing.
func (e Entry) Lost(n int) {
	e.total.lost.Add(uint64(n))
	e.client.lost.Add(uint64(n))
}

// Stray counts a packet that belongs to no session of its sender.
func (e Entry) Stray() {
	e.total.stray.Add(1)
	e.client.stray.Add(1)
}

// Totals returns the counters by protocol.
func (l *Ledger) Totals() map[string]control.Counters {
	l.mu.RLock()
	defer l.mu.RUnlock()
	out := make(map[string]control.Counters, len(l.totals))
	for proto, c := range l.totals {
		out[proto] = c.read()
	}
	return out
}

// Clients returns the counters by client and protocol.
func (l *Ledger) Clients() map[netip.Addr]map[string]control.Counters {
	l.mu.RLock()
	defer l.mu.RUnlock()
	out := make(map[netip.Addr]map[string]control.Counters)
	for k, c := range l.clients {
		if out[k.client] == nil {
			out[k.client] = make(map[string]control.Counters)
		}
		out[k.client][k.proto] = c.read()
	}
	return out
}

func (c *counter) read() control.Counters {
	return control.Counters{
		Sessions:        c.sessions.Load(),
		Active:          c.active.Load(),
		ReceivedPackets: c.receivedPackets.Load(),
		ReceivedBytes:   c.receivedBytes.Load(),
		SentPackets:     c.sentPackets.Load(),
		SentBytes:       c.sentBytes.Load(),
		Lost:            c.lost.Load(),
		Stray:           c.stray.Load(),
	}
}
