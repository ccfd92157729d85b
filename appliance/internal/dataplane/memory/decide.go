package memory

import (
	"net"
	"net/netip"

	"github.com/vosbed/vosbed/appliance/internal/dataplane/maglev"
	"github.com/vosbed/vosbed/appliance/lb"
)

// Ingress decides on a packet that has come in on an interface with a VIP.
func (p *Plane) Ingress(k Packet) Verdict {
	p.mu.Lock()
	defer p.mu.Unlock()
	v := p.ingress(k)
	p.noteDrop(k, v)
	return v
}

// Egress decides on a packet that the node itself is about to send.
func (p *Plane) Egress(k Packet) Verdict {
	p.mu.Lock()
	defer p.mu.Unlock()
	v := pass()
	speaker := k.Src
	if k.Kind == Advert {
		speaker = k.Dst
	}
	if p.leaseOver() && (p.vips[speaker] != nil || p.vips[k.Src] != nil) {
		v = drop("lease_expired")
	}
	p.noteDrop(k, v)
	return v
}

func (p *Plane) noteDrop(k Packet, v Verdict) {
	if v.Action == Drop {
		p.drops[v.Reason] = p.drops[v.Reason].Plus(lb.Counter{Packets: 1, Bytes: uint64(k.Length)})
	}
}

func (p *Plane) leaseOver() bool { return p.table.Leased && !p.leaseHeld }

func (p *Plane) ingress(k Packet) Verdict {
	if k.Kind == ARP || k.Kind == Solicit || k.Kind == Advert {
		return p.neighbour(k)
	}
	v := p.vips[k.Dst]
	switch {
	case v == nil || k.Foreign:
		return pass()
	case p.leaseOver():
		return drop("lease_expired")
	case v.guarded:
		return pass()
	case k.Broadcast:
		return drop("not_unicast")
	case k.Malformed:
		return drop("malformed")
	}
	return p.balance(k, v)
}

// neighbour handles ARP and neighbour discovery.
func (p *Plane) neighbour(k Packet) Verdict {
	claimed := k.Src
	if k.Kind == Advert || (k.Kind == Solicit && k.Src.IsUnspecified()) {
		claimed = k.Dst
	}
	claim := k.Kind != Solicit || k.Src.IsUnspecified()
	if claim && p.vips[claimed] != nil {
		p.claimed(claimed, k.MAC)
	} else if p.vips[k.Dst] == nil {
		return pass()
	}
	if p.leaseOver() {
		return drop("lease_expired")
	}
	return pass()
}

func (p *Plane) claimed(a netip.Addr, mac [6]byte) {
	c := p.conflicts[conflictKey{a, mac}]
	if c == nil {
		c = &lb.ARPConflict{VIP: a, MAC: net.HardwareAddr(mac[:]).String()}
		p.conflicts[conflictKey{a, mac}] = c
	}
	c.Count++
	c.Last = p.opts.Now()
}

func (p *Plane) balance(k Packet, v *vip) Verdict {
	switch k.Kind {
	case Echo, ICMPError, OtherICMP:
		return p.icmp(k, v)
	case OtherIP, ARP, Solicit, Advert:
		return drop("port_not_served")
	case TCP, UDP:
	}
	if k.Fragment == Later {
		return p.later(k, v)
	}
	r, reason := p.find(k, v)
	if r == nil {
		return drop(reason)
	}
	if k.Fragment == First {
		p.fragments[fragmentKeyOf(k)] = &entry{real: r, seen: p.opts.Now()}
	}
	return forward(k, r)
}

func forward(k Packet, r *backend) Verdict {
	n := lb.Counter{Packets: 1, Bytes: uint64(k.Length)}
	r.in, r.service.in = r.in.Plus(n), r.service.in.Plus(n)
	return Verdict{Action: Forward, Server: r.spec.Addr}
}

