package ebpf

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/dataplane/ebpf/lease"
	"github.com/vosbed/vosbed/appliance/lb"
)

// claimLife is how long a claim counts: several times the period at which the owner
// asks, so that what was solved turns green and what is not stays red.
const claimLife = 10 * time.Second

// Conflicts lists who else has spoken for a VIP in the last ten seconds: a sender of
// ARP or of neighbour advertisements whose MAC is neither this node's, nor the peer's,
// nor one of Options.IgnoreMACs.
func (p *Plane) Conflicts(ctx context.Context) ([]lb.ARPConflict, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.objs == nil {
		return nil, errClosed
	}
	known, err := p.ownMACs()
	if err != nil {
		return nil, err
	}
	known = append(known, p.opts.IgnoreMACs()...)
	p.findPeers()
	now, err := lease.Now()
	if err != nil {
		return nil, err
	}
	var out []lb.ARPConflict
	err = each(p.objs.Conflicts, func(k drConflictKey, c drConflict) {
		vip := unwire(k.Vip)
		_, ours := p.kernel.vips[vip]
		mac := net.HardwareAddr(k.Mac[:])
		age := time.Duration(now - min(c.Last, now))
		if ours && age <= claimLife && !p.peers[k.Mac] && !slices.ContainsFunc(known, func(m net.HardwareAddr) bool { return bytes.Equal(m, mac) }) {
			out = append(out, lb.ARPConflict{
				VIP: vip, MAC: mac.String(), Server: p.serverWith(k.Mac), Count: c.Count,
				Last: time.Now().Add(-age),
			})
		}
	})
	slices.SortFunc(out, func(a, b lb.ARPConflict) int {
		return cmp.Or(a.VIP.Compare(b.VIP), cmp.Compare(a.MAC, b.MAC))
	})
	return out, errors.Join(err, ctx.Err())
}

// findPeers notes where the peer is now. It is not forgotten when it dies: its last
// claims are no ARP problem either.
func (p *Plane) findPeers() {
	for _, a := range p.opts.Peers() {
		routes, err := p.nl.RouteGet(a.Unmap().AsSlice())
		if err != nil || len(routes) == 0 {
			continue
		}
		if mac := p.neighbour(a, routes[0].LinkIndex); mac != [6]byte{} {
			p.peers[mac] = true
		}
	}
}

func (p *Plane) ownMACs() ([]net.HardwareAddr, error) {
	links, err := p.nl.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the interfaces: %w", err)
	}
	var out []net.HardwareAddr
	for _, l := range links {
		out = append(out, l.Attrs().HardwareAddr)
	}
	return out, nil
}

// serverWith names the real server that has a MAC, "" if none is known.
func (p *Plane) serverWith(mac [6]byte) string {
	for _, s := range p.table.Services {
		for _, r := range s.Reals {
			if p.hops[r.Addr].mac == mac {
				return r.Name
			}
		}
	}
	return ""
}

// ResetConflicts forgets all claims seen so far.
func (p *Plane) ResetConflicts() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.objs == nil {
		return errClosed
	}
	var keys []drConflictKey
	err := each(p.objs.Conflicts, func(k drConflictKey, _ drConflict) { keys = append(keys, k) })
	_, err2 := remove(p.objs.Conflicts, keys)
	return errors.Join(err, err2)
}
