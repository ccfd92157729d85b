package appliance

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/lb"
)

// Merge takes one part of the peer's; the last one of a newer state takes effect.
func (s *shared) Merge(_ context.Context, part []byte) error {
	var p piece
	if err := json.Unmarshal(part, &p); err != nil {
		return fmt.Errorf("a part of the peer's configuration cannot be read: %w", err)
	}
	text, err := s.collect(p)
	if text == nil || err != nil {
		return err
	}
	return s.obey(p, text)
}

// obey takes the peer's configuration; what cannot be taken now is tried again, since the
// peer says it once.
func (s *shared) obey(p piece, text []byte) error {
	err := s.take(p, text)
	s.mu.Lock()
	s.refused = nil
	if err != nil {
		s.problem = "the peer's configuration cannot take effect here: " + err.Error()
		s.refused = &whole{p, text, time.Now()}
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	s.settle()
	return nil
}

// whole is a configuration of the peer.
type whole struct {
	piece piece
	text  []byte
	tried time.Time
}

// retryEvery is the pause before it is tried again.
const retryEvery = 5 * time.Second

// retry tries once more what could not be taken.
func (s *shared) retry(now time.Time) {
	s.mu.Lock()
	r := s.refused
	s.mu.Unlock()
	if r != nil && now.Sub(r.tried) >= retryEvery {
		_ = s.obey(r.piece, r.text) // it stays a problem
	}
}

// collect returns the whole text once all its parts are here, and nil before.
func (s *shared) collect(p piece) ([]byte, error) {
	if p.Of < 1 || p.Of > maxPieces || p.Index < 0 || p.Index >= p.Of {
		return nil, fmt.Errorf("part %d of %d of the peer's configuration makes no sense", p.Index, p.Of)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heed(p)
	if !p.newer(s.state) {
		return nil, nil
	}
	for _, have := range s.pieces {
		if have.Count != p.Count || have.Node != p.Node || have.Of != p.Of {
			s.pieces = nil // of another state
		}
		break
	}
	if s.pieces == nil {
		s.pieces = map[int]piece{}
	}
	s.pieces[p.Index] = p
	if len(s.pieces) < p.Of {
		return nil, nil
	}
	text := []byte{}
	for i := range p.Of {
		text = append(text, s.pieces[i].Text...)
	}
	s.pieces = nil
	return text, nil
}

// heed learns what a part says besides: whether the peer has the same, and whether it has
// changes that were overtaken. It is called with the lock held.
func (s *shared) heed(p piece) {
	s.there = p.Lost
	if p.Count != s.state.Count || p.Node != s.state.Node || p.Broken != s.state.Broken || s.equal() {
		return
	}
	if p.Broken {
		s.parted = true
		return
	}
	cfg, _ := s.facts.current()
	if config.ClusterRevision(withoutFiles(cfg)) != s.state.Revision {
		return // another one has come into force just now
	}
	next := s.state
	next.Base = s.ancestor(s.state, cfg)
	s.keep(next)
}

// equal reports whether the peer is known to have what is in force here. It is called
// with the lock held.
func (s *shared) equal() bool {
	b := s.state.Base
	return s.state.Count == 0 || b != nil && b.Count == s.state.Count && b.Node == s.state.Node
}

// take puts the peer's configuration in force, but for the node's own part, and tells it.
func (s *shared) take(p piece, text []byte) error {
	s.settings.reloading.Lock()
	defer s.settings.reloading.Unlock()
	s.mu.Lock()
	before := s.state
	s.mu.Unlock()
	if !p.newer(before) {
		return nil // somebody has changed this node's meanwhile
	}
	if p.Broken { // see Appliance.leave
		s.mu.Lock()
		s.told = time.Now()
		s.mu.Unlock()
		s.hold(sharedState{Count: p.Count, Node: p.Node, Broken: true})
		return nil
	}
	own, _ := s.facts.current()
	theirs, err := config.Parse("the peer's configuration", text)
	if err != nil {
		return err
	}
	theirs.Cluster.SecretFile = own.Cluster.SecretFile
	next := config.WithCluster(own, theirs)
	after := sharedState{Count: p.Count, Node: p.Node, Revision: config.ClusterRevision(withoutFiles(next)), Lost: s.overtaken(p, own, next)}
	return s.follow(before, after, next)
}

// follow puts a configuration in force. What it overtakes is written down before.
func (s *shared) follow(before, after sharedState, next lb.Config) error {
	if after.Lost != before.Lost {
		noted := before
		noted.Lost = after.Lost
		s.hold(noted)
	}
	if err := s.apply(next); err != nil {
		if after.Lost != before.Lost {
			s.hold(before)
		}
		return err
	}
	after.Base = s.ancestor(after, next)
	s.hold(after)
	s.log.Info("took the peer's configuration", "from", after.Node, "count", after.Count)
	return nil
}

func (s *shared) hold(state sharedState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep(state)
	s.former, _ = s.facts.current()
	s.tell()
}
