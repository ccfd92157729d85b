package links

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/internal/netns"
	"github.com/vosbed/vosbed/internal/testenv"
)

// inside runs fn in the namespace.
func inside(t *testing.T, ns *netns.NS, fn func() error) {
	t.Helper()
	if err := ns.Do(fn); err != nil {
		t.Fatal(err)
	}
}

// plugged makes an interface that is up; the far end of its cable lies about.
func plugged(name string) (netlink.Link, error) {
	l := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "-far"}
	if err := netlink.LinkAdd(l); err != nil {
		return nil, err
	}
	return l, netlink.LinkSetUp(l)
}

func address(l netlink.Link, cidr string) error {
	a, err := netlink.ParseAddr(cidr)
	if err != nil {
		return err
	}
	return netlink.AddrAdd(l, a)
}

func defaultVia(l netlink.Link, gateway string) error {
	return netlink.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Gw: net.ParseIP(gateway)})
}

func TestList(t *testing.T) {
	t.Parallel()
	ns := testenv.NewNS(t)
	var got []plan.Link
	inside(t, ns, func() error {
		first, err := plugged("eth0")
		if err != nil {
			return err
		}
		second, err := plugged("eth1")
		if err != nil {
			return err
		}
		for _, cidr := range []string{"192.0.2.10/24", "198.51.100.1/32", "2001:db8::10/64"} {
			if err = address(first, cidr); err != nil {
				return err
			}
		}
		if err = address(second, "203.0.113.10/28"); err != nil {
			return err
		}
		if err = defaultVia(second, "203.0.113.1"); err != nil {
			return err
		}
		got, err = List()
		return err
	})
	got = slices.DeleteFunc(got, func(l plan.Link) bool { return strings.HasSuffix(l.Name, "-far") })
	want := []plan.Link{
		{Name: "lo"},
		{Name: "eth0", Prefixes: prefixes("192.0.2.0/24", "198.51.100.1/32", "2001:db8::/64")},
		{Name: "eth1", Prefixes: prefixes("203.0.113.0/28"), Default: true},
	}
	byValue := []cmp.Option{
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
		cmp.FilterValues(func(a, b []netip.Prefix) bool { return len(a)+len(b) == 0 }, cmp.Ignore()),
	}
	if diff := cmp.Diff(want, got, byValue...); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
}

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range texts {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}
