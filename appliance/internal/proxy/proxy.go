package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/proxy/reactor"
	"github.com/vosbed/vosbed/appliance/internal/proxy/relay"
	"github.com/vosbed/vosbed/appliance/internal/stick"
)

// Options shape a proxy; zero fields take the defaults.
type Options struct {
	// Logger gets warnings, and one debug line per session when it ends.
	Logger *slog.Logger
	// Table keeps clients on their servers; nil makes a table of its own.
	Table *stick.Table
	// FDLimit is the number of descriptors that the proxy may hold, default the
	// process's soft limit less 256. A session takes two.
	FDLimit int
	// Pipes bounds the pipes for splicing, of two descriptors each and taken out of
	// FDLimit; default an eighth of it, at most 256. Negative turns splicing off.
	Pipes int
	// Loops is the number of event loops, default GOMAXPROCS.
	Loops int
	// Sources are local addresses to connect from, one per family at most; without
	// one the kernel chooses by route.
	Sources []netip.Addr
	// Grace is how long Run lets sessions end by themselves once its context has
	// ended, default 2 s; negative cuts them at once.
	Grace time.Duration
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Table == nil {
		o.Table = stick.New(stick.Options{})
	}
	o.FDLimit = cmp.Or(max(o.FDLimit, 0), softLimit()-256)
	o.Pipes = cmp.Or(o.Pipes, min(o.FDLimit/16, 256))
	o.Loops = cmp.Or(max(o.Loops, 0), runtime.GOMAXPROCS(0))
	o.Grace = cmp.Or(o.Grace, 2*time.Second)
	return o
}

// softLimit is RLIMIT_NOFILE, or a safe guess where it cannot be read.
func softLimit() int {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 1024
	}
	return int(min(r.Cur, 1<<24))
}

// Proxy is the engine. Set, Counters and Close are safe for concurrent use.
type Proxy struct {
	o        Options
	capacity atomic.Int64 // sessions that the descriptor budget allows
	sessions atomic.Int64
	refused  [reasons]atomic.Uint64

	mu        sync.Mutex
	workers   []*worker
	services  map[string]*service
	listeners map[netip.AddrPort]*listener
	closed    bool
}

// New makes a proxy that does nothing yet: Set gives it work, Run drives it.
func New(o Options) *Proxy {
	o = o.withDefaults()
	p := &Proxy{
		o:         o,
		services:  map[string]*service{},
		listeners: map[netip.AddrPort]*listener{},
	}
	p.capacity.Store(p.room())
	return p
}

// room is how many sessions of two descriptors fit beside pipes, loops and listeners.
func (p *Proxy) room() int64 {
	return int64(max(1, (p.o.FDLimit-2*max(0, p.o.Pipes)-4*p.o.Loops-len(p.listeners))/2))
}

// errClosed is returned by Set and Run after Close.
var errClosed = errors.New("the proxy is closed: make a new one")

// open makes the loops once, under p.mu.
func (p *Proxy) open() error {
	if p.closed {
		return errClosed
	}
	pipes := relay.NewPipes(p.o.Pipes)
	for len(p.workers) < p.o.Loops {
		loop, err := reactor.New(time.Now())
		if err != nil {
			return fmt.Errorf("open a proxy loop: %w", err)
		}
		w := &worker{p: p, loop: loop, scratch: relay.NewScratch(pipes)}
		w.all.prev, w.all.next = &w.all, &w.all
		w.openReserve()
		p.workers = append(p.workers, w)
	}
	return nil
}

// Run drives the proxy until ctx ends. Then it takes no new connections, lets
// sessions end for the grace period, cuts the rest and returns nil.
func (p *Proxy) Run(ctx context.Context) error {
	p.mu.Lock()
	err := p.open()
	workers := p.workers
	p.mu.Unlock()
	if err != nil {
		return err
	}
	var loops errgroup.Group
	failed, fail := context.WithCancel(context.Background())
	defer fail()
	for _, w := range workers {
		loops.Go(func() error { defer fail(); return w.loop.Run() })
	}
	p.housekeep(ctx, failed)
	p.drain(failed)
	for _, w := range workers {
		w.loop.Stop()
	}
	return loops.Wait()
}

// housekeep sweeps the persistence table until the proxy is to end.
func (p *Proxy) housekeep(ctx, failed context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-failed.Done():
			return
		case now := <-tick.C:
			p.o.Table.Sweep(now)
		}
	}
}

// drain closes the listeners, waits for the sessions and cuts those that stay.
func (p *Proxy) drain(failed context.Context) {
	p.mu.Lock()
	p.closed = true
	for _, l := range p.listeners {
		p.closeListener(l)
	}
	clear(p.listeners)
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(failed, max(p.o.Grace, 0))
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for p.sessions.Load() > 0 && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	for _, w := range p.workers {
		w.loop.Do(func() { w.cut(func(*session) bool { return true }, "shutdown") })
	}
}

// Close releases the descriptors. Run must have returned, or never have started.
func (p *Proxy) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, l := range p.listeners {
		p.closeListener(l)
	}
	clear(p.listeners)
	var errs []error
	for _, w := range p.workers {
		w.cut(func(*session) bool { return true }, "shutdown")
		w.scratch.Close()
		w.closeReserve()
		errs = append(errs, w.loop.Close())
	}
	p.workers = nil
	return errors.Join(errs...)
}
