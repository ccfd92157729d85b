package ebpf

import (
	"net/netip"
	"testing"

	"github.com/vosbed/vosbed/appliance/internal/plan"
)

// Hundreds of addresses, then others in their place: the programs find
// each one and none that has gone.
func TestManyVIPs(t *testing.T) {
	p, ns := testPlane(t, Options{}, service(vip4))
	table := func(first netip.Addr) plan.L4Table {
		out := service(vip4)
		for a := first; len(out.OtherVIPs) < 255; a = a.Next() {
			out.OtherVIPs = append(out.OtherVIPs, plan.VIP{Addr: a, Interface: "eth0"})
		}
		out.Leased = true // the drop shows that the address was found
		return out
	}
	for _, first := range []string{"10.1.0.0", "10.1.1.0", "10.9.0.0", "fd00::"} {
		want := table(netip.MustParseAddr(first))
		if err := ns.Do(func() error { return p.Set(t.Context(), want) }); err != nil {
			t.Fatal(err)
		}
		for _, v := range want.OtherVIPs {
			if v.Addr.Is4() && verdictTo(t, p, ns.Do, v.Addr) != 2 {
				t.Fatalf("%s is not guarded", v.Addr)
			}
		}
	}
	if got := verdictTo(t, p, ns.Do, netip.MustParseAddr("10.1.1.7")); got != 0xffffffff {
		t.Errorf("a removed address: verdict %d, want pass", int32(got))
	}
}

func verdictTo(t *testing.T, p *Plane, do func(func() error) error, dst netip.Addr) (ret uint32) {
	t.Helper()
	f := synFrame(1, 1)
	b := dst.As4()
	copy(f[30:], b[:])
	if err := do(func() (err error) { ret, _, err = p.objs.Ingress.Test(f); return err }); err != nil {
		t.Fatal(err)
	}
	return ret
}
