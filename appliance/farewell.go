package appliance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/atomicfile"
)

// farewell is what a node keeps of a pair that it has broken, until the peer knows: one
// that was off or cut off then still believes in the pair. As long as that is so, the
// sentinel goes on as the pair's active node and replication tells the peer, so there is
// no moment with two owners, whenever the peer comes back. All else is that of a single
// node.
type farewell struct {
	path   string
	change func() // lets the sentinel and replication follow

	mu      sync.Mutex
	parting *parting // nil = none
}

// parting is the file; it holds a secret.
type parting struct {
	Since  time.Time          `json:"since"`
	Secret []byte             `json:"secret"`
	Seat   lb.Seat            `json:"seat"`
	Paths  []lb.HeartbeatPath `json:"paths"`
	Link   lb.Replication     `json:"replication"`
}

const (
	// farewellKept bounds how long a peer is waited for: the secret must not lie about for
	// ever.
	farewellKept = 30 * 24 * time.Hour
	// largestFarewell bounds the file in bytes.
	largestFarewell = 64 << 10
	// farewellPause is how long a node that was told stays, so that its word of having been
	// told is on its way, and how often a farewell is looked at.
	farewellPause = 500 * time.Millisecond
)

func openFarewell(path string) (*farewell, error) {
	f := &farewell{path: path, change: func() {}}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	var data []byte
	if err == nil && info.Size() > largestFarewell {
		err = fmt.Errorf("it has more than %d bytes", largestFarewell)
	}
	if err == nil {
		data, err = os.ReadFile(path)
	}
	var p parting
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	if err != nil {
		return nil, fmt.Errorf("read what is left of a broken pair (remove %s if it is damaged, and reset the former peer): %w", path, err)
	}
	f.parting = &p
	return f, nil
}

// begin keeps what is needed to tell the peer of this pair.
func (f *farewell) begin(cfg lb.Config) error {
	secret, err := readSecret(cfg.Cluster.SecretFile)
	if err != nil {
		return err
	}
	p := &parting{time.Now().UTC(), secret, cfg.Node.Seat, cfg.Node.Paths, cfg.Node.Replication}
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := atomicfile.Write(f.path, data, 0o600); err != nil {
		return fmt.Errorf("keep what tells the peer that the pair is broken: %w", err)
	}
	f.parting = p
	return nil
}

// end forgets the pair; false = there was none to forget.
func (f *farewell) end() (bool, error) {
	f.mu.Lock()
	there := f.parting != nil
	f.parting = nil
	err := os.Remove(f.path)
	f.mu.Unlock()
	if !there {
		return false, nil
	}
	f.change()
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return true, err
}

// of is the farewell of a node with that configuration, nil = none: who has a peer has
// nothing to do with a former one.
func (f *farewell) of(cfg lb.Config) *parting {
	f.mu.Lock()
	defer f.mu.Unlock()
	if cfg.Cluster.Paired {
		return nil
	}
	return f.parting
}

// dress is the configuration of the former pair, as the sentinel and replication go on.
// No tables travel.
func (p *parting) dress(cfg lb.Config) lb.Config {
	cfg.Node.Seat, cfg.Node.Paths, cfg.Node.Replication = p.Seat, p.Paths, p.Link
	cfg.Cluster.Paired, cfg.Cluster.Replicate = true, false
	return cfg
}

// peer names the other node by its address.
func (p *parting) peer() string {
	if len(p.Paths) == 0 {
		return "the former peer"
	}
	return "the former peer at " + p.Paths[0].Peer.Addr().String()
}

// problems are what an operator must know of a node with that configuration.
func (f *farewell) problems(cfg lb.Config) []string {
	p := f.of(cfg)
	if p == nil {
		return nil
	}
	return []string{fmt.Sprintf("the pair is broken, but %s does not know it yet: it is told when it answers again, until %s, and serves nothing from then on; "+
		"if it never comes back, or was reset, run lbctl ha break once more to forget it", p.peer(), p.Since.Add(farewellKept).Format(time.DateOnly))}
}

// part goes on until the peer knows, or has been waited for long enough: a node that has
// been told leaves, and one that tells ends its farewell.
func (a *Appliance) part(ctx context.Context) error {
	tick := time.NewTicker(farewellPause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		a.shared.retry(time.Now())
		if err := a.partOnce(); err != nil {
			a.log.WarnContext(ctx, "a broken pair is not left yet, trying again", "err", err)
		}
	}
}

func (a *Appliance) partOnce() error {
	if told, err := a.leave(); told || err != nil {
		return err
	}
	cfg, _ := a.facts.current()
	if cfg.Cluster.Paired && !a.shared.broken() {
		_, err := a.forgetPeer() // of an earlier pair
		return err
	}
	p := a.farewell.of(cfg)
	if p == nil {
		return nil
	}
	known := a.shared.known() && !a.pair.status().PeerAlive
	if !known && time.Since(p.Since) < farewellKept {
		return nil
	}
	a.log.Info("the farewell of a broken pair is over", "peer_knows", known)
	_, err := a.forgetPeer()
	return err
}

// forgetPeer ends a farewell; false = there was none.
func (a *Appliance) forgetPeer() (bool, error) {
	a.settings.reloading.Lock()
	defer a.settings.reloading.Unlock()
	return a.farewell.end()
}

// leave obeys the peer, which has broken the pair: this node serves nothing any more. told
// says that it had to.
func (a *Appliance) leave() (told bool, err error) {
	a.settings.reloading.Lock()
	defer a.settings.reloading.Unlock()
	cfg, _ := a.facts.current()
	if !a.shared.dismissed(cfg.Node.Name) || !a.shared.answered() || !cfg.Cluster.Paired && a.farewell.of(cfg) == nil {
		return false, nil
	}
	if err = a.shared.apply(alone(cfg)); err != nil {
		return true, err
	}
	a.log.Info("the peer has broken the pair: this node serves nothing any more")
	_, err = a.farewell.end()
	return true, err
}

// dismissedBefore is the configuration of a node that was told that its pair is broken and
// ended before it left.
func (a *Appliance) dismissedBefore(cfg lb.Config) lb.Config {
	if !cfg.Cluster.Paired || !a.shared.dismissed(cfg.Node.Name) {
		return cfg
	}
	next := alone(cfg)
	if err := a.settings.store.Save(next); err != nil {
		a.log.Error("the peer has broken the pair, but that cannot be kept", "err", err)
	}
	return next
}
