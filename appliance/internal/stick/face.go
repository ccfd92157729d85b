package stick

import (
	"context"
	"errors"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/dataplane"
	"github.com/vosbed/vosbed/appliance/lb"
)

// ErrWatched is returned by a second concurrent Watch.
var ErrWatched = errors.New("the persistence table is being watched already: end the other watch first")

const (
	watchEvery = 50 * time.Millisecond
	// watchBatch entries per period cap the rate at 40 000 entries per second;
	// what is left over waits, coalesced, for the next period.
	watchBatch = 2000
)

// Face shows a table to replication and the API, with the wall clock.
type Face struct{ Table *Table }

var (
	_ dataplane.Entries = Face{}
	_ dataplane.Stream  = Face{}
)

// Export lists the live entries.
func (f Face) Export(ctx context.Context) ([]lb.PersistenceEntry, error) {
	return f.Table.Export(time.Now()), ctx.Err()
}

// Import merges entries; the younger of two wins.
func (f Face) Import(ctx context.Context, entries []lb.PersistenceEntry) error {
	f.Table.Import(time.Now(), entries)
	return ctx.Err()
}

// Clear removes the matching entries.
func (f Face) Clear(ctx context.Context, sel dataplane.Selector) (int, error) {
	return f.Table.Clear(sel), ctx.Err()
}

// Watch reports new and refreshed entries every 50 ms until ctx ends, which is not
// an error. Only one watch runs at a time.
func (f Face) Watch(ctx context.Context, fn func([]lb.PersistenceEntry)) error {
	if !f.Table.watch(true) {
		return ErrWatched
	}
	defer f.Table.watch(false)
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			if batch := f.Table.changes(now, watchBatch); len(batch) > 0 {
				fn(batch)
			}
		}
	}
}
