package maglev

import (
	"fmt"
	"math"
	"net/netip"
	"testing"
)

func servers(n int) []Backend {
	out := make([]Backend, n)
	for i := range out {
		out[i] = Backend{Name: fmt.Sprintf("server-%d", i), ID: uint16(i), Weight: 100}
	}
	return out
}

func shares(table []uint16) map[uint16]int {
	out := map[uint16]int{}
	for _, v := range table {
		out[v-1]++
	}
	return out
}

func TestSharesFollowWeights(t *testing.T) {
	for _, weights := range [][]int{{1}, {1, 1}, {1, 3}, {100, 100, 50}, {7, 5, 3, 2, 1}, {1, 100}} {
		b := servers(len(weights))
		total := 0
		for i, w := range weights {
			b[i].Weight = w
			total += w
		}
		got := shares(Table(b))
		for i, w := range weights {
			want := float64(Size) * float64(w) / float64(total)
			if math.Abs(float64(got[uint16(i)])-want) > want/100+float64(len(weights)) {
				t.Errorf("weights %v: server %d has %d slots, want about %.0f", weights, i, got[uint16(i)], want)
			}
		}
	}
}

func TestRemovalMovesLittle(t *testing.T) {
	for _, n := range []int{2, 5, 10, 50} {
		all := servers(n)
		before, after := Table(all), Table(all[1:])
		moved := 0
		for i := range before {
			if before[i] != all[0].ID+1 && before[i] != after[i] {
				moved++
			}
		}
		if share := float64(moved) / Size; share > 0.02 {
			t.Errorf("%d servers: %.2f %% of the others' slots moved, want at most 2 %%", n, share*100)
		}
	}
}

func TestReturnRestoresTheTable(t *testing.T) {
	all := servers(4)
	first, again := Table(all), Table(servers(4))
	for i := range first {
		if first[i] != again[i] {
			t.Fatalf("slot %d differs between two equal computations", i)
		}
	}
}

func TestNobody(t *testing.T) {
	if got := Table([]Backend{{Name: "a", Weight: 0}}); got != nil {
		t.Errorf("a table of %d slots, want none", len(got))
	}
}

func TestSlotSpreads(t *testing.T) {
	seen := map[int]bool{}
	a := netip.MustParseAddr("10.0.0.0")
	for range 4096 {
		seen[Slot(a)] = true
		a = a.Next()
	}
	if len(seen) < 3900 {
		t.Errorf("4096 neighbouring clients share %d slots", len(seen))
	}
	if Slot(netip.MustParseAddr("192.0.2.1")) != Slot(netip.MustParseAddr("::ffff:192.0.2.1")) {
		t.Error("an IPv4 client and its mapped form differ")
	}
}

func BenchmarkTable(b *testing.B) {
	s := servers(8)
	for b.Loop() {
		Table(s)
	}
}
