package ebpf

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/dataplane"
	"github.com/vosbed/vosbed/appliance/lb"
)

// Full tables evict; clients are still served, never refused, and it is counted: what
// was evicted, and the packets of flows that nobody knew any more.
func TestFullTables(t *testing.T) {
	const clients = 2000
	p, ns := testPlane(t, Options{Flows: 128, Entries: 128}, service(vip4))
	for c := range uint32(clients) {
		if ret, _ := syn(t, p, ns.Do, c, 1000); ret != redirected {
			t.Fatalf("client %d with full tables: verdict %d", c, ret)
		}
	}
	c, err := p.Counters(t.Context())
	if err != nil || c.Flows > c.FlowCapacity || c.Entries > c.EntryCapacity || c.FlowCapacity != 128 {
		t.Errorf("%d of %d flows, %d of %d entries, %v", c.Flows, c.FlowCapacity, c.Entries, c.EntryCapacity, err)
	}
	for reason, there := range map[string]uint64{"flow_evicted": c.Flows, "entry_evicted": c.Entries} {
		if got := c.Drops[reason].Packets; there == 0 || got != clients-there {
			t.Errorf("%s counts %d, want %d of which %d are there", reason, got, clients, there)
		}
	}
	if n := c.Drops["flow_lost"].Packets + c.Drops["table_full"].Packets; n != 0 {
		t.Errorf("%d packets lost their flow before any came", n)
	}
	var lost uint64
	for client := range uint32(clients) {
		if !p.knows(client) {
			lost++
		}
		f := synFrame(client, 1000)
		f[47] = 0x10 // ACK
		var ret uint32
		if err := ns.Do(func() (err error) { ret, _, err = p.objs.Ingress.Test(f); return err }); err != nil || ret != redirected {
			t.Fatalf("client %d, evicted or not: verdict %d, %v", client, int32(ret), err)
		}
	}
	if got := drops(t, p, "flow_lost"); got != lost || lost == 0 {
		t.Errorf("flow_lost counts %d, want %d", got, lost)
	}
}

// knows says whether the tables have a client's entry or its flow from port 1000.
func (p *Plane) knows(client uint32) bool {
	var e drEntry
	a := wire(netip.AddrFrom4([4]byte{11, byte(client >> 16), byte(client >> 8), byte(client)}))
	slot := p.kernel.vips[netip.MustParseAddr(vip4)].Slot
	flow := drFlowKey{Client: a, Sport: 1000>>8 | 1000&0xff<<8, Dport: 80 << 8, Vip: slot, Proto: 6}
	return p.objs.Persist.Lookup(drPersistKey{Client: a, Service: p.services.ref(0)}, &e) == nil ||
		p.objs.Flows.Lookup(flow, &e) == nil
}

// What the sweep removes and what Clear removes was not evicted; what was imported and
// is there was not either.
func TestRemovalIsNoEviction(t *testing.T) {
	p, ns := testPlane(t, Options{}, service(vip4))
	for c := range uint32(100) {
		syn(t, p, ns.Do, c, 1000)
	}
	imported := []lb.PersistenceEntry{{Service: "media", Client: netip.MustParseAddr("12.0.0.1"), Server: "s0"}}
	if err := p.Import(t.Context(), imported); err != nil {
		t.Fatal(err)
	}
	if n, err := p.Clear(t.Context(), dataplane.Selector{Client: netip.MustParseAddr("11.0.0.5")}); err != nil || n != 1 {
		t.Fatalf("cleared %d, %v", n, err)
	}
	if err := errors.Join(p.sweep(), p.age(time.Hour), p.sweep(), p.sweep()); err != nil {
		t.Fatal(err)
	}
	c, err := p.Counters(t.Context())
	if err != nil || c.Flows+c.Entries != 0 || c.Drops["flow_evicted"].Packets+c.Drops["entry_evicted"].Packets != 0 {
		t.Errorf("%d flows and %d entries are there, %v and %v evicted (%v)",
			c.Flows, c.Entries, c.Drops["flow_evicted"], c.Drops["entry_evicted"], err)
	}
}
