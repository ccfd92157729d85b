package peer

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vosbed/vosbed/appliance/internal/dataplane"
	"github.com/vosbed/vosbed/appliance/lb"
)

func one(server string, idle time.Duration) []lb.PersistenceEntry {
	return []lb.PersistenceEntry{{Service: "traffic", Client: netip.MustParseAddr("10.0.0.1"), Server: server, Idle: idle}}
}

func TestOutboxCoalesces(t *testing.T) {
	now := time.Unix(1000, 0)
	at := func(d time.Duration) time.Time { return now.Add(d) }
	for name, tc := range map[string]struct {
		play func(*outbox)
		want []lb.PersistenceEntry // taken at +10 s
	}{
		"closed":          {func(o *outbox) { o.reset(false, now); o.offer("l4", one("HT1", 0), now) }, nil},
		"new":             {func(o *outbox) { o.offer("l4", one("HT1", time.Second), now) }, one("HT1", 11*time.Second)},
		"only the latest": {func(o *outbox) { o.offer("l4", one("HT1", 0), now); o.offer("l4", one("HT2", 0), at(time.Second)) }, one("HT2", 9*time.Second)},
		"refresh too soon": {func(o *outbox) {
			o.learn("l4", one("HT1", 0), now)
			o.offer("l4", one("HT1", 0), at(refreshEvery-1))
		}, nil},
		"refresh": {func(o *outbox) {
			o.learn("l4", one("HT1", 0), now)
			o.offer("l4", one("HT1", 0), at(refreshEvery))
		}, one("HT1", 9*time.Second)},
		"echo":  {func(o *outbox) { o.learn("l4", one("HT1", 0), now); o.offer("l4", one("HT1", 0), now) }, nil},
		"moved": {func(o *outbox) { o.learn("l4", one("HT1", 0), now); o.offer("l4", one("HT2", 0), now) }, one("HT2", 10*time.Second)},
		"cleared": {func(o *outbox) {
			o.offer("l4", one("HT1", 0), now)
			o.forget(clearing{"l4", dataplane.Selector{Server: "HT1"}}, now)
		}, nil},
		"back after a clearing": {func(o *outbox) {
			o.learn("l4", one("HT1", 0), now)
			o.forget(clearing{"l4", dataplane.Selector{Service: "traffic"}}, now)
			o.offer("l4", one("HT1", 0), at(staleTime))
		}, one("HT1", 8*time.Second)},
		"elsewhere after a clearing": {func(o *outbox) {
			o.learn("l4", one("HT1", 0), now)
			o.forget(clearing{"l4", dataplane.Selector{Service: "traffic"}}, now)
			o.offer("l4", one("HT2", 0), now)
		}, one("HT2", 10*time.Second)},
		"another's clearing": {func(o *outbox) {
			o.offer("l4", one("HT1", 0), now)
			o.forget(clearing{"l7", dataplane.Selector{}}, now)
			o.forget(clearing{"l4", dataplane.Selector{Client: netip.MustParseAddr("10.0.0.2")}}, now)
			o.forget(clearing{"l4", dataplane.Selector{Server: "HT2"}}, now)
		}, one("HT1", 10*time.Second)},
		"echo after a generation": {func(o *outbox) {
			o.learn("l4", one("HT1", 0), now)
			o.offer("l4", one("HT1", generation), at(generation))
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOutbox()
			o.reset(true, now)
			tc.play(o)
			_, got, _ := o.take(at(10 * time.Second))
			if name == "echo after a generation" && len(got) > 0 {
				t.Fatal("forgot what the peer knows too early")
			}
			if d := cmp.Diff(tc.want, got, cmpopts.EquateComparable(netip.Addr{})); d != "" {
				t.Error(d)
			}
			if !o.waiting().IsZero() {
				t.Error("something waits in an empty box")
			}
		})
	}
}

