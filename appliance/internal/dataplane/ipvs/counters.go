package ipvs

import (
	"context"
	"fmt"
	"maps"
	"net/netip"

	"github.com/google/nftables"
	"github.com/moby/ipvs"

	"github.com/vosbed/vosbed/appliance/internal/dataplane"
	"github.com/vosbed/vosbed/appliance/lb"
)

// linkHeader is what a frame has before the packet, in bytes: the kernel counts packets,
// the other engines frames.
const linkHeader = 14

// totals are 64-bit counts of what the kernel counts in 32 bits.
type totals map[counted]*wide

// counted is a service, or a server of it.
type counted struct {
	mark   uint32
	server netip.Addr // invalid: the whole service
}

// wide is one count: the latest reading and what all of them have come to.
type wide struct {
	last    ipvs.SvcStats
	conns   uint64
	in, out lb.Counter
}

func (t totals) at(c counted) *wide {
	w := t[c]
	if w == nil {
		w = &wide{}
		t[c] = w
	}
	return w
}

// learn takes a reading of the kernel.
func (t totals) learn(have map[uint32]present) {
	for mark, s := range have {
		t.at(counted{mark: mark}).add(s.raw.Stats)
		for addr, d := range s.dests {
			t.at(counted{mark, addr}).add(ipvs.SvcStats(d.Stats))
		}
	}
}

func (w *wide) add(now ipvs.SvcStats) {
	w.conns += since(w.last.Connections, now.Connections)
	w.in = w.in.Plus(frames(since(w.last.PacketsIn, now.PacketsIn), sinceBytes(w.last.BytesIn, now.BytesIn)))
	w.out = w.out.Plus(frames(since(w.last.PacketsOut, now.PacketsOut), sinceBytes(w.last.BytesOut, now.BytesOut)))
	w.last = now
}

// forget drops the counts of what is no longer wanted.
func (t totals) forget(d desired) {
	known := map[counted]bool{}
	for _, s := range d.services {
		known[counted{mark: s.mark}] = true
		for addr := range s.reals {
			known[counted{s.mark, addr}] = true
		}
	}
	maps.DeleteFunc(t, func(c counted, _ *wide) bool { return !known[c] })
}

// since is how far a 32-bit count has come. One that fell by less than half of its range
// did not turn over: it began anew.
func since(last, now uint32) uint64 {
	if now < last && last-now < 1<<31 {
		return uint64(now)
	}
	return uint64(now - last)
}

// sinceBytes is since of a count that never turns over.
func sinceBytes(last, now uint64) uint64 {
	if now < last {
		return now
	}
	return now - last
}

// frames turns the kernel's counts into frames.
func frames(packets, bytes uint64) lb.Counter {
	return lb.Counter{Packets: packets, Bytes: bytes + linkHeader*packets}
}

// Counters is one reading. The kernel's counts of packets are up to two seconds old; they
// turn over unnoticed if nobody reads for 2^31 packets.
func (p *Plane) Counters(context.Context) (dataplane.Counters, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	have, err := p.read()
	if err != nil {
		return dataplane.Counters{}, err
	}
	p.stats.learn(have)
	out := dataplane.Counters{Services: map[string]lb.ServiceCounters{}}
	for _, s := range p.table.services {
		w := p.stats.at(counted{mark: s.mark})
		c := lb.ServiceCounters{In: w.in, Out: w.out, Conns: w.conns, Reals: map[string]lb.RealCounters{}}
		for addr, name := range s.reals {
			w := p.stats.at(counted{s.mark, addr})
			r := lb.RealCounters{In: w.in, Out: w.out, Conns: w.conns}
			if d := have[s.mark].dests[addr]; d != nil {
				r.ActiveConns = uint64(d.ActiveConnections)
				out.Flows += uint64(d.ActiveConnections + d.InactiveConnections)
			}
			c.Reals[name] = r
			c.ActiveConns += r.ActiveConns
		}
		out.Services[s.name] = c
	}
	out.Drops, err = p.drops()
	return out, err
}

// drops reads the counters of the table, none before the first Set.
func (p *Plane) drops() (map[string]lb.Counter, error) {
	out := map[string]lb.Counter{}
	if p.rules == nil {
		return out, nil
	}
	objects, err := p.nft.GetObjects(&nftables.Table{Family: nftables.TableFamilyINet, Name: tableName})
	if err != nil {
		return nil, fmt.Errorf("read the counters of nftables: %w", err)
	}
	for _, o := range objects {
		if c, ok := o.(*nftables.CounterObj); ok {
			out[c.Name] = frames(c.Packets, c.Bytes)
		}
	}
	return out, nil
}
