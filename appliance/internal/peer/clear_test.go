package peer_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/dataplane"
)

// connect starts both ends; part of the tables is on its way when it returns.
func connect(t *testing.T, a, b *end) {
	t.Helper()
	a.start()
	b.start()
	until(t, "the first entries arrive", func() bool { return a.rep.Status().Received+b.rep.Status().Received > 0 })
}

// wipe is an operator's clearing on one node: first the node's own table, as the API does.
func (e *end) wipe() {
	e.t.Helper()
	if _, err := e.table.Clear(e.t.Context(), dataplane.Selector{}); err != nil {
		e.t.Error(err)
	}
	if !e.rep.Clear(e.t.Context(), "l4", dataplane.Selector{}) {
		e.t.Errorf("%s could not clear at its peer", e.cfg.Node)
	}
}

// TestClearingDuringASnapshot: entries that were read before a clearing do not come back,
// on whichever node it was made, and those made after it are on both.
func TestClearingDuringASnapshot(t *testing.T) {
	for _, c := range []struct {
		name         string
		full, clears func(a, b *end) *end
	}{
		{"at the reader", second, first},
		{"at the sender", first, first},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := ends(t)
			c.full(a, b).table.fill(200000)
			connect(t, a, b)
			clears := c.clears(a, b)
			clears.wipe()
			clears.table.put("172.16.0.1", "HT2", 0)
			until(t, "in sync", synced(a, b))
			until(t, "the new one is on both", func() bool {
				return a.table.server("172.16.0.1") == "HT2" && b.table.server("172.16.0.1") == "HT2"
			})
			until(t, "no lag", func() bool { return a.rep.Status().Lag == 0 && b.rep.Status().Lag == 0 })
			if a.table.size() != 1 || b.table.size() != 1 {
				t.Errorf("after clearing everything lb1 has %d entries and lb2 %d, want the new one", a.table.size(), b.table.size())
			}
		})
	}
}

func first(a, _ *end) *end  { return a }
func second(_, b *end) *end { return b }

// TestClearingsOfBoth is a model test: while both nodes clear at random moments and
// clients come at random, no entry outlives a clearing that began after its client's last
// packet, and every client that came to the node of the last clearing after it is on both.
func TestClearingsOfBoth(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { clearingsOfBoth(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func clearingsOfBoth(t *testing.T, r *rand.Rand) {
	t.Helper()
	a, b := ends(t)
	a.table.fill(100000)
	b.table.fill(50000)
	connect(t, a, b)
	var clearing sync.WaitGroup
	for i := range 40 {
		e := []*end{a, b}[r.IntN(2)]
		if r.IntN(8) == 0 {
			clearing.Go(e.wipe)
		}
		a.table.put(fmt.Sprintf("172.16.1.%d", i), "HT1", 0)
		<-time.After(time.Duration(r.IntN(4)) * time.Millisecond)
	}
	clearing.Wait()
	last := []*end{a, b}[r.IntN(2)]
	last.wipe()
	for i := range 10 {
		last.table.put(fmt.Sprintf("172.16.2.%d", i), "HT1", 0)
	}
	until(t, "in sync", synced(a, b))
	until(t, "those that came after the last clearing are on both", func() bool {
		return a.table.size() >= 10 && b.table.size() >= 10 && a.rep.Status().Lag == 0 && b.rep.Status().Lag == 0
	})
	for _, e := range []*end{a, b} {
		if n := e.table.size(); n != 10 {
			t.Errorf("%s has %d entries after the last clearing and 10 clients", e.cfg.Node, n)
		}
	}
}
