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
			o.forget("l4", dataplane.Selector{Server: "HT1"})
		}, nil},
		"back after a clearing": {func(o *outbox) {
			o.learn("l4", one("HT1", 0), now)
			o.forget("l4", dataplane.Selector{Service: "traffic"})
			o.offer("l4", one("HT1", 0), now)
		}, one("HT1", 10*time.Second)},
		"another's clearing": {func(o *outbox) {
			o.offer("l4", one("HT1", 0), now)
			o.forget("l7", dataplane.Selector{})
			o.forget("l4", dataplane.Selector{Client: netip.MustParseAddr("10.0.0.2")})
			o.forget("l4", dataplane.Selector{Server: "HT2"})
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
