package ebpf

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf/ringbuf"

	"github.com/vosbed/vosbed/appliance/lb"
)

const (
	// maxBatch bounds one report.
	maxBatch = 1024
	// refreshReport is how often a refreshed entry is reported again, at most.
	refreshReport = 10 * time.Second
)

// reported is what a watcher has last been told of one entry.
type reported struct {
	ref, stamp uint32
	round      uint64
}

// watcher turns events and sweeps into reports.
type watcher struct {
	p     *Plane
	fn    func([]lb.PersistenceEntry)
	told  map[drPersistKey]reported
	round uint64
}

// Watch reports new and moved entries at once (from the programs' ring buffer) and
// refreshed ones now and then; a sweep each second reports what the ring buffer
// could not hold. The first sweep reports everything but what was imported and not
// used here since. One watcher at a time.
func (p *Plane) Watch(ctx context.Context, fn func([]lb.PersistenceEntry)) error {
	reader, err := p.openEvents()
	if err != nil {
		return err
	}
	events := make(chan drEvent, maxBatch)
	done := make(chan struct{})
	go func() {
		defer close(done)
		pump(ctx, reader, events)
	}()
	w := &watcher{p: p, fn: fn, told: map[drPersistKey]reported{}}
	err = w.loop(ctx, events)
	err = errors.Join(err, reader.Close())
	<-done
	p.mu.Lock()
	p.watching = false
	p.mu.Unlock()
	return err
}

func (p *Plane) openEvents() (*ringbuf.Reader, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.objs == nil {
		return nil, errClosed
	}
	if p.watching {
		return nil, errors.New("the layer-4 engine is being watched already: one watcher at a time")
	}
	r, err := ringbuf.NewReader(p.objs.Events)
	if err != nil {
		return nil, fmt.Errorf("open the event ring buffer: %w", err)
	}
	p.watching = true
	return r, nil
}

// pump reads until the reader is closed.
func pump(ctx context.Context, r *ringbuf.Reader, out chan<- drEvent) {
	for {
		rec, err := r.Read()
		if errors.Is(err, os.ErrClosed) {
			return
		}
		var e drEvent
		if err != nil || binary.Read(bytes.NewReader(rec.RawSample), binary.LittleEndian, &e) != nil {
			continue
		}
		select {
		case out <- e:
		case <-ctx.Done():
			return
		}
	}
}

func (w *watcher) loop(ctx context.Context, events <-chan drEvent) error {
	tick := time.NewTicker(sweepPeriod)
	defer tick.Stop()
	if err := w.sweep(); err != nil {
		return err
	}
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case e := <-events:
			err = w.events(e, events)
		case <-tick.C:
			err = w.sweep()
		}
		if err != nil {
			return err
		}
	}
}

// events reports one event and all that wait behind it.
func (w *watcher) events(first drEvent, more <-chan drEvent) error {
	batch := []drEvent{first}
	for len(batch) < maxBatch && len(more) > 0 {
		batch = append(batch, <-more)
	}
	out, err := w.read(batch)
	if err == nil && len(out) > 0 {
		w.fn(out)
	}
	return err
}

func (w *watcher) read(batch []drEvent) ([]lb.PersistenceEntry, error) {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	if w.p.objs == nil {
		return nil, errClosed
	}
	now, err := w.p.now()
	if err != nil {
		return nil, err
	}
	words := w.p.names()
	var out []lb.PersistenceEntry
	for _, ev := range batch {
		k, e := drPersistKey{Client: ev.Client, Service: ev.Service}, drEntry{}
		if w.p.objs.Persist.Lookup(k, &e) != nil {
			continue // gone again
		}
		if e.Stamp&stampImported == 0 && w.p.entryAlive(k, e, now) {
			w.told[k] = reported{e.Ref, e.Stamp, w.round}
			out = append(out, w.p.readable(words, k, e, now))
		}
	}
	return out, nil
}

// sweep reports what is new, moved or long not reported.
func (w *watcher) sweep() error {
	w.round++
	var out []lb.PersistenceEntry
	err := w.p.eachEntry(func(k drPersistKey, e drEntry, r lb.PersistenceEntry) {
		if e.Stamp&stampImported != 0 {
			return
		}
		last, ok := w.told[k]
		due := !ok || last.ref != e.Ref || w.p.refreshDue(k, last.stamp, e.Stamp)
		if due {
			last = reported{ref: e.Ref, stamp: e.Stamp}
			out = append(out, r)
		}
		last.round = w.round
		w.told[k] = last
	})
	for k, r := range w.told {
		if r.round != w.round {
			delete(w.told, k)
		}
	}
	for len(out) > 0 {
		n := min(len(out), maxBatch)
		w.fn(out[:n])
		out = out[n:]
	}
	return err
}

// refreshDue coalesces refreshes to one report per refreshReport, or per quarter of
// the idle timeout when that is shorter.
func (p *Plane) refreshDue(k drPersistKey, told, stamp uint32) bool {
	step := min(p.stamps(refreshReport), p.kernel.services[uint16(k.Service)].Timeout/4)
	return stamp != told && p.idle(stamp, told) >= p.idle(step, 0)
}
