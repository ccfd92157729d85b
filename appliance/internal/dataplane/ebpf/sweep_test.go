package ebpf

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/dataplane"
	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
)

// What has come back to life since the walk saw it dead is not removed.
func TestSweepSparesWhatLives(t *testing.T) {
	p, ns := testPlane(t, Options{}, service(vip4))
	syn(t, p, ns.Do, 1, 1000)
	syn(t, p, ns.Do, 2, 1000)
	if err := p.age(time.Hour); err != nil {
		t.Fatal(err)
	}
	f, err := p.count()
	if err != nil || len(f.deadFlows) != 2 || len(f.deadEntries) != 2 {
		t.Fatalf("%d flows and %d entries are dead, %v", len(f.deadFlows), len(f.deadEntries), err)
	}
	syn(t, p, ns.Do, 2, 1000) // meanwhile
	flows, err := bury(p.objs.Flows, f.deadFlows)
	entries, err2 := bury(p.objs.Persist, f.deadEntries)
	if flows != 1 || entries != 1 || err != nil || err2 != nil {
		t.Errorf("removed %d flows and %d entries, %v %v; want those of client 1", flows, entries, err, err2)
	}
	left, err := p.Export(t.Context())
	if err != nil || len(left) != 1 || left[0].Client != netip.MustParseAddr("11.0.0.2") {
		t.Errorf("left are %v, %v", left, err)
	}
	if c, err := p.count(); err != nil || c.flows != 1 {
		t.Errorf("%d flows are left, %v", c.flows, err)
	}
}

// Connections that begin or end during the walk are not forgotten by the correction.
func TestCorrectionKeepsWhatHappensMeanwhile(t *testing.T) {
	p, ns := testPlane(t, Options{}, service(vip4, func(s *plan.L4Service) { s.Reals = s.Reals[:1] }))
	loads := func() map[uint16]drLoad {
		l, err := p.loads()
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	for c := range uint32(10) {
		syn(t, p, ns.Do, c, 1000)
	}
	if err := p.objs.Loads.Put(uint32(0), drLoad{Conns: 500}); err != nil { // it has drifted
		t.Fatal(err)
	}
	before := loads()
	f, err := p.count()
	if err != nil {
		t.Fatal(err)
	}
	for c := range uint32(3) {
		syn(t, p, ns.Do, 100+c, 1000)
	}
	fin := synFrame(100, 1000)
	fin[47] = 0x11
	if err := ns.Do(func() error { _, _, err := p.objs.Ingress.Test(fin); return err }); err != nil {
		t.Fatal(err)
	}
	if err := p.correctAll(before, f.conns); err != nil || loads()[0].Conns != 12 {
		t.Errorf("corrected to %d, want the 10 found and 2 more since (%v)", loads()[0].Conns, err)
	}
	if err := p.sweep(); err != nil || loads()[0].Conns != 12 {
		t.Errorf("the next sweep finds %d (%v)", loads()[0].Conns, err)
	}
}

// A stamp that another CPU has written since this one read the clock is a young one:
// it voids neither an entry nor a flow.
func TestStampOfTheFuture(t *testing.T) {
	p, ns := testPlane(t, Options{}, service(vip4, func(s *plan.L4Service) { s.Reals[0].Weight = 1000 }))
	server := func(client uint32, port uint16) [6]byte {
		_, out := syn(t, p, ns.Do, client, port)
		return [6]byte(out[:6])
	}
	later := func(e drEntry) drEntry { e.Stamp += p.stamps(5*time.Second) &^ stampFlags; return e }
	first := server(1, 1000)
	if err := p.objs.Loads.Put(uint32(0), drLoad{Conns: 1 << 20}); err != nil { // the other one is better now
		t.Fatal(err)
	}
	if err := ageMap[drPersistKey](p.objs.Persist, later); err != nil {
		t.Fatal(err)
	}
	if again := server(1, 1001); again != first {
		t.Errorf("the client went from %x to %x", first, again)
	}
	if err := ageMap[drFlowKey](p.objs.Flows, later); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Clear(t.Context(), dataplane.Selector{}); err != nil {
		t.Fatal(err)
	}
	if again := server(1, 1000); again != first {
		t.Errorf("the flow went from %x to %x", first, again)
	}
}

// A roster that is being written may name a server of another service: it is passed over.
func TestRosterInTheMaking(t *testing.T) {
	table := service(vip4)
	other := table.Services[0]
	other.Name, other.Ports = "web", lb.Ports(8080)
	other.Reals = slices.Clone(other.Reals[:1])
	other.Reals[0].Addr = netip.MustParseAddr("10.77.0.115")
	table.Services = append(table.Services, other)
	p, ns := testPlane(t, Options{}, table)
	foreign := p.reals.index[identify("web", "s0", "10.77.0.115")]
	mine := p.reals.index[identify("media", "s1", "10.77.0.106")]
	if err := p.objs.Rosters.Put(uint32(0), drRoster{N: 3, Real: [maxRoster]uint16{foreign, foreign, mine}}); err != nil {
		t.Fatal(err)
	}
	want := macFor(table.Services[0].Reals[1].Addr)
	for c := range uint32(20) {
		if ret, out := syn(t, p, ns.Do, c, 1000); ret != redirected || [6]byte(out[:6]) != want {
			t.Fatalf("client %d: verdict %d, sent to %x, want %x", c, int32(ret), out[:6], want)
		}
	}
}

// An address that gets the slot of an earlier one does not get its flows, although
// the server that they are tied to still serves there.
func TestSlotWithoutItsPast(t *testing.T) {
	moved := service("10.77.0.101")
	p, ns := testPlane(t, Options{}, service(vip4))
	for c := range uint32(10) {
		syn(t, p, ns.Do, c, 1000)
	}
	// The service moves to another slot first, then back to the first one.
	for _, addr := range []string{"10.77.0.101", "10.77.0.102"} {
		moved.Services[0].Addr = netip.MustParseAddr(addr)
		if err := ns.Do(func() error { return p.Set(t.Context(), moved) }); err != nil {
			t.Fatal(err)
		}
	}
	if slot := p.kernel.vips[netip.MustParseAddr("10.77.0.102")].Slot; slot != 0 {
		t.Fatalf("the new address has slot %d: this test proves nothing", slot)
	}
	if c, err := p.count(); err != nil || c.flows+uint64(len(c.deadFlows)) != 0 {
		t.Errorf("%d flows of the earlier address are left, %v", c.flows+uint64(len(c.deadFlows)), err)
	}
}
