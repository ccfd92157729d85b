package feed

import (
	"math"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// TestAfter holds a feed against a plain list.
func TestAfter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		size, first := rapid.IntRange(1, 5).Draw(t, "size"), rapid.Uint64Range(1, 100).Draw(t, "first")
		f := New[int](size, first)
		var all []Item[int]
		for range rapid.IntRange(0, 20).Draw(t, "items") {
			all = append(all, Item[int]{first + uint64(len(all)), len(all)})
			f.Add(len(all) - 1)
		}
		kept := all[max(0, len(all)-size):]
		oldest := first + uint64(len(all)-len(kept))
		id := rapid.Uint64Range(0, 130).Draw(t, "id")
		got, missed, more := f.After(id)
		want := kept
		if wantMissed := id+1 < oldest || id >= first+uint64(len(all)); wantMissed != missed {
			t.Fatalf("after %d of %v: missed %t", id, kept, missed)
		} else if !missed {
			want = kept[id+1-oldest:]
		}
		if len(got) != len(want) || len(got) > 0 && (got[0] != want[0] || got[len(got)-1] != want[len(want)-1]) {
			t.Fatalf("after %d: %v, want %v", id, got, want)
		}
		if n := f.All(); len(n) != len(kept) || f.Last() != first+uint64(len(all))-1 {
			t.Fatalf("all %v, last %d", n, f.Last())
		}
		select {
		case <-more:
			t.Fatal("woken by nothing")
		default:
		}
		f.Add(-1)
		<-more
	})
}

func TestFarNumbers(t *testing.T) {
	t.Parallel()
	f := New[int](2, 0)
	for _, id := range []uint64{math.MaxUint64, math.MaxUint64 - 1, 5} {
		if items, missed, _ := f.After(id); !missed || len(items) != 0 {
			t.Errorf("after %d: %v %t", id, items, missed)
		}
	}
	if _, missed, _ := f.After(0); missed {
		t.Error("nothing came and something was missed")
	}
}

func TestReadersAtOnce(t *testing.T) {
	t.Parallel()
	const n = 1000
	f := New[int](n, 1)
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			seen := uint64(0)
			for seen < n {
				items, missed, more := f.After(seen)
				if missed {
					t.Error("missed")
					return
				}
				for _, i := range items {
					if i.ID != seen+1 {
						t.Errorf("%d after %d", i.ID, seen)
					}
					seen = i.ID
				}
				if len(items) == 0 {
					<-more
				}
			}
		})
	}
	for i := range n {
		f.Add(i)
	}
	readers.Wait()
}
