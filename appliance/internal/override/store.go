// Package override keeps what the operator wants of real servers now: drain and
// halt. It is never written into the configuration, but it survives a restart of
// the daemon: a server halted on Friday stays halted.
//
// # Both nodes of a pair
//
// A store is a map of records that merges in any order, any number of times, to the
// same result: per real server the record with the highest counter wins, then the
// greater node name. A counter is one more than the highest seen, but at least the
// wall clock in milliseconds (a hybrid logical clock). So a later word always beats
// an earlier one that its node knew of, and nearly always, even with clocks some
// seconds apart, one that it did not know of: a node whose state was lost and that
// counts from nothing still wins over what its peer remembers. "Online" is kept as
// a tombstone.
package override

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/atomicfile"
)

// partRecords is how many records go into one part: with the longest names, every
// byte escaped, they stay below 256 KiB.
const partRecords = 50

// fileVersion is the version of the file's layout.
const fileVersion = 1

type file struct {
	Version int             `json:"version"`
	Records json.RawMessage `json:"records"`
}

// Store is safe for concurrent use.
type Store struct {
	path    string
	node    string
	now     func() time.Time
	changed chan struct{}

	mu  sync.Mutex
	set map[lb.RealID]Record
	top uint64 // the highest counter seen
}

// Open reads the overrides kept in path; a missing file is an empty store. With
// an empty path nothing is kept. node signs what is set here.
func Open(path, node string) (*Store, error) {
	s := &Store{
		path: path, node: node, now: time.Now,
		changed: make(chan struct{}, 1), set: map[lb.RealID]Record{},
	}
	if path == "" {
		return s, nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read operator overrides: %w", err)
	}
	list, err := decodeFile(data)
	if err != nil {
		return nil, fmt.Errorf("read operator overrides %s (remove the file to start with all servers online): %w", path, err)
	}
	s.set, s.top, _ = s.merged(list)
	return s, nil
}

func decodeFile(data []byte) ([]Record, error) {
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, err
	}
	if f.Version != fileVersion {
		return nil, fmt.Errorf("the file has version %d, this program reads %d", f.Version, fileVersion)
	}
	return decodeRecords(f.Records)
}

// Set replaces one override; Online removes it. Nothing changes when it cannot be
// kept.
func (s *Store) Set(id lb.RealID, o lb.Override) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := Record{
		Service: id.Service, Server: id.Real, State: o.State.String(), Deadline: o.Deadline,
		Counter: max(s.top+1, uint64(max(0, s.now().UnixMilli()))), Node: s.node,
	}
	if err := r.check(); err != nil {
		return err
	}
	next, top, _ := s.merged([]Record{r})
	if len(next) > mostRecords {
		return fmt.Errorf("%d real servers are drained or halted: put one online first", mostRecords)
	}
	if err := s.save(next); err != nil {
		return err
	}
	s.set, s.top = next, top
	s.notify()
	return nil
}

// Merge takes records of the other node, one of its Parts, and reports whether anything changed here. A malformed list changes nothing; one that
// cannot be kept is in force all the same, since the other node keeps it too.
func (s *Store) Merge(data []byte) (changed bool, err error) {
	list, err := decodeRecords(data)
	if err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next, top, changed := s.merged(list)
	s.top = top
	if !changed {
		return false, nil
	}
	if len(next) > mostRecords {
		return false, fmt.Errorf("%w: more than %d real servers drained or halted", errRecord, mostRecords)
	}
	s.set = next
	return true, s.save(next)
}

// merged is the set with a list's newer records in it, and the highest counter.
func (s *Store) merged(list []Record) (next map[lb.RealID]Record, top uint64, changed bool) {
	next, top = maps.Clone(s.set), s.top
	for _, r := range list {
		top = max(top, r.Counter)
		if old, ok := next[r.id()]; ok && r.compare(old) <= 0 {
			continue
		}
		next[r.id()] = r
	}
	forget(next)
	return next, top, !maps.EqualFunc(next, s.set, func(a, b Record) bool { return a.compare(b) == 0 })
}

// forget drops the oldest tombstones of a set that is too large.
func forget(set map[lb.RealID]Record) {
	over := len(set) - mostRecords
	if over <= 0 {
		return
	}
	var dead []Record
	for _, r := range set {
		if r.override().State == lb.Online {
			dead = append(dead, r)
		}
	}
	slices.SortFunc(dead, Record.compare)
	for _, r := range dead[:min(over, len(dead))] {
		delete(set, r.id())
	}
}

// All returns the drains and halts in force.
func (s *Store) All() map[lb.RealID]lb.Override {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[lb.RealID]lb.Override{}
	for id, r := range s.set {
		if o := r.override(); o.State != lb.Online {
			out[id] = o
		}
	}
	return out
}

// Records are all records, tombstones included, oldest first.
func (s *Store) Records() []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return sorted(s.set)
}

// Parts are all records for the other node, as lists for its Merge; the order in
// which they arrive does not matter.
func (s *Store) Parts() ([][]byte, error) {
	var out [][]byte
	for part := range slices.Chunk(s.Records(), partRecords) {
		b, err := json.Marshal(part)
		if err != nil {
			return nil, fmt.Errorf("encode operator overrides for the peer: %w", err)
		}
		out = append(out, b)
	}
	return out, nil
}

func sorted(set map[lb.RealID]Record) []Record {
	return slices.SortedFunc(maps.Values(set), Record.compare)
}

// Changed delivers after each Set: there is something to tell the other node. A
// slow reader misses repetitions, never the last one. What came by Merge is no news
// to the other node.
func (s *Store) Changed() <-chan struct{} { return s.changed }

func (s *Store) notify() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *Store) save(set map[lb.RealID]Record) error {
	if s.path == "" {
		return nil
	}
	records, err := json.Marshal(sorted(set))
	if err != nil {
		return fmt.Errorf("keep operator overrides: %w", err)
	}
	data, err := json.MarshalIndent(file{fileVersion, records}, "", "  ")
	if err != nil {
		return fmt.Errorf("keep operator overrides: %w", err)
	}
	return atomicfile.Write(s.path, data, 0o600)
}
