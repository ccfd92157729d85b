package mgmt

import (
	"net/netip"
	"sync"
	"time"
)

// A source may fail burst times at once and then once per refill.
const (
	burst      = 5
	refill     = 10 * time.Second
	maxSources = 4096
)

// limiter counts failed logins per source. Its memory is bounded: when full, the
// source whose failures are longest ago is forgotten.
type limiter struct {
	mu      sync.Mutex
	sources map[netip.Prefix]time.Time // when the source will have no failures left
}

func newLimiter() *limiter { return &limiter{sources: map[netip.Prefix]time.Time{}} }

// source is the unit of counting: an IPv4 address or an IPv6 /64, the least that
// one attacker has.
func source(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// wait returns how long the source must wait before it may try again, 0 = not.
func (l *limiter) wait(addr netip.Addr, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(0, l.sources[source(addr)].Add(-(burst-1)*refill).Sub(now))
}

// failed counts one failed login.
func (l *limiter) failed(addr netip.Addr, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := source(addr)
	free, known := l.sources[key]
	if !known && len(l.sources) >= maxSources {
		l.forget(now)
	}
	if free.Before(now) {
		free = now
	}
	l.sources[key] = free.Add(refill)
}

// forget makes room: all that are free again, or else the one free first.
func (l *limiter) forget(now time.Time) {
	var (
		first netip.Prefix
		when  time.Time
	)
	for key, free := range l.sources {
		if !free.After(now) {
			delete(l.sources, key)
			continue
		}
		if when.IsZero() || free.Before(when) {
			first, when = key, free
		}
	}
	if len(l.sources) >= maxSources {
		delete(l.sources, first)
	}
}
