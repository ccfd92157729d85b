package proxy

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
)

// service is the running twin of a frontend: it outlives changes of its settings.
type service struct {
	name   string
	view   atomic.Pointer[view] // nil once the frontend is gone
	active atomic.Int64
	// mu guards choosing: the fields of servers that say so, and the step from
	// "there is room" to "it is taken".
	mu      sync.Mutex
	turn    int
	servers map[string]*server // all that ever were; guarded by Proxy.mu
	page    server             // the fallback page, which is none of them
}

// server is the running twin of a backend.
type server struct {
	name    string
	in, out atomic.Uint64 // bytes
	conns   atomic.Uint64
	failed  atomic.Uint64 // attempts to connect
	retried atomic.Uint64 // of them, those after which another server was tried
	active  atomic.Int64
	full    bool // at MaxConns and not yet back at MinConns; guarded by service.mu
	current int  // of smooth weighted round robin; guarded by service.mu
}

// view is one immutable version of a service's settings; a session keeps the one
// that it started with.
type view struct {
	front   plan.Frontend
	targets []target
	page    *target // nil = a client that no server takes is refused
}

// target is a backend with its running twin.
type target struct {
	plan.Backend
	srv *server
}

// newView binds a frontend to its running servers. Times that were left out take
// the defaults of lb.ProxySettings.
func (s *service) newView(f plan.Frontend) *view {
	set := &f.Settings
	set.ConnectTimeout = cmp.Or(max(set.ConnectTimeout, 0), 4*time.Second)
	set.IdleTimeout = cmp.Or(max(set.IdleTimeout, 0), 5*time.Minute)
	set.FinTimeout = cmp.Or(max(set.FinTimeout, 0), 30*time.Second)
	v := &view{front: f}
	for _, b := range f.Backends {
		if s.servers[b.Name] == nil {
			s.servers[b.Name] = &server{name: b.Name}
		}
		v.targets = append(v.targets, target{b, s.servers[b.Name]})
	}
	if at := f.Fallback; at.IsValid() {
		v.page = &target{plan.Backend{Name: "fallback page", Addr: at.Addr(), Port: at.Port(), State: lb.Serving}, &s.page}
	}
	return v
}

func (v *view) find(name string) *target {
	for i := range v.targets {
		if v.targets[i].Name == name {
			return &v.targets[i]
		}
	}
	return nil
}

// keeps reports whether a client that belongs to t may go on connecting to it.
// Limits do not matter here: they bar new clients (lb.RealServer).
func (v *view) keeps(t *target) bool {
	return t.State == lb.Serving || t.State == lb.Draining && v.front.DrainPersistent
}

// claim takes a place on t for a client that belongs there.
func (s *service) claim(t *target) *target {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.srv.active.Add(1)
	return t
}

// pick chooses a server for a new client and takes a place on it. Without one the
// reason tells whether limits are to blame.
func (s *service) pick(v *view, tried []*server) (*target, reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var open []*target
	var room [16]*target
	open = room[:0]
	why := noServer
	for i := range v.targets {
		t := &v.targets[i]
		if !t.State.TakesNewClients() || t.Weight <= 0 || slices.Contains(tried, t.srv) {
			continue
		}
		if t.atLimit() {
			why = serversFull
			continue
		}
		open = append(open, t)
	}
	if len(open) == 0 {
		return nil, why
	}
	var best *target
	if v.front.Scheduler == lb.RoundRobin {
		best = roundRobin(open)
	} else {
		s.turn++
		best = leastConnections(open, s.turn)
	}
	best.srv.active.Add(1)
	return best, 0
}

// atLimit applies MaxConns with hysteresis: full at MaxConns, open again at
// MinConns. Without a MinConns below it, one free place is enough.
func (t *target) atLimit() bool {
	if t.MaxConns <= 0 {
		t.srv.full = false
		return false
	}
	reopen := t.MinConns
	if reopen <= 0 || reopen >= t.MaxConns {
		reopen = t.MaxConns - 1
	}
	switch n := int(t.srv.active.Load()); {
	case n >= t.MaxConns:
		t.srv.full = true
	case n <= reopen:
		t.srv.full = false
	}
	return t.srv.full
}

// leastConnections returns the server with the fewest connections per weight, had
// it one more. Equal ones take turns.
func leastConnections(open []*target, turn int) *target {
	best := open[turn%len(open)]
	for i := range open {
		t := open[(turn+i)%len(open)]
		if (t.srv.active.Load()+1)*int64(best.Weight) < (best.srv.active.Load()+1)*int64(t.Weight) {
			best = t
		}
	}
	return best
}

// roundRobin is the smooth weighted kind: heavy servers are spread over the round.
func roundRobin(open []*target) *target {
	total, best := 0, open[0]
	for _, t := range open {
		t.srv.current += t.Weight
		total += t.Weight
		if t.srv.current > best.srv.current {
			best = t
		}
	}
	best.srv.current -= total
	return best
}
