package appliance

import (
	"fmt"
	"time"

	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/lb"
)

// lost are the changes of this node that the peer's overtook: both nodes were changed
// while they could not reach each other. They become pending changes, or, where both
// changed the same, a number of the history; an operator is told until somebody applies
// or discards something.
type lost struct {
	Base     []byte    `json:"base"` // what both nodes had before
	Text     []byte    `json:"text"`
	Revision string    `json:"revision"`
	At       time.Time `json:"at"`
	// Settled says that it has been tried to make them pending changes, and Pending that
	// they are; otherwise Number is that of the history, 0 = it is not there.
	Settled bool `json:"settled"`
	Pending bool `json:"pending"`
	Number  int  `json:"number"`
}

// told says what has happened; winner is the node whose configuration is in force.
func (l *lost) told(winner string) string {
	text := fmt.Sprintf("both nodes were changed while they could not reach each other: what was changed on %s is in force, and the changes made here (revision %s) ", winner, l.Revision)
	switch {
	case l.Pending || !l.Settled:
		return text + "are pending changes now: look at them (lbctl changes), and apply or discard them (lbctl apply, lbctl discard)"
	case l.Number > 0:
		return text + fmt.Sprintf("clash with it: see them (lbctl history %d), take them instead (lbctl revert %d, lbctl apply), or drop them (lbctl discard)", l.Number, l.Number)
	}
	return text + "clash with it and are not in the history any more: make them anew, and end this notice (lbctl discard)"
}

// overtaken is what would be lost of this node's changes: nothing if the peer has them,
// or if there are none. What was overtaken before and not looked at stays.
func (s *shared) overtaken(p piece, own, next lb.Config) *lost {
	s.mu.Lock()
	state, known := s.state, s.equal()
	s.mu.Unlock()
	follows := p.BaseCount == state.Count && p.BaseNode == state.Node
	if state.Broken || known || follows || len(config.Diff(next, own)) == 0 {
		return state.Lost
	}
	mine, err := config.EncodeDraft(own)
	if err != nil {
		s.log.Error("changes that the peer's overtake cannot be kept", "err", err)
		return state.Lost
	}
	out := &lost{Text: mine, Revision: config.Revision(own), At: time.Now().UTC()}
	if state.Base == nil {
		return out
	}
	base, err := config.ParseDraft("what both nodes had", state.Base.Text)
	if err == nil && len(config.Diff(config.WithCluster(own, ourFiles(base, own)), own)) == 0 {
		return state.Lost
	}
	out.Base = state.Base.Text
	return out
}

// ourFiles names the files of this node.
func ourFiles(cfg, own lb.Config) lb.Config {
	cfg.Cluster.SecretFile = own.Cluster.SecretFile
	return cfg
}

// settle makes what was overtaken pending changes, once. No lock is held: the draft asks
// for what is in force.
func (s *shared) settle() {
	s.mu.Lock()
	l := s.state.Lost
	s.mu.Unlock()
	if l == nil || l.Settled {
		return
	}
	changes, ok := s.rescued(l)
	done := *l
	done.Settled, done.Pending = true, ok
	if !ok {
		done.Number = s.settings.number(l.Revision)
	}
	s.log.Warn("both nodes were changed while they could not reach each other", "overtaken", l.Revision, "pending", changes, "history", done.Number)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Lost != l {
		return
	}
	next := s.state
	next.Lost = &done
	if ok && changes == 0 {
		next.Lost = nil // the peer had made the same changes
	}
	s.keep(next)
	s.tell()
}

func (s *shared) rescued(l *lost) (changes int, ok bool) {
	if l.Base == nil {
		return 0, false
	}
	base, errBase := config.ParseDraft("what both nodes had", l.Base)
	mine, errMine := config.ParseDraft("what was overtaken", l.Text)
	if errBase != nil || errMine != nil {
		s.log.Error("what was overtaken cannot be read", "err", errMine, "base", errBase)
		return 0, false
	}
	own, _ := s.facts.current()
	base, mine = ourFiles(base, own), ourFiles(mine, own)
	base.Node, mine.Node = own.Node, own.Node
	return s.rescue("overtaken", base, mine)
}

// acknowledge ends the notice; false = there was none.
func (s *shared) acknowledge() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Lost == nil {
		return false
	}
	next := s.state
	next.Lost = nil
	s.keep(next)
	s.tell()
	return true
}

// unread reports whether changes were overtaken that nobody has applied or discarded.
func (s *shared) unread() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Lost != nil
}

// number finds a revision in the history, 0 = it is not there.
func (s *settings) number(revision string) int {
	saved, err := s.store.History()
	if err != nil {
		s.log.Warn("the history cannot be read", "err", err)
		return 0
	}
	for _, one := range saved {
		if one.Revision == revision {
			return one.Number
		}
	}
	return 0
}
