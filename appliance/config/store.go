package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/atomicfile"
)

// fileMode lets the group of an administrator read the file; it holds no secret.
const fileMode = 0o640

// keepRevisions bounds the history.
const keepRevisions = 20

// Store is the configuration file with its history. The file is the truth: people
// may edit it too. The history folder keeps the last 20 valid texts as
// NUMBER-REVISION.yaml. A Store is safe for concurrent use.
type Store struct {
	path    string
	history string

	mu   sync.Mutex
	good lb.Config
	have bool
	text []byte // of the file when it was read or written last
}

// Saved is one entry of the history.
type Saved struct {
	Number   int    // grows by one with each
	Revision string // see Revision
	Path     string
}

// HistoryError says that a configuration is in force, or saved, although no revision
// of it could be kept.
type HistoryError struct{ Err error }

// Error names the cause.
func (e *HistoryError) Error() string {
	return fmt.Sprintf("keep a revision of the configuration: %v", e.Err)
}

// Unwrap returns the cause.
func (e *HistoryError) Unwrap() error { return e.Err }

// NewStore returns the store of the file at path, whose revisions are kept in the
// folder history. Neither need exist yet.
func NewStore(path, history string) *Store { return &Store{path: path, history: history} }

// Path returns the file's path.
func (s *Store) Path() string { return s.path }

// Draft is the file as it was read: valid, and not yet in force.
type Draft struct {
	Config lb.Config
	text   []byte
}

// Read reads the file. The error says that it is missing, or every mistake in it.
func (s *Store) Read() (Draft, error) {
	data, err := os.ReadFile(s.path)
	if err != nil {
		return Draft{}, fmt.Errorf("load configuration: %w", err)
	}
	cfg, err := Parse(s.path, data)
	if err != nil {
		return Draft{}, fmt.Errorf("load configuration: %w", err)
	}
	return Draft{cfg, data}, nil
}

// Keep says that a draft is in force: it is the last good one from now on, and a
// revision. A [*HistoryError] says that no revision could be kept.
func (s *Store) Keep(d Draft) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keep(d.Config, d.text)
}

func (s *Store) keep(cfg lb.Config, text []byte) error {
	s.good, s.have, s.text = cfg, true, text
	if err := s.remember(cfg, text); err != nil {
		return &HistoryError{err}
	}
	return nil
}

// LastGood returns the configuration that was kept or saved last, or else the newest
// of the history that this program can still read. ok is false if there is none.
func (s *Store) LastGood() (cfg lb.Config, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.have {
		s.good, s.have = s.newest()
	}
	return s.good, s.have
}

// unread ends the name of a file that was set aside.
const unread = ".unread"

// SetAside copies a file that somebody has changed, and nobody has read since, to its name
// with .unread at the end, before it is written: what people wrote is never lost. It
// returns that name, "" = there was nothing to set aside.
func (s *Store) SetAside() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look for changes in the configuration file: %w", err)
	}
	if bytes.Equal(data, s.text) {
		return "", nil
	}
	aside := s.path + unread
	if err := atomicfile.Write(aside, data, fileMode); err != nil {
		return "", fmt.Errorf("set the changed configuration file aside: %w", err)
	}
	return aside, nil
}

// Save validates cfg, writes it to the file atomically and keeps a revision. On an
// error other than a [*HistoryError] the file is as it was.
func (s *Store) Save(cfg lb.Config) error {
	data, err := Encode(cfg)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := atomicfile.Write(s.path, data, fileMode); err != nil {
		return fmt.Errorf("save configuration: %w", err)
	}
	return s.keep(cfg, data)
}

// History returns the kept revisions, newest first.
func (s *Store) History() ([]Saved, error) {
	entries, err := os.ReadDir(s.history)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the history: %w", err)
	}
	var all []Saved
	for _, e := range entries {
		number, rest, ok := strings.Cut(e.Name(), "-")
		n, err := strconv.Atoi(number)
		revision, isText := strings.CutSuffix(rest, ".yaml")
		if ok && err == nil && isText {
			all = append(all, Saved{n, revision, filepath.Join(s.history, e.Name())})
		}
	}
	slices.SortFunc(all, func(a, b Saved) int { return b.Number - a.Number })
	return all, nil
}

// Revision reads one configuration of the history.
func (s *Store) Revision(saved Saved) (lb.Config, error) {
	data, err := os.ReadFile(saved.Path)
	if err != nil {
		return lb.Config{}, fmt.Errorf("read revision %s: %w", saved.Revision, err)
	}
	return Parse(saved.Path, data)
}

// newest finds the last revision that this program can still read.
func (s *Store) newest() (cfg lb.Config, ok bool) {
	history, err := s.History()
	if err != nil {
		return lb.Config{}, false
	}
	for _, saved := range history {
		if cfg, err := s.Revision(saved); err == nil {
			return cfg, true
		}
	}
	return lb.Config{}, false
}

// remember adds a revision unless it equals the newest, and drops the oldest.
func (s *Store) remember(cfg lb.Config, data []byte) error {
	history, err := s.History()
	if err != nil {
		return err
	}
	number, revision := 1, Revision(cfg)
	if len(history) > 0 {
		if history[0].Revision == revision {
			return nil
		}
		number = history[0].Number + 1
	}
	if err := os.MkdirAll(s.history, 0o750); err != nil {
		return err
	}
	name := fmt.Sprintf("%06d-%s.yaml", number, revision)
	if err := atomicfile.Write(filepath.Join(s.history, name), data, fileMode); err != nil {
		return err
	}
	for _, old := range history[min(len(history), keepRevisions-1):] {
		if err := os.Remove(old.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