// find follows the flow, or else makes one.
func (p *Plane) find(k Packet, v *vip) (*backend, string) {
	key := flowKey{k.Src, k.Dst, k.SrcPort, k.DstPort, k.Kind}
	e := p.flows[key]
	if e != nil && p.follow(k, v, e) {
		return e.real, ""
	}
	s := v.at(k.Kind, k.DstPort)
	if s == nil {
		return nil, "port_not_served"
	}
	if k.Kind == TCP && k.Flags&RST != 0 {
		return p.stray(k, s)
	}
	r := p.decide(k, s, e != nil)
	if r == nil {
		return nil, "no_server"
	}
	delete(p.flows, key)
	p.lose("flow_evicted", evict(p.flows, p.opts.Flows))
	ending := k.Kind == TCP && k.Flags&FIN != 0
	p.flows[key] = &entry{real: r, seen: p.opts.Now(), closing: ending}
	if ending {
		return r, ""
	}
	r.active++
	r.conns++
	s.conns++
	return r, ""
}

// stray sends a reset without a flow somewhere and leaves no trace of it.
func (p *Plane) stray(k Packet, s *service) (*backend, string) {
	r := p.bound(s, k.Src)
	if r == nil && s.persistent() {
		r = s.schedule(s.key(k.Src).client)
	} else if r == nil {
		r = s.schedule(k.Src)
	}
	if r == nil {
		return nil, "no_server"
	}
	return r, ""
}

// lose counts what a full table has cost; no packet is dropped for it.
func (p *Plane) lose(reason string, n lb.Counter) {
	if n.Packets > 0 {
		p.drops[reason] = p.drops[reason].Plus(n)
	}
}

// evict makes room for one entry: the longest silent goes. It returns how many went.
func evict[K comparable](m map[K]*entry, capacity int) (gone lb.Counter) {
	if len(m) < capacity {
		return gone
	}
	var (
		oldest K
		found  *entry
	)
	for k, e := range m {
		if found == nil || e.seen.Before(found.seen) {
			oldest, found = k, e
		}
	}
	delete(m, oldest)
	return lb.Counter{Packets: 1}
}

// follow says whether a flow still stands, and keeps it and its client fresh.
func (p *Plane) follow(k Packet, v *vip, e *entry) bool {
	if e.real.dead() {
		return false
	}
	if k.Kind == TCP {
		if e.closing && k.Flags&(SYN|ACK) == SYN {
			return false
		}
		if k.Flags&(FIN|RST) != 0 {
			p.closeFlow(e)
		}
		if k.Flags&RST != 0 {
			return true
		}
	}
	s := e.real.service
	if p.idle(e) >= refreshStep && v.at(k.Kind, k.DstPort) != s {
		return false // the port was taken out of the service's set
	}
	if k.Kind == UDP && p.idle(e) > s.timeout() {
		return false
	}
	e.seen = p.opts.Now()
	if !e.loose && s.persistent() {
		p.renew(k, s, e.real)
	}
	return true
}

func (p *Plane) closeFlow(e *entry) {
	if e.closing {
		return
	}
	r := e.real
	e.closing, e.seen = true, p.opts.Now()
	r.active--
	if r.spec.MaxConns > 0 && r.active <= r.resumeAt() {
		r.full = false
	}
}

func (p *Plane) renew(k Packet, s *service, r *backend) {
	key := s.key(k.Src)
	if have := p.persist[key]; have != nil {
		if have.real == r {
			have.seen = p.opts.Now()
		}
		return
	}
	p.lose("entry_evicted", evict(p.persist, p.opts.Entries))
	p.persist[key] = &entry{real: r, seen: p.opts.Now()}
}

func (s *service) persistent() bool { return s.spec.Persistence.Kind == lb.PersistSourceIP }

func (s *service) key(client netip.Addr) persistKey {
	return persistKey{s.spec.Name, s.spec.Persistence.Key(client)}
}

func (v *vip) at(kind Kind, port uint16) *service {
	proto := lb.TCP
	if kind == UDP {
		proto = lb.UDP
	}
	for _, s := range v.services {
		if s.spec.Protocols.Has(proto) && s.spec.Ports.Contains(port) {
			return s
		}
	}
	return nil
}

