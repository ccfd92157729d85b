package proxy

import (
	"net/netip"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/lb"
)

// TestFallbackPage: while no server takes clients they get the page, without an entry that
// would tie them to it; once a server is back they get that.
func TestFallbackPage(t *testing.T) {
	greetAll(t, 2, 8080)
	greet(t, "page:9081", "127.0.0.1:39081")
	r := newRig(t, Options{})
	f := vip(lb.Ports(8080), 2)
	r.set(f)
	if got := dial(t, "127.0.2.1", "127.0.0.100:8080").line(); got == "page:9081" {
		t.Fatal("the page, though both servers are up")
	}
	down := f
	down.Backends = append(down.Backends[:0:0], down.Backends...)
	down.Backends[0].State, down.Backends[1].State = lb.Down, lb.Halted
	down.Fallback = netip.MustParseAddrPort("127.0.0.1:39081")
	r.set(down)
	for range 2 { // one whose server is down, and one who comes anew
		for _, from := range []string{"127.0.2.1", "127.0.2.2"} {
			if got := dial(t, from, "127.0.0.100:8080").line(); got != "page:9081" {
				t.Errorf("%s got %q", from, got)
			}
		}
	}
	if e := r.table.Export(time.Now()); len(e) != 0 {
		t.Errorf("entries = %v, want none", e)
	}
	c := r.proxy.Counters()
	if c.Refused["no_server"] != 0 || c.Services["VIP1"].Conns < 5 || len(c.Services["VIP1"].Reals) != 2 {
		t.Errorf("counted %+v", c)
	}
	open := dial(t, "127.0.2.3", "127.0.0.100:8080")
	if open.line() != "page:9081" {
		t.Error("no page")
	}
	r.set(f)
	if got := dial(t, "127.0.2.3", "127.0.0.100:8080").line(); got == "page:9081" {
		t.Error("still the page, though servers are back")
	}
}

// TestFallbackPageGone: nobody listens there. The client is refused, as without it.
func TestFallbackPageGone(t *testing.T) {
	r := newRig(t, Options{})
	f := vip(lb.Ports(8080), 1)
	f.Backends[0].State = lb.Down
	f.Fallback = netip.MustParseAddrPort("127.0.0.1:39082")
	r.set(f)
	if err := fate(t, "127.0.0.100:8080"); err == nil {
		t.Error("served by nobody")
	}
	eventually(t, "refused", func() bool { return r.proxy.Counters().Refused["no_server"] == 1 })
	eventually(t, "no session is left", func() bool { return r.proxy.Counters().Sessions == 0 })
}
