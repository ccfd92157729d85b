package lab

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/harness/scenario"
	"github.com/vosbed/vosbed/harness/topo"
)

// Times of the poller.
const (
	pollEvery = 50 * time.Millisecond
	pollTime  = time.Second
)

// Poller reads the status of every appliance again and again. It keeps the latest
// and records it on change and once a second.
type Poller struct {
	lab    *Lab
	mu     sync.Mutex
	latest map[string]Seen
	news   chan struct{} // closed and replaced on every reading
}

// Seen is a status at the time it was asked for.
type Seen struct {
	At     time.Duration
	Status map[string]any
}

// NewPoller returns a poller of the lab's appliances; Run makes it work.
func NewPoller(l *Lab) *Poller {
	return &Poller{lab: l, latest: map[string]Seen{}, news: make(chan struct{})}
}

// Run polls until ctx ends.
func (p *Poller) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, m := range p.lab.plan.OfKind(topo.KindAppliance) {
		wg.Go(func() { p.follow(ctx, m.Name) })
	}
	wg.Wait()
}

func (p *Poller) follow(ctx context.Context, name string) {
	tick := time.NewTicker(p.lab.driver.pollEvery())
	defer tick.Stop()
	r := p.reach(ctx, name, tick.C)
	if r == nil {
		return
	}
	defer r.http.CloseIdleConnections()
	var last recorded
	for {
		p.once(ctx, r, &last)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// reach waits until an appliance can be asked, and returns nil if ctx ends before.
func (p *Poller) reach(ctx context.Context, name string, tick <-chan time.Time) *Remote {
	for {
		if r, err := p.lab.nodes[name].Remote(); err == nil {
			return r
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick:
		}
	}
}

// recorded is what was last written into the history for a node.
type recorded struct {
	shape string
	at    time.Duration
}

func (p *Poller) once(ctx context.Context, r *Remote, last *recorded) {
	at := p.lab.Now()
	ctx, cancel := context.WithTimeout(ctx, p.lab.driver.pollTime())
	defer cancel()
	raw, err := r.Status(ctx)
	if err != nil {
		p.set(r.node, Seen{At: at})
		return
	}
	m, err := scenario.StatusMap(raw)
	if err != nil {
		return
	}
	p.set(r.node, Seen{At: at, Status: m})
	if s := shape(raw); s != last.shape || at-last.at >= time.Second {
		*last = recorded{s, at}
		p.lab.RecordAt(at, observe.KindStatus, r.node, "", raw)
	}
}

// shape is the part of a status whose change is news: no counters, no times.
func shape(raw json.RawMessage) string {
	var s struct {
		Role     string `json:"role"`
		Revision string `json:"revision"`
		Pair     struct {
			Term      uint64 `json:"term"`
			Reason    string `json:"reason"`
			PeerAlive bool   `json:"peer_alive"`
			PeerRole  string `json:"peer_role"`
			InSync    bool   `json:"in_sync"`
			LeaseHeld bool   `json:"lease_held"`
		} `json:"pair"`
		Services []struct {
			Name    string `json:"name"`
			Servers []struct {
				Name  string `json:"name"`
				State string `json:"state"`
				Admin string `json:"admin"`
				Up    bool   `json:"up"`
			} `json:"servers"`
		} `json:"services"`
		Conflicts []struct {
			VIP    string `json:"vip"`
			MAC    string `json:"mac"`
			Server string `json:"server"`
		} `json:"arp_conflicts"`
		Problems []string `json:"problems"`
	}
	if json.Unmarshal(raw, &s) != nil {
		return string(raw)
	}
	b, err := json.Marshal(s)
	if err != nil {
		return string(raw)
	}
	return string(b)
}

func (p *Poller) set(node string, s Seen) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latest[node] = s
	close(p.news)
	p.news = make(chan struct{})
}

// Latest returns the last reading of every appliance that answered it, and a
// channel that is closed at the next reading.
func (p *Poller) Latest() (map[string]Seen, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[string]Seen{}
	for name, s := range p.latest {
		if s.Status != nil && !p.lab.Silent(name) {
			out[name] = s
		}
	}
	return out, p.news
}
