package appliance

import (
	"time"

	"github.com/vosbed/vosbed/appliance/internal/events"
	"github.com/vosbed/vosbed/appliance/internal/feed"
	"github.com/vosbed/vosbed/appliance/lb"
)

const (
	// keptEvents is how many events can be asked for again.
	keptEvents = 1000
	// eventsPerSecond is more than a daemon ever tells of: its events are numbered from the
	// second of its start, so that they follow those of the one before it.
	eventsPerSecond = 1_000_000
	// rateEvery and ratesKept: rates are of the latest minute.
	rateEvery = 5 * time.Second
	ratesKept = 12
)

func newEvents() *feed.Feed[events.Event] {
	return feed.New[events.Event](keptEvents, uint64(max(time.Now().Unix(), 0))*eventsPerSecond)
}

// tell compares a picture with the one before it, and reads the rates from it.
func (a *Appliance) tell(before *lb.Status, now lb.Status) {
	a.rates.Add(now.At, now.Services)
	if before != nil {
		a.events.Add(events.Diff(*before, now)...)
	}
}

// pending is what is not in force yet; while it is being changed it is as it was.
func (a *Appliance) pending(before *lb.Status) lb.PendingStatus {
	changes, author, trial, ok := a.draft.Glance()
	switch {
	case ok:
		return lb.PendingStatus{Changes: changes, Author: author, Trial: trial}
	case before != nil:
		return before.Pending
	}
	return lb.PendingStatus{}
}
