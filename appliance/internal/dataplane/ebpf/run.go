package ebpf

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// sweepPeriod is also the precision of idle timeouts; a sweep that takes long
// stretches it, so that sweeping never uses more than a tenth of one core.
const sweepPeriod = time.Second

// Run watches the neighbour table and sweeps the tables until ctx ends; then it
// returns nil. Without it nothing expires but by use, counts for limits drift, and
// a real server's new MAC is never learned, and nobody is asked for foreign claims.
func (p *Plane) Run(ctx context.Context) error {
	timer := time.NewTimer(sweepPeriod)
	defer timer.Stop()
	for {
		done := make(chan struct{})
		events, err := p.neighbours(done)
		if err != nil {
			close(done)
			return err
		}
		again := p.watch(ctx, events, timer)
		close(done)
		for range events { // the subscription ends by closing its channel
			continue
		}
		if !again {
			return nil
		}
	}
}

func (p *Plane) neighbours(done chan struct{}) (chan netlink.NeighUpdate, error) {
	events := make(chan netlink.NeighUpdate, 64)
	err := netlink.NeighSubscribeWithOptions(events, done, netlink.NeighSubscribeOptions{
		Namespace: &p.ns, ListExisting: true,
		ErrorCallback: func(err error) { p.log.Debug("neighbour events ended", "err", err) },
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to neighbour events: %w", err)
	}
	return events, nil
}

// watch serves one subscription; again says that it broke and is to be renewed.
func (p *Plane) watch(ctx context.Context, events <-chan netlink.NeighUpdate, timer *time.Timer) (again bool) {
	for {
		select {
		case <-ctx.Done():
			return false
		case n, ok := <-events:
			if !ok {
				return true
			}
			if err := p.learn(n.Neigh, n.Type == unix.RTM_DELNEIGH); err != nil {
				p.log.WarnContext(ctx, "cannot write a real server's link address", "err", err)
			}
		case <-timer.C:
			start := time.Now()
			if err := errors.Join(p.sweep(), p.refreshHops(), p.reattach(), p.ask(start)); err != nil {
				p.log.WarnContext(ctx, "sweep of the data-plane tables failed", "err", err)
			}
			timer.Reset(max(sweepPeriod, 10*time.Since(start)))
		}
	}
}
