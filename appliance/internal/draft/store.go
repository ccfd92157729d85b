package draft

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
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

// Open reads the file. One that cannot be read is set aside and nothing is pending: the
// error is only about the options.
func Open(opts Options) (*Store, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Store{opts: opts, woken: make(chan struct{}, 1)}
	s.load()
	return s, nil
}

// State tells what is pending. Its Config is to be read only.
func (s *Store) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state()
}

// state is called with the lock held, as are all the methods below it that are not
// exported.
func (s *Store) state() State {
	current, revision := s.refresh()
	out := State{Tag: s.tag(revision), Base: revision, Config: current}
	if s.trial != nil {
		out.Trial = &Trial{s.trial.until, s.trial.author}
	}
	if d := s.draft; d != nil {
		out.Base, out.Config, out.Stale = d.revision, d.want, d.revision != revision
		out.Changes, out.Mistakes = slices.Clone(d.changes), s.mistakesOf(d)
	}
	return out
}

// tag names what somebody saw: it differs once anything has changed.
func (s *Store) tag(revision string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %x", revision, s.count, s.draft.content()))
	return hex.EncodeToString(sum[:8])
}

// refresh looks at what is in force now: a trial may be over, and a draft moves on.
func (s *Store) refresh() (current lb.Config, revision string) {
	current, revision = s.opts.Current()
	if t := s.trial; t != nil && t.revision != revision && !s.follow(current, revision) {
		s.opts.Logger.Info("the trial is over, as another configuration is in force than the one on trial: nothing goes back",
			"trial", t.revision, "in_force", revision, "user", t.author)
		s.trial = nil
		s.saveOrLog()
		s.wake()
	}
	if d := s.draft; d != nil && d.revision != revision && d.clash != revision {
		s.moveOn(current, revision)
	}
	return current, revision
}

// moveOn makes what is in force the base of the draft, or marks the draft as stale.
func (s *Store) moveOn(current lb.Config, revision string) {
	want, ok := s.draft.want, true
	if len(s.opts.Tools.Diff(want, current)) > 0 { // else it is in force, by whatever way
		want, ok = s.rebase(current)
	}
	if !ok {
		s.draft.clash = revision
		return
	}
	moved, err := s.build(current, revision, want, notes(s.draft.changes), note{At: s.opts.Now().UTC()})
	if err != nil {
		s.opts.Logger.Warn("the pending changes cannot move on to what is in force now", "in_force", revision, "err", err)
		s.draft.clash = revision
		return
	}
	s.draft = moved
	s.saveOrLog()
}

// Edit changes the draft by f, which gets a configuration of its own. An error of f is
// returned and changes nothing; [ErrConflict] says that the draft is another than the one
// seen. An edit that leads back to what is in force leaves nothing pending.
func (s *Store) Edit(_ context.Context, tag, author string, f func(*lb.Config) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	current, revision := s.refresh()
	if tag != "" && tag != s.tag(revision) {
		return ErrConflict
	}
	base, want, known := current, current, map[string]note{}
	if d := s.draft; d != nil {
		base, revision, want, known = d.base, d.revision, d.want, notes(d.changes)
	}
	want = clone(want)
	if err := f(&want); err != nil {
		return err
	}
	next, err := s.build(base, revision, want, known, note{author, s.opts.Now().UTC()})
	if err != nil {
		return err
	}
	return s.replace(next)
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

// Discard drops what is pending: [ErrConflict], or [ErrEmpty] if nothing is.
func (s *Store) Discard(tag, author string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, revision := s.refresh()
	switch {
	case tag != "" && tag != s.tag(revision):
		return ErrConflict
	case s.draft == nil:
		return ErrEmpty
	}
	s.opts.Logger.Info("pending changes discarded", "user", author, "changes", len(s.draft.changes))
	return s.replace(nil)
}

// Apply puts the draft in force: for good if within is 0, or for that time unless
// somebody keeps it. It is refused by [ErrConflict] if the draft is another than the one
// seen, [ErrEmpty], [ErrTrial], [ErrStale] and, if it has mistakes, a [*MistakesError].
func (s *Store) Apply(ctx context.Context, tag, author string, within time.Duration) error {
	if within < 0 {
		return fmt.Errorf("a trial of %v is over before it begins: give a time above 0, or 0 to apply for good", within)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	current, revision := s.refresh()
	switch {
	case tag != "" && tag != s.tag(revision):
		return ErrConflict
	case s.draft == nil:
		return ErrEmpty
	case s.trial != nil:
		return ErrTrial
	case s.draft.revision != revision:
		return &staleError{s.draft.changes, s.opts.Tools.Diff(s.draft.base, current)}
	}
	if wrong := s.mistakesOf(s.draft); len(wrong) > 0 {
		return &MistakesError{wrong}
	}
	return s.apply(ctx, author, within)
}

// apply writes the trial down before anything changes, and forgets the draft once it is
// in force.
func (s *Store) apply(ctx context.Context, author string, within time.Duration) error {
	pending := s.draft
	if within > 0 {
		s.trial = &trial{
			former: pending.base, text: pending.baseText, revision: s.opts.Tools.Revision(pending.want),
			until: s.opts.Now().Add(within).UTC(), within: within, author: author,
		}
		if err := s.save(); err != nil {
			s.trial = nil
			return err
		}
	}
	if err := s.force(ctx, pending); err != nil {
		if s.trial != nil {
			s.trial = nil
			s.saveOrLog()
		}
		return err
	}
	s.opts.Logger.InfoContext(ctx, "pending changes are in force", "user", author, "changes", len(pending.changes), "trial", within)
	s.draft = nil
	s.count++
	s.saveOrLog() // it is in force: what cannot be kept now is found out by its revision
	s.wake()
	return nil
}

// force puts a draft in force, unless that would undo what came into force just now.
func (s *Store) force(ctx context.Context, pending *draft) error {
	if _, revision := s.opts.Current(); revision != pending.revision {
		return ErrConflict
	}
	return s.opts.Apply(ctx, pending.want)
}
