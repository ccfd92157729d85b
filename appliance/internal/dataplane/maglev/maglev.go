// Package maglev computes weighted Maglev consistent-hashing tables (Eisenbud et
// al., NSDI 2016): every server gets slots in proportion to its weight, and when a
// server comes or goes few slots change hands beyond its own. Pure; the lookup is
// mirrored by the eBPF program.
package maglev

import (
	"encoding/binary"
	"hash/fnv"
	"net/netip"
)

// Size is the number of slots of a table: a prime.
const Size = 65537

// Backend is one server: Name decides which slots it likes, so it must be stable.
type Backend struct {
	Name   string
	ID     uint16 // what the table holds, plus one
	Weight int    // <= 0: gets nothing
}

// Table returns Size slots holding ID+1, or nil when nobody has weight. Its cost
// is a few milliseconds.
func Table(backends []Backend) []uint16 {
	w := walkers(backends)
	if len(w) == 0 {
		return nil
	}
	top := 0
	for _, b := range w {
		top = max(top, b.weight)
	}
	table := make([]uint16, Size)
	for filled := 0; filled < Size; {
		filled = round(table, w, top, filled)
	}
	return table
}

// round lets every server whose credit has reached the top weight take a slot.
func round(table []uint16, w []walker, top, filled int) int {
	for i := range w {
		b := &w[i]
		b.credit += b.weight
		if b.credit < top {
			continue
		}
		b.credit -= top
		table[b.free(table)] = b.id + 1
		filled++
		if filled == Size {
			break
		}
	}
	return filled
}

// walker visits all slots in the order its server prefers.
type walker struct {
	id             uint16
	weight, credit int
	next, skip     uint64
}

func walkers(backends []Backend) []walker {
	var w []walker
	for _, b := range backends {
		if b.Weight <= 0 {
			continue
		}
		h := mix(hash(b.Name))
		w = append(w, walker{
			id: b.ID, weight: b.Weight,
			next: h % Size, skip: mix(h)%(Size-1) + 1,
		})
	}
	return w
}

func (w *walker) free(table []uint16) uint64 {
	for table[w.next] != 0 {
		w.next = (w.next + w.skip) % Size
	}
	return w.next
}

func hash(name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // a hash never fails
	return h.Sum64()
}

func mix(h uint64) uint64 {
	h ^= h >> 32
	h *= 0xD6E8FEB86659FD93
	h ^= h >> 32
	h *= 0xD6E8FEB86659FD93
	return h ^ h>>32
}

// Slot returns the slot of a masked client address. IPv4 counts as ::ffff:a.b.c.d.
func Slot(client netip.Addr) int {
	b := client.As16()
	hi, lo := binary.LittleEndian.Uint64(b[:8]), binary.LittleEndian.Uint64(b[8:])
	return int(uint32(mix(hi*0x9E3779B97F4A7C15^lo)) % Size)
}
