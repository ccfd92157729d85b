package draft

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	Former   string        `json:"former"`
	Revision string        `json:"revision"`
	Until    time.Time     `json:"until"`
	Within   time.Duration `json:"within"` // ns
	Author   string        `json:"author"`
}

// maxFile bounds the file: three configurations of the greatest size.
const maxFile = 64 << 20

// load takes up what was pending. What cannot be read is set aside, and what can be of it
// is taken up all the same: above all a trial, which must not stay for good because
// of a damaged draft.
func (s *Store) load() {
	data, err := readFile(s.opts.File)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		err = s.decode(data)
	}
	if err == nil {
		return
	}
	aside := s.opts.File + ".bad"
	s.opts.Logger.Warn("the pending configuration cannot be read and is set aside", "file", aside, "trial_goes_on", s.trial != nil, "err", err)
	if err := os.Rename(s.opts.File, aside); err != nil {
		s.opts.Logger.Warn("the pending configuration that cannot be read cannot be set aside either, and will be overwritten", "err", err)
	}
	if s.trial != nil {
		s.saveOrLog()
	}
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("it has more than %d bytes", maxFile)
	}
	return data, errors.Join(err, f.Close())
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
	return errors.Join(s.decodeTrial(f.Trial), s.decodeDraft(f.Draft))
}

func (s *Store) decodeTrial(f *savedTrial) error {
	if f == nil {
		return nil
	}
	former, err := s.opts.Tools.Decode([]byte(f.Former))
	if err != nil {
		return fmt.Errorf("what was in force before the trial: %w", err)
	}
	s.trial = &trial{former, []byte(f.Former), f.Revision, f.Until, f.Within, f.Author}
	s.trial.resume(s.opts.Now())
	return nil
}

func (s *Store) decodeDraft(f *savedDraft) error {
	if f == nil {
		return nil
	}
	base, errBase := s.opts.Tools.Decode([]byte(f.Base))
	want, errWant := s.opts.Tools.Decode([]byte(f.Want))
	if err := errors.Join(errBase, errWant); err != nil {
		return fmt.Errorf("the pending changes: %w", err)
	}
	var err error
	s.draft, err = s.build(base, f.Revision, want, f.Notes, note{})
	return err
}

func (s *Store) encode() ([]byte, error) {
	f := saved{Version: version, Count: s.count}
	if d := s.draft; d != nil {
		f.Draft = &savedDraft{string(d.baseText), d.revision, string(d.wantText), notes(d.changes)}
	}
	if t := s.trial; t != nil {
		f.Trial = &savedTrial{string(t.text), t.revision, t.until, t.within, t.author}
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
