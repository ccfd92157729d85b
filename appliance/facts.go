package appliance

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/override"
	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
)

// facts gathers the inputs of a plan from their sources. Safe for concurrent use.
type facts struct {
	overrides *override.Store
	health    func() map[lb.RealID]lb.Health
	// parting says that the VIPs are still those of a pair: see farewell. nil = they are not.
	parting  func(lb.Config) bool
	fallback func() netip.AddrPort // where the fallback page is

	mu       sync.Mutex
	config   lb.Config
	revision string
	links    []plan.Link
}

func (f *facts) setConfig(c lb.Config, revision string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.config, f.revision = c, revision
}

func (f *facts) setLinks(l []plan.Link) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.links = l
}

func (f *facts) current() (lb.Config, string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.config, f.revision
}

// inputs is a consistent snapshot for one pass of the loop.
func (f *facts) inputs() plan.Inputs {
	f.mu.Lock()
	config, links := f.config, f.links
	f.mu.Unlock()
	if f.parting != nil && f.parting(config) {
		config.Cluster.Paired = true // what serves heeds the lease as before
	}
	known := map[lb.RealID]bool{}
	for id, h := range f.health() {
		// A server without a verdict is not known yet, rather than down.
		if h.Up || !h.Last.At.IsZero() {
			known[id] = h.Up
		}
	}
	return plan.Inputs{
		Config: config, Links: links, Health: known,
		Overrides: f.overrides.All(), Now: time.Now(),
		Fallback: f.fallback(),
	}
}

// has reports whether the running configuration has that real server.
func (f *facts) has(id lb.RealID) bool {
	config, _ := f.current()
	for _, svc := range config.Services {
		if svc.Name != id.Service {
			continue
		}
		for _, r := range svc.Reals {
			if r.Name == id.Real {
				return true
			}
		}
	}
	return false
}

// intent is the operator's wishes as both nodes share them.
type intent struct {
	*override.Store
	changed func()
}

// Merge lets what the peer's operator said follow here.
func (i intent) Merge(_ context.Context, part []byte) error {
	changed, err := i.Store.Merge(part)
	if changed {
		i.changed()
	}
	return err
}
