// Package draft is the pending configuration of a node: what people have changed and not
// applied yet ("Commit changes", guide 10.3), and the configuration on trial that goes
// back by itself unless somebody keeps it.
//
// There is one draft for everybody. Whoever changes it names the draft that they saw by
// its tag; a change in between is a conflict, never a lost update. A draft begins with
// the configuration in force. When another one comes into force meanwhile (a reload,
// the peer), the draft moves on to it if the two changed different objects; otherwise it
// is stale, and cannot be applied until what clashes is edited away or all is discarded.
//
// Draft and trial are in one file that is replaced in one step, so both survive a crash;
// a trial whose time ends while the daemon is down ends when it is back. A draft always
// has the form that it has when it is read again, so a restart changes nothing of it.
package draft

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/lb"
)

// Errors of a store.
var (
	ErrConflict = errors.New("somebody else changed the pending configuration meanwhile: look at it again")
	ErrStale    = errors.New("another configuration came into force and changed the same: discard the pending changes, and make them anew") // is an ErrConflict too
	ErrEmpty    = errors.New("there are no pending changes")
	ErrTrial    = errors.New("a configuration is on trial: keep it or go back first")
	ErrNoTrial  = errors.New("no configuration is on trial")
)

// MistakesError says what keeps a draft from taking effect.
type MistakesError struct{ Mistakes []Mistake }

// Error lists them, one a line.
func (e *MistakesError) Error() string {
	lines := make([]string, len(e.Mistakes))
	for i, m := range e.Mistakes {
		lines[i] = m.Path + ": " + m.Message
		if m.Hint != "" {
			lines[i] += ": " + m.Hint
		}
	}
	return strings.Join(lines, "\n")
}

// Change is one difference in words. Path names its object: "services/NAME/…",
// "node/…" or "cluster/…". Ends says that present sessions of the service, or of its
// real server, end.
type Change struct {
	Path, Text, Before, After string
	Service, Real             string
	Ends                      bool
	Author                    string
	At                        time.Time
}

// Mistake is one thing that is wrong with a configuration.
type Mistake struct{ Path, Message, Hint string }

// Trial is a configuration in force that goes back at a time.
type Trial struct {
	Until  time.Time
	Author string
}

// State is what is pending. Config is the configuration in force where nothing is.
type State struct {
	Tag      string
	Base     string // revision that the draft began with
	Config   lb.Config
	Changes  []Change
	Mistakes []Mistake
	Stale    bool
	Trial    *Trial
}

// Tools are what the package for configurations knows.
type Tools struct {
	Mistakes func(lb.Config) []Mistake
	Diff     func(before, after lb.Config) []Change // empty if and only if they are equal
	Revision func(lb.Config) string                 // that it has once it is in force
	Encode   func(lb.Config) ([]byte, error)        // also of what is not complete
	Decode   func([]byte) (lb.Config, error)
}

func (t Tools) complete() bool {
	return t.Mistakes != nil && t.Diff != nil && t.Revision != nil && t.Encode != nil && t.Decode != nil
}

// Options are what a store needs; Now and Logger may be left out.
type Options struct {
	File  string
	Tools Tools
	// Current is the configuration in force with its revision.
	Current func() (lb.Config, string)
	// Apply puts a configuration in force. On an error nothing has changed.
	Apply  func(context.Context, lb.Config) error
	Logger *slog.Logger
	Now    func() time.Time
}

func (o Options) withDefaults() (Options, error) {
	if o.File == "" || !o.Tools.complete() || o.Current == nil || o.Apply == nil {
		return o, errors.New("the pending configuration lacks something to work with")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o, nil
}

// staleError is a draft that clashes with what is in force.
type staleError struct{ mine, theirs []Change }

// Error tells what both changed.
func (e *staleError) Error() string {
	return fmt.Sprintf("%v (meanwhile: %s; pending: %s)", ErrStale, summary(e.theirs), summary(e.mine))
}

// Is says that it is a conflict too.
func (e *staleError) Is(target error) bool { return target == ErrStale || target == ErrConflict }

// maxTold bounds the changes that a message lists.
const maxTold = 8

func summary(changes []Change) string {
	var texts []string
	for _, c := range changes[:min(len(changes), maxTold)] {
		texts = append(texts, c.Text)
	}
	if more := len(changes) - len(texts); more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(texts, "; ")
}
