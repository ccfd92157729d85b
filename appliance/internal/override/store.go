// Package override keeps what the operator wants of real servers now: drain and
// halt. It is never written into the configuration, but it survives a restart of
// the daemon: a server halted on Friday stays halted.
package override

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/vosbed/vosbed/appliance/lb"
)

// record is one override in the file.
type record struct {
	Service  string    `json:"service"`
	Server   string    `json:"server"`
	State    string    `json:"state"`
	Deadline time.Time `json:"deadline,omitzero"`
}

// Store is safe for concurrent use.
type Store struct {
	path string
	mu   sync.Mutex
	set  map[lb.RealID]lb.Override
}

// Open reads the overrides kept in path; a missing file is an empty store. With
// an empty path nothing is kept.
func Open(path string) (*Store, error) {
	s := &Store{path: path, set: map[lb.RealID]lb.Override{}}
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
	var records []record
	if err := json.Unmarshal(data, &records); err != nil {
		return nil, fmt.Errorf("read operator overrides %s (remove the file to start with all servers online): %w", path, err)
	}
	for _, r := range records {
		state, err := lb.ParseAdminState(r.State)
		if err != nil {
			return nil, fmt.Errorf("read operator overrides %s: %w", path, err)
		}
		s.set[lb.RealID{Service: r.Service, Real: r.Server}] = lb.Override{State: state, Deadline: r.Deadline}
	}
	return s, nil
}

// Set replaces one override; Online removes it. Nothing changes when it cannot be
// kept.
func (s *Store) Set(id lb.RealID, o lb.Override) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := maps.Clone(s.set)
	if o.State == lb.Online {
		delete(next, id)
	} else {
		next[id] = o
	}
	if err := s.save(next); err != nil {
		return err
	}
	s.set = next
	return nil
}

// All returns a copy.
func (s *Store) All() map[lb.RealID]lb.Override {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.set)
}

func (s *Store) save(set map[lb.RealID]lb.Override) error {
	if s.path == "" {
		return nil
	}
	records := make([]record, 0, len(set))
	for id, o := range set {
		records = append(records, record{id.Service, id.Real, o.State.String(), o.Deadline})
	}
	data, err := json.MarshalIndent(records, "", "  ")
	if err != nil {
		return fmt.Errorf("keep operator overrides: %w", err)
	}
	return replaceFile(s.path, data)
}

// replaceFile writes beside the file and renames, so that a power cut leaves the
// old or the new text, never half of one.
func replaceFile(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".overrides-*")
	if err != nil {
		return fmt.Errorf("keep operator overrides: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, werr := tmp.Write(data)
	if err := errors.Join(werr, tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("keep operator overrides: %w", err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return fmt.Errorf("keep operator overrides: %w", err)
	}
	return nil
}
