package traffic

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vosbed/vosbed/harness/observe"
)

// workers bounds how many attempts of one load are under way at a time.
const workers = 256

// runClients lets each client address use all services in turn, Rate times per
// second (default 1), and emits client_server at every change of the server.
// At the end: persistence_moves, client_answers, client_failures, and clients_at
// {server=ID}, how many clients that server answered last.
func runClients(ctx context.Context, a *agent) error {
	def := "udp"
	if a.Kind == "tcp-clients" {
		def = "tcp"
	}
	services, err := a.services(def)
	if err != nil {
		return err
	}
	c := &crowd{agent: a, services: services, at: make(map[string]*place), work: make(chan job, workers)}
	return c.run(ctx)
}

// job is one attempt of one client.
type job struct {
	client  string
	service service
	due     int64 // intended time of its beginning
}

// crowd is many clients.
type crowd struct {
	*agent
	services []service
	work     chan job
	dropped  atomic.Int64 // attempts for which no worker was free

	mu    sync.Mutex
	at    map[string]*place // by client
	moves int
}

// place is where a client was answered last, whichever the service.
type place struct {
	server uint16
	// began is when that attempt began, last when the server answered last.
	began, last time.Duration
	services    map[service]bool // answered at least once
}

func (c *crowd) run(ctx context.Context) error {
	clients := c.Sources
	if len(clients) == 0 {
		clients = []string{""}
	}
	jobs := len(clients) * len(c.services)
	p := pacer{start: monotonic(), rate: c.rate()}
	if c.Count > 0 {
		p.count = c.Count * jobs
	}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() { c.serve(ctx) })
	}
	c.pace(ctx, p, func(n int, due int64) {
		// Neighbouring ticks are different clients, so that one client's attempts
		// do not come in a burst.
		k := n % jobs
		c.offer(job{clients[k%len(clients)], c.services[k/len(clients)], due})
	})
	close(c.work)
	wg.Wait()
	c.finish(len(clients))
	return nil
}

// offer hands a job to a worker. When all are busy with silent servers it is
// dropped: the pacer waits for nobody.
func (c *crowd) offer(j job) {
	select {
	case c.work <- j:
	default:
		c.dropped.Add(1)
	}
}

func (c *crowd) serve(ctx context.Context) {
	for j := range c.work {
		if ctx.Err() != nil {
			continue
		}
		c.late.note(j.due)
		began := c.now()
		id, err := c.ask(ctx, j.service, j.client)
		switch {
		case err != nil && ctx.Err() != nil: // cut short by the end of the load
		case err != nil:
			c.add("failed", 1)
		default:
			c.add("answered", 1)
			c.answered(j, id, began)
		}
	}
}

// answered notes an answer to an attempt that began then, and emits the first of
// each service and every change of the server. Attempts of one client overlap: an
// answer to one that began before the last one known says nothing new.
func (c *crowd) answered(j job, id uint16, began time.Duration) {
	if id == 0 {
		return
	}
	now := c.now()
	c.mu.Lock()
	p := c.at[j.client]
	if p == nil {
		p = &place{services: make(map[service]bool)}
		c.at[j.client] = p
	}
	n := served{client: j.client, service: j.service.String(), server: id, last: p.last}
	stale := began < p.began && p.server != id
	news := !stale && (p.server != id || !p.services[j.service])
	if !stale {
		if p.server != 0 && p.server != id {
			c.moves++
		}
		p.server, p.began, p.last = id, max(p.began, began), now
		p.services[j.service] = true
	}
	c.mu.Unlock()
	if news {
		c.answeredBy(now, n)
	}
}

func (c *crowd) finish(clients int) {
	at := map[uint16]int{}
	for _, p := range c.at {
		at[p.server]++
	}
	for server, n := range at {
		c.sample("clients_at", float64(n), "", map[string]string{"server": strconv.Itoa(int(server))})
	}
	t := c.take()
	c.sample("persistence_moves", float64(c.moves), "", nil)
	c.sample("client_count", float64(clients), "", nil)
	c.sample("client_answers", t["answered"], "", nil)
	c.sample("client_failures", t["failed"], "", nil)
	c.sample("client_skipped", float64(c.dropped.Load()), "", nil)
	if all := t["answered"] + t["failed"]; all > 0 {
		c.sample("client_success", t["answered"]/all, "", nil)
	}
}

// runParallel opens Flows (default 8) connections at once from each client
// address, all at its first contact, and emits parallel_split per client: how
// many servers beyond one it met. A client without any answer fails the load's
// parallel_failed.
func runParallel(ctx context.Context, a *agent) error {
	services, err := a.services("tcp")
	if err != nil {
		return err
	}
	failed := 0
	for _, client := range a.Sources {
		if over(ctx) {
			break
		}
		ids, failures := a.together(ctx, client, services)
		failed += failures
		if len(ids) == 0 {
			continue
		}
		a.sample("parallel_split", float64(len(ids)-1), "", nil)
	}
	a.sample("parallel_failed", float64(failed), "", nil)
	return nil
}

// over reports whether the load is to end.
func over(ctx context.Context) bool { return ctx.Err() != nil }

// together makes all attempts of one client at the same moment and returns how
// often each server answered.
func (a *agent) together(ctx context.Context, client string, services []service) (map[uint16]int, int) {
	type answer struct {
		id  uint16
		err error
	}
	n := a.flows()
	answers := make(chan answer, n)
	gate := make(chan struct{})
	for i := range n {
		s := services[i%len(services)]
		go func() {
			<-gate
			id, err := a.ask(ctx, s, client)
			answers <- answer{id, err}
		}()
	}
	close(gate)
	ids, failed := make(map[uint16]int), 0
	for range n {
		switch got := <-answers; {
		case got.err != nil:
			failed++
		case got.id != 0:
			ids[got.id]++
		}
	}
	return ids, failed
}

// runVerify makes one attempt at each service from one client address, with
// two more if it fails, and emits reachable{service=...}: 1 or 0.
func runVerify(ctx context.Context, a *agent) error {
	services, err := a.services(cmpScheme(a.target.scheme, "tcp"))
	if err != nil {
		return err
	}
	for i, s := range services {
		a.verify(ctx, s, a.source(i))
	}
	return nil
}

// verify makes up to three attempts at a service.
func (a *agent) verify(ctx context.Context, s service, client string) {
	id, failed := a.ask(ctx, s, client)
	for try := 1; try < 3 && failed != nil && ctx.Err() == nil; try++ {
		id, failed = a.ask(ctx, s, client)
	}
	up := 1.0
	if failed != nil {
		up = 0
		a.emit(observe.KindEvent, observe.Note{Text: fmt.Sprintf("%s of %s is not reachable: %v", s, a.target.addr.Addr(), failed)})
	}
	if id != 0 {
		a.answeredBy(a.now(), served{client: client, service: s.String(), server: id})
	}
	a.sample("reachable", up, "", map[string]string{"service": s.String()})
}

// cmpScheme is the scheme if it is a service, else def.
func cmpScheme(scheme, def string) string {
	if askers()[scheme] != nil {
		return scheme
	}
	return def
}
