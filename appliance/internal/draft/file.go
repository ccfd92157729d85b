package draft

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/vosbed/vosbed/internal/atomicfile"
)

// version is that of the file; another one is set aside.
const version = 1

// saved is the file. Configurations are texts in it.
type saved struct {
	Version int         `json:"version"`
	Count   uint64      `json:"count"`
	Draft   *savedDraft `json:"draft,omitempty"`
	Trial   *savedTrial `json:"trial,omitempty"`
}

type savedDraft struct {
	Base     string          `json:"base"`
	Revision string          `json:"base_revision"`
	Want     string          `json:"want"`
	Notes    map[string]note `json:"notes"`
}

type savedTrial struct {
	Former   string    `json:"former"`
	Revision string    `json:"revision"`
	Until    time.Time `json:"until"`
	Author   string    `json:"author"`
}

func (s *Store) load() error {
	data, err := os.ReadFile(s.opts.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the pending configuration: %w", err)
	}
	if err := s.decode(data); err != nil {
		s.count, s.draft, s.trial = 0, nil, nil
		s.opts.Logger.Warn("the pending configuration cannot be read and is set aside", "file", s.opts.File+".bad", "err", err)
		if err := os.Rename(s.opts.File, s.opts.File+".bad"); err != nil {
			return fmt.Errorf("set the pending configuration aside: %w", err)
		}
	}
	return nil
}

func (s *Store) decode(data []byte) error {
	var f saved
	if err := json.Unmarshal(data, &f); err != nil {
		return err
	}
	if f.Version != version {
		return fmt.Errorf("its version is %d, this program knows %d", f.Version, version)
	}
	s.count = f.Count
	if f.Draft != nil {
		base, errBase := s.opts.Tools.Decode([]byte(f.Draft.Base))
		want, errWant := s.opts.Tools.Decode([]byte(f.Draft.Want))
		if err := errors.Join(errBase, errWant); err != nil {
			return err
		}
		s.draft = &draft{base, f.Draft.Revision, want, f.Draft.Notes}
	}
	if f.Trial != nil {
		former, err := s.opts.Tools.Decode([]byte(f.Trial.Former))
		if err != nil {
			return err
		}
		s.trial = &trial{former, f.Trial.Revision, f.Trial.Until, f.Trial.Author}
	}
	return nil
}

func (s *Store) encode() ([]byte, error) {
	f := saved{Version: version, Count: s.count}
	if d := s.draft; d != nil {
		base, errBase := s.opts.Tools.Encode(d.base)
		want, errWant := s.opts.Tools.Encode(d.want)
		if err := errors.Join(errBase, errWant); err != nil {
			return nil, err
		}
		f.Draft = &savedDraft{string(base), d.revision, string(want), d.notes}
	}
	if t := s.trial; t != nil {
		former, err := s.opts.Tools.Encode(t.former)
		if err != nil {
			return nil, err
		}
		f.Trial = &savedTrial{string(former), t.revision, t.until, t.author}
	}
	return json.Marshal(f)
}

func (s *Store) save() error {
	data, err := s.encode()
	if err == nil {
		err = atomicfile.Write(s.opts.File, data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("keep the pending configuration: %w", err)
	}
	return nil
}

// saveOrLog is for what has happened already.
func (s *Store) saveOrLog() {
	if err := s.save(); err != nil {
		s.opts.Logger.Error("the pending configuration cannot be kept", "err", err)
	}
}