// decide finds the server for a packet without a flow. known says that there was one,
// by now void.
func (p *Plane) decide(k Packet, s *service, known bool) *backend {
	midstream := k.Kind == TCP && k.Flags&SYN == 0
	lost := lb.Counter{Packets: 1, Bytes: uint64(k.Length)}
	if !s.persistent() {
		if midstream && !known {
			p.lose("flow_lost", lost)
		}
		return s.schedule(k.Src)
	}
	key := s.key(k.Src)
	if r := p.held(s, key, midstream); r != nil {
		p.persist[key].seen = p.opts.Now()
		return r
	}
	if have := p.persist[key]; midstream && !known && (have == nil || p.idle(have) > s.timeout()) {
		p.lose("flow_lost", lost)
	}
	r := s.schedule(key.client)
	if r != nil {
		delete(p.persist, key)
		p.lose("entry_evicted", evict(p.persist, p.opts.Entries))
		p.persist[key] = &entry{real: r, seen: p.opts.Now()}
	}
	return r
}

// held returns the server an entry binds its client to.
func (p *Plane) held(s *service, key persistKey, midstream bool) *backend {
	e := p.persist[key]
	if e == nil || p.idle(e) > s.timeout() {
		return nil
	}
	if e.real.open() || (e.real.draining() && (midstream || s.spec.DrainPersistent)) {
		return e.real
	}
	return nil
}

func (s *service) schedule(client netip.Addr) *backend {
	if s.ring != nil {
		if i := s.ring[maglev.Slot(client)]; i > 0 && s.reals[i-1].accepts() {
			return s.reals[i-1]
		}
	}
	var best *backend
	for _, r := range s.reals {
		if r.accepts() && (best == nil || r.less(best)) {
			best = r
		}
	}
	return best
}

func (r *backend) less(o *backend) bool {
	return (r.active+1)*int64(o.spec.Weight) < (o.active+1)*int64(r.spec.Weight)
}

func (r *backend) accepts() bool {
	if !r.open() || r.spec.MaxConns == 0 {
		return r.open()
	}
	if r.active >= int64(r.spec.MaxConns) {
		r.full = true
	}
	return !r.full
}

// later sends a non-first fragment after its first one, or after its client.
func (p *Plane) later(k Packet, v *vip) Verdict {
	e := p.fragments[fragmentKeyOf(k)]
	if e != nil && p.idle(e) <= fragmentIdle && !e.real.dead() {
		return forward(k, e.real)
	}
	for _, s := range v.services {
		if r := p.bound(s, k.Src); r != nil {
			return forward(k, r)
		}
	}
	return drop("fragment_unknown")
}

func (p *Plane) bound(s *service, client netip.Addr) *backend {
	if !s.persistent() {
		return nil
	}
	return p.held(s, s.key(client), true)
}

func fragmentKeyOf(k Packet) fragmentKey { return fragmentKey{k.Src, k.Dst, k.ID, k.Kind} }

// icmp passes echo, and sends errors to the server whose packet they quote.
func (p *Plane) icmp(k Packet, v *vip) Verdict {
	switch {
	case k.Fragment != Whole:
		return drop("fragment_unknown")
	case k.Kind == Echo:
		return pass()
	case k.Kind == OtherICMP || k.Inner == nil || k.Inner.Src != k.Dst:
		return drop("icmp_unknown")
	case k.Inner.Kind != TCP && k.Inner.Kind != UDP:
		return pass()
	}
	in := k.Inner
	if e := p.flows[flowKey{in.Dst, in.Src, in.DstPort, in.SrcPort, in.Kind}]; e != nil && !e.real.dead() {
		return forward(k, e.real)
	}
	if s := v.at(in.Kind, in.SrcPort); s != nil {
		if r := p.bound(s, in.Dst); r != nil {
			return forward(k, r)
		}
	}
	return drop("icmp_unknown")
}
