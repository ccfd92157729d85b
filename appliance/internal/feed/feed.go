// Package feed is a bounded ring of numbered things that readers follow: the lines of the
// log, the events of the API. A reader keeps nothing but the number of what it has read,
// so followers cost no memory, and one that is too slow for the ring finds that out.
package feed

import "sync"

// Item is one thing with its number. Numbers rise by one.
type Item[T any] struct {
	ID    uint64
	Value T
}

// Feed keeps the latest items. It is safe for concurrent use.
type Feed[T any] struct {
	size int

	mu     sync.Mutex
	next   uint64 // number of the next item
	ring   []Item[T]
	at     int           // where the next one goes, once the ring is full
	wakers chan struct{} // closed when an item comes; nil = nobody waits
}

// New returns an empty feed for that many items, the first of which has that number, at
// least 1.
func New[T any](size int, first uint64) *Feed[T] {
	return &Feed[T]{size: max(size, 1), next: max(first, 1)}
}

// Add appends items.
func (f *Feed[T]) Add(values ...T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, v := range values {
		item := Item[T]{f.next, v}
		f.next++
		if len(f.ring) < f.size {
			f.ring = append(f.ring, item)
			continue
		}
		f.ring[f.at] = item
		f.at = (f.at + 1) % f.size
	}
	if f.wakers != nil && len(values) > 0 {
		close(f.wakers)
		f.wakers = nil
	}
}

// Last is the number of the newest item, or the one before the first.
func (f *Feed[T]) Last() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.next - 1
}

// After returns the items that came after a number, the oldest first, and a channel that
// is closed when another one comes. Missed says that some of them are not kept any more,
// or that the number is of another feed: then all that is kept is returned.
func (f *Feed[T]) After(id uint64) (items []Item[T], missed bool, more <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	kept := uint64(len(f.ring))
	oldest := f.next - kept
	missed = id+1 < oldest || id >= f.next
	skip := kept
	switch {
	case missed:
		skip = 0
	case id+1 < f.next:
		skip = id + 1 - oldest
	}
	items = make([]Item[T], 0, kept-skip)
	for i := skip; i < kept; i++ {
		items = append(items, f.ring[(f.at+int(i))%len(f.ring)])
	}
	if f.wakers == nil {
		f.wakers = make(chan struct{})
	}
	return items, missed, f.wakers
}

// All returns everything that is kept, the oldest first.
func (f *Feed[T]) All() []Item[T] {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]Item[T], 0, len(f.ring))
	return append(append(out, f.ring[f.at:]...), f.ring[:f.at]...)
}
