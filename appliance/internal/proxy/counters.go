package proxy

import "github.com/vosbed/vosbed/appliance/lb"

// reason is why a connection was refused or cut.
type reason int

const (
	_           reason = iota
	noServer           // no server takes new clients, or all were tried
	serversFull        // all that would are at MaxConns
	serviceFull        // the service is at its MaxConns
	fdBudget           // the descriptor budget, or the system's memory, is spent
	noPort             // no free source port towards the server, or no source address
	notServed          // the frontend went while the connection was queued
	connectFailed
	idleTimeout
	serverCut // the server was halted or went down
	reasons
)

func (r reason) String() string {
	return [reasons]string{
		"", "no_server", "servers_full", "service_full", "fd_budget", "no_port",
		"not_served", "connect_failed", "idle_timeout", "server_cut",
	}[r]
}

// Counters is one reading of the proxy.
type Counters struct {
	Services map[string]lb.ServiceCounters
	// Refused counts events by reason since start: connections closed with RST
	// because of "no_server", "servers_full", "service_full", "fd_budget",
	// "no_port" or "not_served"; sessions cut for "idle_timeout" or "server_cut"; and
	// single "connect_failed" attempts, which another server may have made good.
	Refused map[string]uint64
	// Sessions and Capacity are the present sessions and what the descriptor budget
	// allows.
	Sessions, Capacity uint64
}

// Counters reads the counts. Bytes are those handed on to the other side; In is
// client to server. There are no packets at layer 7.
func (p *Proxy) Counters() Counters {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := Counters{
		Services: map[string]lb.ServiceCounters{}, Refused: map[string]uint64{},
		Sessions: uint64(max(0, p.sessions.Load())), Capacity: uint64(p.capacity.Load()),
	}
	for r := noServer; r < reasons; r++ {
		c.Refused[r.String()] = p.refused[r].Load()
	}
	for _, s := range p.services {
		if v := s.view.Load(); v != nil {
			c.Services[s.name] = s.read(v)
		}
	}
	return c
}

// read sums the service over all servers that ever were, so that totals never
// fall, and lists the present ones.
func (s *service) read(v *view) lb.ServiceCounters {
	sum := lb.ServiceCounters{Reals: map[string]lb.RealCounters{}}
	for name, srv := range s.servers {
		r := srv.read()
		sum.In, sum.Out = sum.In.Plus(r.In), sum.Out.Plus(r.Out)
		sum.Conns += r.Conns
		sum.ActiveConns += r.ActiveConns
		sum.ConnectFailed += r.ConnectFailed
		sum.Retried += r.Retried
		if v.find(name) != nil {
			sum.Reals[name] = r
		}
	}
	page := s.page.read() // clients of the service, though no server has them
	sum.In, sum.Out = sum.In.Plus(page.In), sum.Out.Plus(page.Out)
	sum.Conns += page.Conns
	sum.ActiveConns += page.ActiveConns
	return sum
}

func (s *server) read() lb.RealCounters {
	return lb.RealCounters{
		In: lb.Counter{Bytes: s.in.Load()}, Out: lb.Counter{Bytes: s.out.Load()},
		Conns: s.conns.Load(), ActiveConns: uint64(max(0, s.active.Load())),
		ConnectFailed: s.failed.Load(), Retried: s.retried.Load(),
	}
}