func TestOutboxCapsRefreshesNotNewEntries(t *testing.T) {
	now := time.Unix(1000, 0)
	o := newOutbox()
	o.reset(true, now)
	list := make([]lb.PersistenceEntry, 2*maxRefreshes)
	for i := range list {
		list[i] = one("HT1", 0)[0]
		list[i].Client = netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
	}
	count := func() (n int) {
		for {
			_, got, _ := o.take(now)
			if len(got) == 0 {
				return n
			}
			n += len(got)
		}
	}
	o.offer("l4", list, now)
	if n := count(); n != len(list) {
		t.Errorf("%d of %d new entries were sent", n, len(list))
	}
	now = now.Add(2 * refreshEvery)
	o.offer("l4", list, now)
	if n := count(); n != maxRefreshes {
		t.Errorf("%d refreshes in a second, want %d", n, maxRefreshes)
	}
	now = now.Add(2 * refreshEvery)
	o.offer("l4", list, now)
	if n := count(); n != maxRefreshes {
		t.Errorf("%d refreshes in the next second, want %d", n, maxRefreshes)
	}
}

// clients are n entries of different clients, the first of them being the given one.
func clients(first, n int, server string) []lb.PersistenceEntry {
	list := make([]lb.PersistenceEntry, n)
	for i := range list {
		list[i] = one(server, 0)[0]
		c := first + i
		list[i].Client = netip.AddrFrom4([4]byte{10, byte(c >> 16), byte(c >> 8), byte(c)})
	}
	return list
}

// A flood of clients that do not exist fills no memory, whichever way it comes.
func TestOutboxIsBounded(t *testing.T) {
	if newOutbox().limit != maxEntries {
		t.Error("not bounded by default")
	}
	const limit, flood = 1 << 12, 10 << 12
	now := time.Unix(1000, 0)
	o := newOutbox()
	o.limit = limit
	o.reset(true, now)
	bounded := func() {
		t.Helper()
		if n := len(o.fresh.list) + len(o.leaving.list); n > limit {
			t.Fatalf("%d changes wait, the limit is %d", n, limit)
		}
		if len(o.recent) > limit || len(o.older) > limit {
			t.Fatalf("%d and %d entries are remembered, the limit is %d each", len(o.recent), len(o.older), limit)
		}
	}
	for i := 0; i < flood; i += batch {
		o.offer("l4", clients(i, batch, "HT1"), now)
		if i%(4*batch) == 0 {
			o.take(now) // the link carries a quarter
		}
		bounded()
	}
	for i := 0; i < flood; i += batch {
		o.learn("l4", clients(i, batch, "HT1"), now)
		bounded()
	}
}

// What found no room is lost, said to be so, and sent again when there is room.
func TestOutboxOverflowIsRepaired(t *testing.T) {
	now := time.Unix(1000, 0)
	at := func(d time.Duration) time.Time { return now.Add(d) }
	o := newOutbox()
	o.limit = batch
	o.reset(true, now)
	o.offer("l4", clients(0, batch, "HT1"), now)
	if !o.waiting().Equal(now) || o.beginRepair(now) {
		t.Fatal("nothing is lost yet")
	}
	o.offer("l4", clients(batch, 1, "HT1"), at(time.Second))
	o.take(at(time.Second))
	if !o.waiting().Equal(at(time.Second)) {
		t.Error("what is lost must count as waiting")
	}
	if !o.beginRepair(at(2*time.Second)) || o.beginRepair(at(2*time.Second)) {
		t.Fatal("one repair must begin")
	}
	o.offer("l4", clients(0, batch+1, "HT2"), at(3*time.Second))
	o.endRepair()
	o.take(at(3 * time.Second))
	if !o.waiting().Equal(at(3 * time.Second)) {
		t.Error("a loss during a repair is not covered by it")
	}
	if o.beginRepair(at(3 * time.Second)) {
		t.Error("repairs follow each other too closely")
	}
	if !o.beginRepair(at(2*time.Second + repairEvery)) {
		t.Error("the second loss is not repaired")
	}
	o.endRepair()
	if !o.waiting().IsZero() {
		t.Error("all is repaired, yet something waits")
	}
	// The lost one was not remembered: its next packet offers it.
	o.offer("l4", clients(batch, 1, "HT1"), at(4*time.Second))
	if _, got, _ := o.take(at(4 * time.Second)); len(got) != 1 {
		t.Error("an entry that never left was taken for known")
	}
}

