package vip

import (
	"net/netip"
	"slices"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/plan"
)

// Waiting for the kernel to take packets for an IPv6 address.
const (
	latePeriod = time.Millisecond
	// lateLimit ends the wait: an address announced too early is late for some
	// packets, one that is never announced is late for all.
	lateLimit = 100 * time.Millisecond
)

// late are the addresses of one announcement that are not in use yet. The zero value
// is empty.
type late struct {
	vips  []plan.VIP
	look  time.Duration
	until time.Duration
}

func (l *late) add(v plan.VIP, now time.Duration) {
	l.vips = append(l.vips, v)
	l.look, l.until = now+latePeriod, now+lateLimit
}

// next is when to look again, Forever when nothing waits.
func (l *late) next() time.Duration {
	if len(l.vips) == 0 {
		return Forever
	}
	return l.look
}

// take removes those that are to be announced now.
func (l *late) take(now time.Duration, local func(netip.Addr) bool) []plan.VIP {
	if now < l.next() {
		return nil
	}
	l.look = now + latePeriod
	var out []plan.VIP
	l.vips = slices.DeleteFunc(l.vips, func(v plan.VIP) bool {
		ready := now >= l.until || local(v.Addr)
		if ready {
			out = append(out, v)
		}
		return ready
	})
	return out
}
