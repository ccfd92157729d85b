package draft

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"github.com/vosbed/vosbed/appliance/lb"
)

// Store holds the draft. It is safe for concurrent use.
type Store struct {
	opts  Options
	woken chan struct{} // the trial changed

	mu    sync.Mutex
	count uint64 // of the changes made to the draft ever
	draft *draft // nil = nothing is pending
	trial *trial // nil = none
}

// draft is what is pending.
type draft struct {
	base     lb.Config
	revision string // of base
	want     lb.Config
	notes    map[string]note // by a change's Text
}

// note is who made a change.
type note struct {
	Author string    `json:"author"`
	At     time.Time `json:"at"`
}

// trial is what is in force until a time, and what comes back then.
type trial struct {
	former   lb.Config
	revision string // of what is in force
	until    time.Time
	author   string
}

// Open reads the file. One that cannot be read is set aside and nothing is pending.
func Open(opts Options) (*Store, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Store{opts: opts, woken: make(chan struct{}, 1)}
	if err := s.load(); err != nil {
		return nil, err
	}
	return s, nil
}

// State tells what is pending.
func (s *Store) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state()
}

// state is called with the lock held, as are all the methods below it.
func (s *Store) state() State {
	current, revision := s.refresh()
	out := State{Tag: s.tag(revision), Base: revision, Config: current}
	if s.trial != nil {
		out.Trial = &Trial{s.trial.until, s.trial.author}
	}
	if s.draft == nil {
		return out
	}
	out.Base, out.Config = s.draft.revision, s.draft.want
	out.Stale = s.draft.revision != revision
	out.Mistakes = s.opts.Tools.Mistakes(s.draft.want)
	out.Changes = s.opts.Tools.Diff(s.draft.base, s.draft.want)
	for i := range out.Changes {
		n := s.draft.notes[out.Changes[i].Text]
		out.Changes[i].Author, out.Changes[i].At = n.Author, n.At
	}
	return out
}

// tag names what somebody saw: it differs once anything has changed.
func (s *Store) tag(revision string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", revision, s.count))
	return hex.EncodeToString(sum[:8])
}

// refresh looks at what is in force now: a trial may be over, and a draft moves on.
func (s *Store) refresh() (current lb.Config, revision string) {
	current, revision = s.opts.Current()
	if s.trial != nil && s.trial.revision != revision {
		s.opts.Logger.Info("the configuration on trial is not in force any more: nothing goes back")
		s.trial = nil
		s.saveOrLog()
		s.wake()
	}
	if s.draft == nil || s.draft.revision == revision {
		return current, revision
	}
	if len(s.opts.Tools.Diff(s.draft.want, current)) == 0 { // it is in force, by whatever way
		s.draft = nil
		s.saveOrLog()
		return current, revision
	}
	if want, ok := s.rebase(current); ok {
		s.draft.base, s.draft.revision, s.draft.want = current, revision, want
		if len(s.opts.Tools.Diff(current, want)) == 0 {
			s.draft = nil
		}
		s.saveOrLog()
	}
	return current, revision
}

// Edit changes the draft by f, which must leave what the configuration it gets refers
// to as it is. An error of f changes nothing.
func (s *Store) Edit(_ context.Context, tag, author string, f func(*lb.Config) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.state()
	if tag != "" && tag != seen.Tag {
		return ErrConflict
	}
	want := seen.Config
	if err := f(&want); err != nil {
		return err
	}
	return s.replace(s.next(seen, want, author))
}

// next is the draft after an edit, nil if it leads back to what is in force.
func (s *Store) next(seen State, want lb.Config, author string) *draft {
	d := &draft{notes: map[string]note{}, want: want}
	if s.draft != nil {
		d.base, d.revision = s.draft.base, s.draft.revision
	} else {
		d.base, d.revision = s.opts.Current()
	}
	known := map[string]note{}
	for _, c := range seen.Changes {
		known[c.Text] = note{c.Author, c.At}
	}
	changes := s.opts.Tools.Diff(d.base, want)
	for _, c := range changes {
		n, old := known[c.Text]
		if !old {
			n = note{author, s.opts.Now().UTC()}
		}
		d.notes[c.Text] = n
	}
	if len(changes) == 0 {
		return nil
	}
	return d
}

// replace keeps another draft, or none.
func (s *Store) replace(d *draft) error {
	before := s.draft
	s.draft = d
	s.count++
	if err := s.save(); err != nil {
		s.draft = before
		return err
	}
	return nil
}

// Discard drops what is pending.
func (s *Store) Discard(tag, author string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.state()
	switch {
	case tag != "" && tag != seen.Tag:
		return ErrConflict
	case s.draft == nil:
		return ErrEmpty
	}
	s.opts.Logger.Info("pending changes discarded", "user", author, "changes", len(seen.Changes))
	return s.replace(nil)
}

// Apply puts the draft in force: for good, or for within unless somebody keeps it. A
// draft with mistakes is a [*MistakesError].
func (s *Store) Apply(ctx context.Context, tag, author string, within time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.state()
	switch {
	case tag != "" && tag != seen.Tag:
		return ErrConflict
	case s.draft == nil:
		return ErrEmpty
	case s.trial != nil:
		return ErrTrial
	case seen.Stale:
		current, _ := s.opts.Current()
		return staleText(s.opts.Tools.Diff(s.draft.base, current))
	case len(seen.Mistakes) > 0:
		return &MistakesError{seen.Mistakes}
	}
	return s.apply(ctx, author, within)
}

// apply writes the trial down before anything changes, and forgets the draft once it is
// in force.
func (s *Store) apply(ctx context.Context, author string, within time.Duration) error {
	pending := s.draft
	if within > 0 {
		s.trial = &trial{
			former: pending.base, revision: s.opts.Tools.Revision(pending.want),
			until: s.opts.Now().Add(within).UTC(), author: author,
		}
		if err := s.save(); err != nil {
			s.trial = nil
			return err
		}
	}
	if err := s.opts.Apply(ctx, pending.want); err != nil {
		s.trial = nil
		s.saveOrLog()
		return err
	}
	s.draft = nil
	s.count++
	s.saveOrLog() // it is in force: what cannot be kept now is found out by its revision
	s.wake()
	return nil
}
