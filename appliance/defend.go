package appliance

import (
	"context"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/sentinel"
)

// Times of the defence of a VIP: how often claims are looked at, and the least time
// between two announcements against a claim that goes on (RFC 5227 section 2.4,
// DEFEND_INTERVAL).
const (
	defendLook     = time.Second
	defendInterval = 10 * time.Second
)

// defence decides when an owner announces its VIPs again because somebody else
// claims them. Once the claims have ended it does so at once: until then neighbours
// keep the claimant's address in their caches for minutes.
type defence struct {
	claimed bool
	last    time.Time
}

// due takes the present claims.
func (d *defence) due(claims int, now time.Time) bool {
	ended := d.claimed && claims == 0
	d.claimed = claims > 0
	if !ended && (!d.claimed || now.Sub(d.last) < defendInterval) {
		return false
	}
	d.last = now
	return true
}

// defend watches the claims that Status shows.
func (a *Appliance) defend(ctx context.Context) error {
	look := time.NewTicker(defendLook)
	defer look.Stop()
	var d defence
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		}
		s := a.Status()
		if !s.Pair.Role.OwnsVIPs() {
			d = defence{}
			continue
		}
		if !d.due(len(s.Conflicts), time.Now()) {
			continue
		}
		if err := a.pair.handle.Command(ctx, sentinel.Announce); err != nil {
			a.log.WarnContext(ctx, "virtual addresses not announced again", "err", err)
		}
	}
}
