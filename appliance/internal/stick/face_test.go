package stick

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/dataplane"
	"github.com/vosbed/vosbed/appliance/lb"
)

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := New(Options{RefreshEvery: 5 * time.Second})
		face := Face{table}
		table.Reserve(time.Now(), "a", ip(1), to("s1")) // before the watch: an export tells of it
		ctx, cancel := context.WithCancel(t.Context())
		var seen []lb.PersistenceEntry
		ended := make(chan error, 1)
		go func() {
			ended <- face.Watch(ctx, func(batch []lb.PersistenceEntry) { seen = append(seen, batch...) })
		}()
		synctest.Wait()
		if err := face.Watch(ctx, nil); !errors.Is(err, ErrWatched) {
			t.Errorf("second watch: %v, want ErrWatched", err)
		}
		<-time.After(watchEvery / 2) // between two reports
		expect := func(what string, want ...lb.PersistenceEntry) {
			t.Helper()
			<-time.After(watchEvery)
			synctest.Wait()
			compareEntries(t, what, want, seen)
			seen = nil
		}
		// Many changes of one entry between two reports make one report, of the last.
		table.Reserve(time.Now(), "a", ip(2), to("s1"))
		table.Move(time.Now(), "a", ip(2), "s1", to("s2"))
		expect("new and moved", lb.PersistenceEntry{Service: "a", Client: ip(2), Server: "s2", Idle: watchEvery / 2})
		table.Touch(time.Now(), "a", ip(2), "s2")
		expect("refreshed too soon")
		<-time.After(5 * time.Second)
		table.Touch(time.Now(), "a", ip(2), "s2")
		expect("refreshed", lb.PersistenceEntry{Service: "a", Client: ip(2), Server: "s2", Idle: watchEvery / 2})
		table.Reserve(time.Now(), "a", ip(3), to("s1"))
		if n, err := face.Clear(ctx, dataplane.Selector{Client: ip(3)}); n != 1 || err != nil {
			t.Errorf("Clear = %d, %v", n, err)
		}
		expect("gone before it was told")
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Watch ended with %v", err)
		}
	})
}

func TestWatchCapsItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		face := Face{New(Options{})}
		var batches []int
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- face.Watch(ctx, func(b []lb.PersistenceEntry) { batches = append(batches, len(b)) })
		}()
		synctest.Wait()
		for i := range watchBatch + 500 {
			face.Table.Reserve(time.Now(), "a", ip(i), to("s1"))
		}
		<-time.After(3 * watchEvery)
		synctest.Wait()
		if len(batches) != 2 || batches[0] != watchBatch || batches[1] != 500 {
			t.Errorf("batches = %v, want %d and 500", batches, watchBatch)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Watch ended with %v", err)
		}
	})
}

func TestFaceAges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to2 := Face{New(Options{})}, Face{New(Options{})}
		from.Table.Reserve(time.Now(), "a", ip(1), to("s1"))
		<-time.After(time.Minute)
		entries, err := from.Export(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := []lb.PersistenceEntry{{Service: "a", Client: ip(1), Server: "s1", Idle: time.Minute}}
		compareEntries(t, "exported", want, entries)
		if err = to2.Import(t.Context(), entries); err != nil {
			t.Fatal(err)
		}
		<-time.After(29 * time.Minute)
		got, err := to2.Export(t.Context())
		if err != nil || len(got) != 0 {
			t.Errorf("after 30 min in all: %v, %v, want nothing", got, err)
		}
	})
}
