package draft

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/vosbed/vosbed/appliance/lb"
)

// draft is what is pending. It is replaced, never changed, but for what is worked out
// once it is asked for.
type draft struct {
	base     lb.Config
	revision string // of base
	want     lb.Config
	changes  []Change // of want to base, with their authors

	baseText, wantText []byte // as they are kept

	sum      []byte // of all this, see content
	judged   bool   // mistakes are known
	mistakes []Mistake
	clash    string // revision in force that this cannot move on to
}

// note is who made a change.
type note struct {
	Author string    `json:"author"`
	At     time.Time `json:"at"`
}

// notes are those of changes, by their Text: a value that changes again has another.
func notes(changes []Change) map[string]note {
	out := make(map[string]note, len(changes))
	for _, c := range changes {
		out[c.Text] = note{c.Author, c.At}
	}
	return out
}

// content is the hash of all that somebody sees of a draft.
func (d *draft) content() []byte {
	if d == nil {
		return nil
	}
	if d.sum == nil {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %s%s", d.revision, len(d.baseText), d.baseText, d.wantText))
		d.sum = sum[:]
	}
	return d.sum
}

// mistakesOf judges a draft once.
func (s *Store) mistakesOf(d *draft) []Mistake {
	if !d.judged {
		d.mistakes, d.judged = s.opts.Tools.Mistakes(d.want), true
	}
	return slices.Clone(d.mistakes)
}

// build makes the draft of what somebody wants, nil if that is the base. Changes are by
// those that the notes name, and the new ones by the author of fresh.
func (s *Store) build(base lb.Config, revision string, want lb.Config, known map[string]note, fresh note) (*draft, error) {
	d := &draft{base: base, revision: revision}
	var err error
	if d.wantText, d.want, err = s.settle(want); err != nil {
		return nil, err
	}
	d.changes = s.opts.Tools.Diff(base, d.want)
	if len(d.changes) == 0 {
		return nil, nil
	}
	for i := range d.changes {
		n, old := known[d.changes[i].Text]
		if !old {
			n = fresh
		}
		d.changes[i].Author, d.changes[i].At = n.Author, n.At
	}
	if now := s.draft; now != nil && now.revision == revision {
		d.baseText = now.baseText
		return d, nil
	}
	if d.baseText, err = s.opts.Tools.Encode(base); err != nil {
		return nil, fmt.Errorf("write the configuration in force down: %w", err)
	}
	return d, nil
}

// settle gives a configuration the form that it has when it is read again: what follows
// from other values is worked out, and nothing is shared with the caller.
func (s *Store) settle(want lb.Config) ([]byte, lb.Config, error) {
	if err := bounded(want); err != nil {
		return nil, want, err
	}
	text, err := s.opts.Tools.Encode(want)
	if err != nil {
		return nil, want, fmt.Errorf("write the pending configuration down: %w", err)
	}
	want, err = s.opts.Tools.Decode(text)
	if err != nil {
		return nil, want, fmt.Errorf("this cannot be kept as a pending configuration, as it could not be read again: %w", err)
	}
	return text, want, nil
}

// bounded refuses what no appliance could have.
func bounded(c lb.Config) error {
	if len(c.Services) > lb.MaxServices {
		return fmt.Errorf("%d virtual services are more than the %d that an appliance has: remove one first", len(c.Services), lb.MaxServices)
	}
	for _, s := range c.Services {
		if len(s.Reals) > lb.MaxRealServers {
			return fmt.Errorf("%d real servers of %s are more than the %d that a virtual service has: remove one first", len(s.Reals), s.Name, lb.MaxRealServers)
		}
	}
	return nil
}
