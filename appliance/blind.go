package appliance

import (
	"sync"
	"time"

	"github.com/vosbed/vosbed/appliance/lb"
)

// blindness remembers since when every ping node has been silent. A node whose
// cable was pulled must not conclude that all servers are dead: it would carry that
// conclusion into its next takeover and move everybody's clients.
type blindness struct {
	mu    sync.Mutex
	since time.Time // zero = it sees
}

// observe takes the latest state of the pair.
func (b *blindness) observe(pings []lb.PingStatus, now time.Time) {
	silent := len(pings) > 0
	for _, p := range pings {
		silent = silent && !p.Up
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !silent:
		b.since = time.Time{}
	case b.since.IsZero():
		b.since = now
	}
}

// now implements health.Options.Blind.
func (b *blindness) now() (since time.Time, blind bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.since, !b.since.IsZero()
}
