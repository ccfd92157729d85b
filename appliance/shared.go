package appliance

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/internal/peer"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/atomicfile"
)

// shared keeps the cluster's part of the configuration equal on both nodes (guide 14.1:
// "the Secondary appliance will be automatically kept in sync"). Every change counts up;
// the higher count wins, and between equal ones the greater node name. What belongs to a
// node (guide 14.1.1) never travels. A count of 0 means that nothing was changed through
// this program yet: files that were written by hand are left alone until then.
type shared struct {
	*Appliance
	path  string
	news  chan struct{}
	apply func(lb.Config) error // puts the peer's configuration in force

	mu      sync.Mutex
	state   sharedState
	pieces  map[int]piece // of a newer state, by index
	problem string
}

// sharedState is the file.
type sharedState struct {
	Count    uint64 `json:"count"`
	Node     string `json:"node"` // that changed it last
	Revision string `json:"revision"`
	Broken   bool   `json:"broken,omitempty"` // the pair was broken on purpose
}

// piece is one part of the document.
type piece struct {
	Count  uint64 `json:"count"`
	Node   string `json:"node"`
	Broken bool   `json:"broken,omitempty"`
	Index  int    `json:"index"`
	Of     int    `json:"of"`
	Text   []byte `json:"text"`
}

// Bounds of a document. The text of a piece grows by a third in JSON.
const (
	pieceText = (peer.MaxPart - 512) / 4 * 3
	maxPieces = 256
)

func openShared(a *Appliance, path string) (*shared, error) {
	s := &shared{Appliance: a, path: path, news: make(chan struct{}, 1), apply: a.adopt}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &s.state)
	}
	if err != nil {
		return nil, fmt.Errorf("read what the pair shares (remove %s if it is damaged): %w", path, err)
	}
	return s, nil
}

// changed counts a configuration that came into force on this node.
func (s *shared) changed(cfg lb.Config) {
	if !cfg.Cluster.Paired {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if revision := config.ClusterRevision(withoutFiles(cfg)); revision != s.state.Revision || s.state.Broken {
		s.keep(sharedState{Count: s.state.Count + 1, Node: cfg.Node.Name, Revision: revision})
	}
	s.tell()
}

// broke tells the peer that the pair is no more.
func (s *shared) broke(node string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep(sharedState{Count: s.state.Count + 1, Node: node, Broken: true})
	s.tell()
}

// reset forgets former pairs: what a new primary says is newer than all of it.
func (s *shared) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep(sharedState{})
}

// keep is called with the lock held. A state that cannot be kept is told again by the
// peer after a restart.
func (s *shared) keep(state sharedState) {
	s.state, s.problem = state, ""
	data, err := json.Marshal(state)
	if err == nil {
		err = atomicfile.Write(s.path, data, 0o600)
	}
	if err != nil {
		s.problem = "what the pair shares cannot be kept: " + err.Error()
		s.log.Error("what the pair shares cannot be kept", "err", err)
	}
}

func (s *shared) tell() {
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// problems are what an operator must know.
func (s *shared) problems() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.problem == "" {
		return nil
	}
	return []string{s.problem}
}

// withoutFiles leaves out what names a file of one node.
func withoutFiles(cfg lb.Config) lb.Config {
	cfg.Cluster.SecretFile = ""
	return cfg
}

// Changed delivers after a change on this node.
func (s *shared) Changed() <-chan struct{} { return s.news }

// Parts encode the configuration in force, or nothing while nobody has changed it.
func (s *shared) Parts() ([][]byte, error) {
	s.mu.Lock()
	state := s.state
	s.mu.Unlock()
	if state.Count == 0 {
		return nil, nil
	}
	cfg, _ := s.facts.current()
	text, err := config.Encode(cfg)
	if state.Broken {
		text, err = []byte("-"), nil
	}
	if err != nil {
		return nil, err
	}
	of := (len(text) + pieceText - 1) / pieceText
	var out [][]byte
	for i := range of {
		p := piece{state.Count, state.Node, state.Broken, i, of, text[i*pieceText : min(len(text), (i+1)*pieceText)]}
		data, err := json.Marshal(p)
		if err != nil {
			return nil, err
		}
		out = append(out, data)
	}
	return out, nil
}

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
	if err := s.take(p, text); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.problem = "the peer's configuration cannot take effect here: " + err.Error()
		return err
	}
	return nil
}

// collect returns the whole text once all its parts are here, and nil before.
func (s *shared) collect(p piece) ([]byte, error) {
	if p.Of < 1 || p.Of > maxPieces || p.Index < 0 || p.Index >= p.Of {
		return nil, fmt.Errorf("part %d of %d of the peer's configuration makes no sense", p.Index, p.Of)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !p.newer(s.state.Count, s.state.Node) {
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

func (p piece) newer(count uint64, node string) bool {
	return cmp.Or(cmp.Compare(p.Count, count), cmp.Compare(p.Node, node)) > 0
}

// take puts the peer's configuration in force, but for the node's own part.
func (s *shared) take(p piece, text []byte) error {
	own, _ := s.facts.current()
	next := alone(own)
	if !p.Broken {
		theirs, err := config.Parse("the peer's configuration", text)
		if err != nil {
			return err
		}
		theirs.Cluster.SecretFile = own.Cluster.SecretFile
		next = config.WithCluster(own, theirs)
	}
	if err := s.apply(next); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep(sharedState{p.Count, p.Node, config.ClusterRevision(withoutFiles(next)), p.Broken})
	s.log.Info("took the peer's configuration", "from", p.Node, "count", p.Count, "broken", p.Broken)
	return nil
}

// alone is the configuration of a node that has left its pair: it serves nothing, for the
// other node goes on with it.
func alone(cfg lb.Config) lb.Config {
	cfg = single(cfg)
	cfg.Services = nil
	return cfg
}

// single is a configuration without the peer.
func single(cfg lb.Config) lb.Config {
	cfg.Node.Paths, cfg.Node.Replication = nil, lb.Replication{}
	cfg.Node.Seat = lb.Primary
	cfg.Cluster.Paired, cfg.Cluster.SecretFile = false, ""
	return cfg
}
