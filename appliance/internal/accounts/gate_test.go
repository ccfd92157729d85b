package accounts

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// guess is one failed attempt, after the wait that it costs, which it returns.
func guess(g *Gate, name string, from netip.Addr) time.Duration {
	var waited time.Duration
	for {
		d := g.Wait(name, from)
		if d == 0 {
			break
		}
		waited += d
		later(d)
	}
	g.Failed(name, from)
	return waited
}

func TestBackOffOfAnAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(time.Now)
		for i, want := range []int{0, 0, 0, 0, 1, 2, 4, 8, 10, 10, 10} {
			from := addr(fmt.Sprintf("192.0.2.%d", i)) // another one each time
			if got := guess(g, "anna", from); got != time.Duration(want)*time.Second {
				t.Errorf("attempt %d waits %v, want %d s", i+1, got, want)
			}
		}
		if d := g.Wait("ben", addr("192.0.2.99")); d != 0 {
			t.Errorf("another account waits %v", d)
		}
	})
}

func TestBackOffOfASource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(time.Now)
		for i, want := range []int{0, 0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300} {
			from := addr(fmt.Sprintf("2001:db8:0:1::%d", i)) // one /64
			if got := guess(g, fmt.Sprintf("user%d", i), from); got != time.Duration(want)*time.Second {
				t.Errorf("attempt %d waits %v, want %d s", i+1, got, want)
			}
		}
		if d := g.Wait("anna", addr("2001:db8:0:2::1")); d != 0 {
			t.Errorf("another /64 waits %v", d)
		}
	})
}

func TestSourcesAreOne(t *testing.T) {
	for _, same := range [][2]string{{"192.0.2.1", "::ffff:192.0.2.1"}, {"fe80::1%eth0", "fe80::2%eth1"}, {"2001:db8::1", "2001:db8::ffff:1"}} {
		if identify("a", addr(same[0])) != identify("a", addr(same[1])) {
			t.Errorf("%v count apart", same)
		}
	}
	if identify("a", addr("192.0.2.1")) == identify("a", addr("192.0.2.2")) {
		t.Error("two IPv4 addresses count as one")
	}
	if identify(strings.Repeat("x", 1e6), netip.Addr{}) != (login{}) {
		t.Error("a long name is kept")
	}
}

// TestOwnerIsNotKeptOut has strangers guess without pause, and a person who logged in
// from home before.
func TestOwnerIsNotKeptOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(time.Now)
		home, away := addr("198.51.100.7"), addr("203.0.113.9")
		g.Succeeded("anna", home)
		for i := range 200 {
			guess(g, "anna", addr(fmt.Sprintf("192.0.2.%d", i)))
		}
		if d := g.Wait("anna", home); d != 0 {
			t.Errorf("at home she waits %v", d)
		}
		g.Failed("anna", home) // tell the outcome
		if d := g.Wait("anna", away); d <= 0 || d > 10*time.Second {
			t.Errorf("away she waits %v", d)
		}
		for range 8 { // but home is no licence to guess
			g.Failed("anna", home)
		}
		if d := g.Wait("anna", home); d < 4*time.Second {
			t.Errorf("after failures at home: %v", d)
		}
	})
}

func TestSuccessClearsTheAccountOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(time.Now)
		from := addr("192.0.2.1")
		var waited time.Duration
		for range 20 { // one with an account guesses at another's
			waited += guess(g, "root", from)
			g.Succeeded("mallory", from)
		}
		if waited < 10*time.Minute {
			t.Errorf("20 guesses took %v", waited)
		}
		g.Succeeded("root", addr("192.0.2.2"))
		if d := g.Wait("root", addr("192.0.2.3")); d != 0 {
			t.Errorf("after a success the account waits %v", d)
		}
	})
}

// TestSuccessEndsTheAttempt has a whole office log in, once each, after a few typing
// errors there.
func TestSuccessEndsTheAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(time.Now)
		office := addr("192.0.2.1")
		for range 4 {
			guess(g, "anna", office)
		}
		for i := range 20 {
			name := fmt.Sprintf("user%d", i)
			if d := g.Wait(name, office); d != 0 {
				t.Fatalf("%s waits %v", name, d)
			}
			g.Succeeded(name, office)
		}
	})
}

func TestForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(time.Now)
		from := addr("192.0.2.1")
		for range 12 {
			guess(g, "anna", from)
		}
		later(g.Wait("anna", from) + 15*time.Minute)
		for i := range 3 {
			if d := guess(g, "anna", from); d != 0 {
				t.Errorf("attempt %d waits %v", i+1, d)
			}
		}
	})
}

// TestManyAtOnce asks for many attempts before the outcome of one is known.
func TestManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(time.Now)
		allowed := func(n int) (count int) {
			for i := range n {
				if g.Wait("anna", addr(fmt.Sprintf("192.0.2.%d", i))) == 0 {
					count++
				}
			}
			return count
		}
		if n := allowed(100); n != 3 {
			t.Errorf("%d at once, want 3", n)
		}
		for i := range 3 {
			g.Failed("anna", addr(fmt.Sprintf("192.0.2.%d", i)))
		}
		if n := allowed(100); n != 1 { // the fourth
			t.Errorf("%d at once, want 1", n)
		}
		later(patience) // the caller never told
		if n := allowed(100); n != 1 {
			t.Errorf("%d at once after a lost attempt, want 1", n)
		}
	})
}

func TestBoundedMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(time.Now)
		hard := addr("203.0.113.1")
		for range 10 {
			guess(g, "root", hard)
		}
		for i := range mostSources + 100 {
			name, from := fmt.Sprintf("user%d", i), netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
			g.Wait(name, from)
			g.Failed(name, from)
			if i < mostKnown+100 {
				g.Succeeded(name, from)
			}
		}
		if len(g.names.marks) > mostNames || len(g.sources.marks) > mostSources || len(g.known) > mostKnown {
			t.Errorf("%d names, %d sources, %d known", len(g.names.marks), len(g.sources.marks), len(g.known))
		}
		if g.sources.wait(identify("", hard).source, time.Now()) == 0 || g.names.wait("root", time.Now()) == 0 {
			t.Error("a flood of new names makes the gate forget the worst")
		}
	})
}

// TestDelaysAreBounded tries any history: nobody ever waits longer than the caps.
func TestDelaysAreBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1e9, 0)
		g := NewGate(func() time.Time { return now })
		from := rapid.SampledFrom([]netip.Addr{{}, addr("192.0.2.1"), addr("192.0.2.2"), addr("2001:db8::1")})
		name := rapid.SampledFrom([]string{"anna", "ben", "not a name"})
		for range rapid.IntRange(1, 200).Draw(t, "events") {
			who, at := name.Draw(t, "name"), from.Draw(t, "from")
			now = now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "seconds")) * time.Second)
			switch rapid.IntRange(0, 5).Draw(t, "event") {
			case 0:
				g.Succeeded(who, at)
			case 1:
				if d := g.Wait(who, at); d < 0 || d > 5*time.Minute {
					t.Fatalf("waits %v", d)
				}
			default:
				g.Failed(who, at)
			}
			if d := g.Wait(who, addr("203.0.113.1")); d < 0 || d > 10*time.Second {
				t.Fatalf("from a new source: %v", d)
			}
		}
	})
}

// TestUndecidedAttemptsCostNothing: a directory that is silent makes nobody wait, and
// capitals buy no guesses.
func TestUndecidedAttemptsCostNothing(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	g := NewGate(func() time.Time { return now })
	from := netip.MustParseAddr("192.0.2.1")
	for i := range 20 {
		if w := g.Wait("anna", from); w != 0 {
			t.Fatalf("attempt %d waits %v", i, w)
		}
		g.Undecided("anna", from)
	}
	for _, name := range []string{"anna", "ANNA", "Anna", "aNNa"} {
		g.Failed(name, from)
	}
	if w := g.Wait("annA", from); w == 0 {
		t.Error("another spelling of the name does not wait")
	}
}
