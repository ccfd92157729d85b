package ebpf

import (
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/vosbed/vosbed/appliance/internal/plan"
)

// A server that has the ARP problem and says nothing unless asked is found, as the
// owner asks; once solved, the conflict ends.
func TestSilentOffenderIsFound(t *testing.T) {
	l := newLab(t)
	l.vips(l.servers[1], "lo", false)
	l.vips(l.servers[1], "eth0", true)
	l.in(l.servers[1], func() error { return sysctl("ipv4/conf/all/arp_ignore", "0") })
	p := l.plane(Options{})
	table := service(vip4)
	table.OtherVIPs = []plan.VIP{{Addr: netip.MustParseAddr(vip6), Interface: "eth0"}}
	l.set(p, table)
	l.run(p)
	found := func() map[netip.Addr]string {
		out := map[netip.Addr]string{}
		list, err := p.Conflicts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list {
			out[c.VIP] = c.Server
		}
		return out
	}
	eventually(t, "both claims are seen and named", func() bool {
		f := found()
		return f[netip.MustParseAddr(vip4)] == "s1" && f[netip.MustParseAddr(vip6)] == "s1"
	})
	l.vips(l.servers[1], "eth0", false)
	if err := p.ageClaims(claimLife + time.Second); err != nil {
		t.Fatal(err)
	}
	if f := found(); len(f) != 0 {
		t.Errorf("after %v: %v", claimLife, f)
	}
}

// The peer's claims are no conflict, even when it can no longer be found.
func TestPeersClaimsAreNoConflict(t *testing.T) {
	l := newLab(t)
	peers := []netip.Addr{netip.MustParseAddr("10.77.0.106")}
	p := l.plane(Options{Peers: func() []netip.Addr { return peers }})
	l.set(p, service(vip4)) // s1 stands for the peer: its MAC gets known
	l.run(p)
	eventually(t, "the peer's MAC is known", func() bool {
		_, err := p.Conflicts(t.Context())
		p.mu.Lock()
		defer p.mu.Unlock()
		return err == nil && len(p.peers) == 1
	})
	peers = nil
	l.vips(l.servers[1], "eth0", true)
	l.in(l.servers[1], func() error { return announceBy("eth0", netip.MustParseAddr(vip4)) })
	l.in(l.servers[0], func() error { return announceBy("eth0", netip.MustParseAddr(vip4)) })
	eventually(t, "the other claim is seen", func() bool {
		list, err := p.Conflicts(t.Context())
		return err == nil && len(list) == 1 && list[0].Server == "s0"
	})
	var claims int
	if err := each(p.objs.Conflicts, func(drConflictKey, drConflict) { claims++ }); err != nil || claims != 2 {
		t.Errorf("%d claims were recorded, %v; want both", claims, err)
	}
}

// ageClaims makes every claim older.
func (p *Plane) ageClaims(d time.Duration) error {
	all := map[drConflictKey]drConflict{}
	err := each(p.objs.Conflicts, func(k drConflictKey, c drConflict) {
		c.Last -= min(c.Last, uint64(d))
		all[k] = c
	})
	for k, c := range all {
		if err == nil {
			err = p.objs.Conflicts.Update(k, c, ebpf.UpdateAny)
		}
	}
	return err
}
