package ebpf

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

type identity = [32]byte

// identify hashes the names that make a thing what it is.
func identify(names ...string) identity {
	return sha256.Sum256([]byte(strings.Join(names, "\x00")))
}

// ids gives things stable indexes. A ref is generation<<16 | index: an index that
// changes hands gets another generation, which voids every flow and entry that
// still carries the old one. Identities are kept in a map so that the next process
// gives the same indexes.
type ids struct {
	refs   []uint32   // by index, the latest ref given
	owners []identity // by index, zero = free
	index  map[identity]uint16
}

func newIDs(n int) *ids {
	return &ids{make([]uint32, n), make([]identity, n), map[identity]uint16{}}
}

// restore notes what an earlier process had given.
func (s *ids) restore(i int, ref uint32, owner identity) {
	s.refs[i] = ref
	s.owners[i] = owner
	if owner != (identity{}) {
		s.index[owner] = uint16(i)
	}
}

// take returns the index of a thing, a free one if it is new.
func (s *ids) take(owner identity) (index uint16, fresh bool, err error) {
	if i, ok := s.index[owner]; ok {
		return i, false, nil
	}
	for i := range s.owners {
		if s.owners[i] != (identity{}) {
			continue
		}
		generation := s.refs[i]>>16 + 1
		if generation > 0xffff {
			generation = 1
		}
		s.restore(i, generation<<16|uint32(i), owner)
		return uint16(i), true, nil
	}
	return 0, false, fmt.Errorf("all %d places are taken", len(s.owners))
}

// release frees every index whose owner is not kept and returns them.
func (s *ids) release(keep map[uint16]bool) []uint16 {
	var gone []uint16
	for i, owner := range s.owners {
		if owner == (identity{}) || keep[uint16(i)] {
			continue
		}
		delete(s.index, owner)
		s.owners[i] = identity{}
		gone = append(gone, uint16(i))
	}
	return gone
}

func (s *ids) ref(index uint16) uint32 { return s.refs[index] }

// live returns the index of a ref unless it has changed hands.
func (s *ids) live(ref uint32) (uint16, bool) {
	i := int(ref & 0xffff)
	if ref == 0 || i >= len(s.refs) || s.refs[i] != ref || s.owners[i] == (identity{}) {
		return 0, false
	}
	return uint16(i), true
}