// The lag is that of the oldest change, also while new ones come without an end.
func TestOutboxLagUnderAStream(t *testing.T) {
	now := time.Unix(1000, 0)
	o := newOutbox()
	o.reset(true, now)
	for i := range 100 {
		for _, table := range []string{"l4", "l7"} { // a turn takes one table's, the other's waits
			o.offer(table, clients(i, 1, "HT1"), now)
			o.offer("l4", clients(1000+i, 1, "HT1"), now)
			o.take(now)
		}
		now = now.Add(time.Second)
		if lag := now.Sub(o.waiting()); !o.waiting().IsZero() && lag > 2*time.Second {
			t.Fatalf("a lag of %v after %d s", lag, i)
		}
	}
}

func TestEntriesRoundTripNeverYounger(t *testing.T) {
	in := []lb.PersistenceEntry{
		{Service: "traffic", Client: netip.MustParseAddr("192.168.94.7"), Server: "HT1", Idle: 1500 * time.Microsecond},
		{Service: "management", Client: netip.MustParseAddr("2001:db8:1::"), Server: "HM2"},
	}
	table, out, err := decodeEntries(appendEntries(nil, "l7", in))
	if err != nil || table != "l7" {
		t.Fatal(table, err)
	}
	in[0].Idle = 2 * time.Millisecond
	if d := cmp.Diff(in, out, cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Error(d)
	}
}

func TestFrameBounds(t *testing.T) {
	big := newFrame(frameDelta, 1, func(b []byte) []byte { return append(b, make([]byte, maxFrame+1)...) })
	for name, raw := range map[string][]byte{"too long": big, "too short": {0, 0, 0, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9}} {
		if _, _, err := readFrame(bytes.NewReader(raw), nil); !errors.Is(err, errFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
	full := make([]lb.PersistenceEntry, batch)
	for i := range full {
		long := fmt.Sprintf("%0300d", i)
		full[i] = lb.PersistenceEntry{Service: long, Server: long, Client: netip.IPv6LinkLocalAllNodes()}
	}
	body := appendEntries(nil, "l4", full)
	if len(body) > maxFrame {
		t.Errorf("a full batch has %d bytes, a frame %d", len(body), maxFrame)
	}
}

func FuzzEntries(f *testing.F) {
	f.Add(appendEntries(nil, "l4", one("HT1", time.Second)))
	f.Fuzz(func(t *testing.T, b []byte) {
		table, list, err := decodeEntries(b)
		if err != nil {
			return
		}
		again, list2, err := decodeEntries(appendEntries(nil, table, list))
		if err != nil || again != table {
			t.Fatal(err)
		}
		if d := cmp.Diff(list, list2, cmpopts.EquateComparable(netip.Addr{})); d != "" {
			t.Error(d)
		}
	})
}

func FuzzFrame(f *testing.F) {
	f.Add(newFrame(framePing, 1, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, _, err := readFrame(bytes.NewReader(b), nil)
		if err == nil && len(got.body) > maxFrame {
			t.Errorf("a body of %d bytes", len(got.body))
		}
	})
}

// TestALateReport: what was imported before a clearing and is reported after it does not
// leave as news. A repair says whether it was any.
func TestALateReport(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	entry := []lb.PersistenceEntry{{Service: "traffic", Client: netip.MustParseAddr("10.0.0.1"), Server: "HT1"}}
	o := newOutbox()
	o.reset(true, now)
	o.learn("l4", entry, now)
	o.forget(clearing{"l4", dataplane.Selector{}}, now)
	o.offer("l4", entry, now.Add(staleTime-1))
	if _, got, _ := o.take(now.Add(staleTime)); len(got) > 0 {
		t.Errorf("%v leaves as news", got)
	}
	if !o.beginRepair(now.Add(staleTime)) {
		t.Error("no repair tells whether it was news")
	}
}
