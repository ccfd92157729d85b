package appliance

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

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
//
// Whoever has taken what the other changed tells it back, so both know what both had last.
// By that a node sees that its own changes are overtaken: see lost.
type shared struct {
	*Appliance
	path   string
	news   chan struct{}
	apply  func(lb.Config) error                                            // puts the peer's configuration in force
	rescue func(author string, base, mine lb.Config) (changes int, ok bool) // makes what was overtaken pending changes

	mu      sync.Mutex
	state   sharedState
	former  lb.Config     // that was in force before the next change
	pieces  map[int]piece // of a newer state, by index
	refused *whole        // that could not be taken, nil = none
	problem string
	parted  bool      // the peer knows that this node has broken the pair
	told    time.Time // when the peer said that it has
	there   string    // the peer, where changes wait that were overtaken
}

// sharedState is the file.
type sharedState struct {
	Count    uint64 `json:"count"`
	Node     string `json:"node"` // that changed it last
	Revision string `json:"revision"`
	Broken   bool   `json:"broken,omitempty"` // the pair was broken on purpose
	// Base is what both nodes had last, nil = not known.
	Base *ancestor `json:"base,omitempty"`
	Lost *lost     `json:"lost,omitempty"`
}

// ancestor is a state with its configuration.
type ancestor struct {
	Count uint64 `json:"count"`
	Node  string `json:"node"`
	Text  []byte `json:"text"`
}

// piece is one part of the document.
type piece struct {
	Count  uint64 `json:"count"`
	Node   string `json:"node"`
	Broken bool   `json:"broken,omitempty"`
	Index  int    `json:"index"`
	Of     int    `json:"of"`
	Text   []byte `json:"text"`
	// BaseCount and BaseNode are the state that both nodes had last, as the sender knows.
	BaseCount uint64 `json:"base_count,omitempty"`
	BaseNode  string `json:"base_node,omitempty"`
	// Lost is the sender if it has changes that were overtaken.
	Lost string `json:"lost,omitempty"`
}

// Bounds of a document. The text of a piece grows by a third in JSON.
const (
	pieceText = (peer.MaxPart - 768) / 4 * 3
	maxPieces = 256
)

func openShared(a *Appliance, path string) (*shared, error) {
	s := &shared{Appliance: a, path: path, news: make(chan struct{}, 1), apply: a.replace}
	s.rescue = func(author string, base, mine lb.Config) (int, bool) { return a.draft.Rescue(author, base, mine) }
	s.former, _ = a.facts.current()
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

// resume takes up what the file and a daemon that was killed have left: a configuration
// that was changed without being counted, and changes that were overtaken.
func (s *shared) resume() {
	cfg, _ := s.facts.current()
	s.mu.Lock()
	counted := s.state.Count > 0 && !s.state.Broken
	s.mu.Unlock()
	if counted {
		s.changed(cfg)
	}
	s.settle()
}

// changed counts a configuration that came into force on this node.
func (s *shared) changed(cfg lb.Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.former = cfg }()
	if !cfg.Cluster.Paired {
		return
	}
	if revision := config.ClusterRevision(withoutFiles(cfg)); revision != s.state.Revision || s.state.Broken {
		next := sharedState{Count: s.state.Count + 1, Node: cfg.Node.Name, Revision: revision, Base: s.state.Base, Lost: s.state.Lost}
		if s.state.Count == 0 { // the files were written by hand, and are taken for equal
			next.Base = s.ancestor(s.state, s.former)
		}
		s.keep(next)
	}
	s.tell()
}

// ancestor is nil where a configuration cannot be written down.
func (s *shared) ancestor(of sharedState, cfg lb.Config) *ancestor {
	text, err := config.EncodeDraft(cfg)
	if err != nil {
		s.log.Warn("what both nodes have cannot be kept", "err", err)
		return nil
	}
	return &ancestor{of.Count, of.Node, text}
}

// broke tells the peer that the pair is no more; false = the peer was first.
func (s *shared) broke(node string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Broken && s.state.Node != node {
		return false
	}
	if !s.state.Broken {
		s.keep(sharedState{Count: s.state.Count + 1, Node: node, Broken: true})
		s.parted = false
	}
	s.tell()
	return true
}

// broken reports whether one of the nodes has broken the pair.
func (s *shared) broken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Broken
}

// dismissed reports whether the peer has told this node that it has broken the pair.
func (s *shared) dismissed(node string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Broken && s.state.Node != node
}

// answered reports whether the peer has had the time to learn that this node was told.
func (s *shared) answered() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.told) >= farewellPause
}

// known reports whether the peer knows that this node has broken the pair.
func (s *shared) known() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.parted
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
	if state.Broken || state.Count == 0 {
		s.there = ""
	}
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

// notice tells of changes of this node that were overtaken, "" = none were.
func (s *shared) notice() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Lost == nil {
		return ""
	}
	return s.state.Lost.told(s.state.Node)
}

// problems are what an operator must know.
func (s *shared) problems() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	if s.problem != "" {
		out = append(out, s.problem)
	}
	if s.state.Lost != nil {
		out = append(out, s.state.Lost.told(s.state.Node))
	}
	if s.there != "" {
		out = append(out, fmt.Sprintf("both nodes were changed while they could not reach each other, and %s has changes that were overtaken: look at them there (lbctl changes), and apply or discard them", s.there))
	}
	return out
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
	p := piece{Count: state.Count, Node: state.Node, Broken: state.Broken, Of: (len(text) + pieceText - 1) / pieceText}
	if state.Base != nil {
		p.BaseCount, p.BaseNode = state.Base.Count, state.Base.Node
	}
	if state.Lost != nil {
		p.Lost = cfg.Node.Name
	}
	var out [][]byte
	for ; p.Index < p.Of; p.Index++ {
		p.Text = text[p.Index*pieceText : min(len(text), (p.Index+1)*pieceText)]
		data, err := json.Marshal(p)
		if err != nil {
			return nil, err
		}
		out = append(out, data)
	}
	return out, nil
}

// newer reports whether a part is of a newer state. The end of the pair is newer than all
// that was changed in it, on whichever node.
func (p piece) newer(s sharedState) bool {
	if p.Broken != s.Broken {
		return p.Broken
	}
	return cmp.Or(cmp.Compare(p.Count, s.Count), cmp.Compare(p.Node, s.Node)) > 0
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
