package accounts

import (
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Memory of a Gate, in entries.
const (
	mostNames   = 1024
	mostSources = 4096
	mostKnown   = 1024
)

// knownFor is how long a source stays known to an account after a login.
const knownFor = 30 * 24 * time.Hour

// Gate makes guessing passwords slow (ASVS 6.3.1). Failures count per account and per
// source address, an IPv6 source by its /64, the least that one attacker has. The
// first few cost nothing, then each doubles the delay:
//
//   - of the account, from the 4th on, 1 to 10 seconds;
//   - of the source, from the 6th on, 1 second to 5 minutes.
//
// No account is ever locked. A stranger who guesses without pause could still keep an
// account's delay running for ever and so keep its owner out; therefore a source from
// which a login to the account succeeded before waits only for its own failures. A
// success clears the account's count but not the source's: one with an account of its
// own must not buy free guesses at others with it. Counts are forgotten some time
// after the delay is over, and by a restart.
type Gate struct {
	now func() time.Time

	mu      sync.Mutex
	names   backoff[string]
	sources backoff[netip.Prefix]
	known   map[login]time.Time // until when
}

// login is a source that knew an account's password.
type login struct {
	name   string
	source netip.Prefix
}

// NewGate returns a gate that has seen nobody; now is its clock.
func NewGate(now func() time.Time) *Gate {
	return &Gate{
		now:     now,
		names:   backoff[string]{free: 3, longest: 10 * time.Second, quiet: 15 * time.Minute, most: mostNames, marks: map[string]mark{}},
		sources: backoff[netip.Prefix]{free: 5, longest: 5 * time.Minute, quiet: 15 * time.Minute, most: mostSources, marks: map[netip.Prefix]mark{}},
		known:   map[login]time.Time{},
	}
}

// Wait returns how long the caller must wait before it may try that account from
// there, 0 = not at all. Ask once per attempt, before the password is looked at, and
// then tell the outcome: an attempt that is under way counts, so that many at the same
// time are no cheaper than one after the other.
func (g *Gate) Wait(name string, from netip.Addr) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	now, who := g.now(), identify(name, from)
	wait := g.sources.wait(who.source, now)
	if !g.known[who].After(now) {
		wait = max(wait, g.names.wait(who.name, now))
	}
	if wait == 0 {
		g.names.begin(who.name, now)
		g.sources.begin(who.source, now)
	}
	return wait
}

// Failed counts a wrong password, or a name that nobody has.
func (g *Gate) Failed(name string, from netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now, who := g.now(), identify(name, from)
	g.names.failed(who.name, now)
	g.sources.failed(who.source, now)
}

// Succeeded notes a right password.
func (g *Gate) Succeeded(name string, from netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now, who := g.now(), identify(name, from)
	delete(g.names.marks, who.name)
	g.sources.end(who.source)
	if _, again := g.known[who]; !again && len(g.known) >= mostKnown {
		dropEarliest(g.known, func(until time.Time) time.Time { return until })
	}
	g.known[who] = now.Add(knownFor)
}

// Undecided notes that nobody could say whether a password is right: it costs nothing.
func (g *Gate) Undecided(name string, from netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	who := identify(name, from)
	g.names.end(who.name)
	g.sources.end(who.source)
}

// identify names what is counted. All that cannot be the name of an account counts as
// one, so that no name takes more memory than an account's.
func identify(name string, from netip.Addr) login {
	if !validName(name) {
		name = ""
	}
	name = strings.ToLower(name) // directories know no capitals: ANNA must not buy free guesses at anna
	from = from.Unmap().WithZone("")
	bits := 64
	if from.Is4() {
		bits = 32
	}
	source, err := from.Prefix(bits)
	if err != nil {
		source = netip.Prefix{} // no address: all of these are one source
	}
	return login{name, source}
}

// patience is how long an attempt of which nobody told the outcome counts as under
// way: longer than a password waits to be checked, here and by a directory.
const patience = 20 * time.Second

// backoff counts failures per key. When it is full, the key that is free first is
// forgotten: the one with the fewest failures lately.
type backoff[K comparable] struct {
	free    int           // failures without a delay
	longest time.Duration // delay
	quiet   time.Duration // after the delay, until the count is forgotten
	most    int           // keys
	marks   map[K]mark
}

type mark struct {
	fails int
	until time.Time // the end of the delay, or the last attempt

	trying int       // attempts under way
	began  time.Time // the last of them
}

// wait is the rest of the delay; once the free failures are used up, or would be by
// what is under way, one attempt goes after the other.
func (b *backoff[K]) wait(key K, now time.Time) time.Duration {
	m := b.marks[key]
	if rest := m.until.Sub(now); rest > 0 {
		return rest
	}
	if trying := m.underway(now); trying > 0 && m.fails+trying >= b.free {
		return time.Second
	}
	return 0
}

func (m mark) underway(now time.Time) int {
	if now.Sub(m.began) >= patience {
		return 0
	}
	return m.trying
}

func (b *backoff[K]) begin(key K, now time.Time) {
	m := b.get(key, now)
	m.trying = m.underway(now) + 1
	m.began, m.until = now, now
	b.marks[key] = m
}

func (b *backoff[K]) failed(key K, now time.Time) {
	m := b.get(key, now)
	m.trying = max(0, m.trying-1)
	m.fails++
	m.until = now.Add(b.delay(m.fails))
	b.marks[key] = m
}

// end is the end of an attempt that did not fail.
func (b *backoff[K]) end(key K) {
	if m, ok := b.marks[key]; ok {
		m.trying = max(0, m.trying-1)
		b.marks[key] = m
	}
}

// get returns a mark that there is room to put back; an old one is forgotten.
func (b *backoff[K]) get(key K, now time.Time) mark {
	m, known := b.marks[key]
	if !known && len(b.marks) >= b.most {
		b.makeRoom(now)
	}
	if b.over(m, now) {
		return mark{}
	}
	return m
}

// delay is 1 s after the first failure that counts, doubled by each one more.
func (b *backoff[K]) delay(fails int) time.Duration {
	excess := fails - b.free
	if excess <= 0 {
		return 0
	}
	return min(time.Second<<min(excess-1, 20), b.longest)
}

func (b *backoff[K]) over(m mark, now time.Time) bool { return now.Sub(m.until) >= b.quiet }

func (b *backoff[K]) makeRoom(now time.Time) {
	for key, m := range b.marks {
		if b.over(m, now) {
			delete(b.marks, key)
		}
	}
	if len(b.marks) >= b.most {
		dropEarliest(b.marks, func(m mark) time.Time { return m.until })
	}
}

func dropEarliest[K comparable, V any](set map[K]V, at func(V) time.Time) {
	var (
		first K
		when  time.Time
		found bool
	)
	for key, v := range set {
		if t := at(v); !found || t.Before(when) {
			first, when, found = key, t, true
		}
	}
	delete(set, first)
}
