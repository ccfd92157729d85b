// Package stats keeps the samples behind the graphs of the System Overview (guide 9.3):
// network bandwidth, load averages and memory in use. They survive a restart of the
// daemon and of the machine.
//
// # Memory
//
// It is fixed, as in RRDtool: 10 s for an hour, 1 min for a day, 10 min for a week and 1 h
// for a year, together 11,568 buckets that take 1.9 MB here and at most 0.98 MB in the
// file. Each sample goes into all four, and each bucket keeps the lowest, the average and
// the highest value of its time: the extremes of a year are those of single samples.
//
// # Time
//
// Two samples make a measure of the time between them, which is spread over the buckets
// that it touches: bytes are neither lost nor counted twice. A measure is as long as the
// steady clock says (CLOCK_MONOTONIC, clock_gettime(2), which stands still in suspend),
// and lies where the wall clock says. A bucket has a slot by its number and is valid only
// with that number, so a clock that jumps into another year and back overwrites what
// it measured there and nothing else. Time that is lived twice is kept as it was the second
// time; only the bucket in which the clock was put back holds both.
//
// # Gaps
//
// Nothing is known of the time before the first sample, or between samples farther apart
// than three times their distance. Rates have a gap, too, where an interface came, went or
// began to count anew, and where they are beyond belief.
package stats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/vosbed/vosbed/internal/atomicfile"
)

const (
	sampleEvery = 10 * time.Second
	saveEvery   = 5 * time.Minute
	// patience is how many distances samples may be apart.
	patience = 3
	// setAside is what the name of a file that cannot be read then ends with.
	setAside = ".damaged"
)

// Sample is the state of the machine at one moment.
type Sample struct {
	// At is when it was read, best with the monotonic reading of [time.Now]. Zero is the
	// time at which the ring takes it.
	At time.Time
	// RX and TX are the counters in bytes of all interfaces that lead out of the network
	// namespace, added up.
	RX, TX uint64
	// Load1, Load5 and Load15 are the load averages of as many minutes.
	Load1, Load5, Load15 float64
	// Memory is the memory in use, total less available, in bytes.
	Memory uint64

	era uint64 // another one says that RX and TX do not continue those before
}

// Source reads the machine.
type Source func() (Sample, error)

// Options say what is kept and where.
type Options struct {
	// File holds the samples between two runs; empty = nowhere. It has mode 0600.
	File string
	// Source is read for each sample, by one goroutine.
	Source Source
	// Logger is told what fails; nil = nobody.
	Logger *slog.Logger
	// Now is the clock; nil = [time.Now].
	Now func() time.Time
	// Every is the distance of two samples; 0 = 10 s.
	Every time.Duration
}

// Ring keeps samples. It is safe for concurrent use.
type Ring struct {
	opts  Options
	start time.Time // where its steady time counts from
	// What was logged of the source and of the file; only Run knows them.
	source, file failure

	mu    sync.Mutex
	core  *core
	fresh bool // something is not in the file
	off   bool
}

// Off stops taking samples, or goes on. What was sampled stays.
func (r *Ring) Off(off bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.off = off
}

// isOff reports whether no samples are taken.
func (r *Ring) isOff() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.off
}

// Open reads the file if it is there. One that cannot be read is set aside under its name
// with .damaged at the end, and the graphs begin anew: only missing options are an error.
func Open(opts Options) (*Ring, error) {
	if opts.Source == nil {
		return nil, errors.New("graphs: no source of samples")
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Every <= 0 {
		opts.Every = sampleEvery
	}
	r := &Ring{opts: opts, start: opts.Now(), core: newCore(patience * opts.Every)}
	if err := r.load(); err != nil {
		r.core = newCore(patience * opts.Every)
		moved := os.Rename(opts.File, opts.File+setAside)
		opts.Logger.Warn("the graphs begin anew: their file cannot be read and is set aside",
			"file", opts.File, "aside", opts.File+setAside, "err", errors.Join(err, moved))
	}
	return r, nil
}

func (r *Ring) load() error {
	if r.opts.File == "" {
		return nil
	}
	data, err := read(r.opts.File)
	if err != nil || data == nil {
		return err
	}
	return r.core.decode(data)
}

// Run takes a sample at once and then at the distance of the options. It writes the file
// every 5 minutes and at the end, if there is something new. It returns nil when ctx ends:
// what fails is logged, once until it changes, and tried again.
func (r *Ring) Run(ctx context.Context) error {
	next, save := time.NewTicker(r.opts.Every), time.NewTicker(saveEvery)
	defer next.Stop()
	defer save.Stop()
	r.sample(ctx)
	for {
		select {
		case <-ctx.Done():
			r.save(ctx)
			return nil
		case <-next.C:
			r.sample(ctx)
		case <-save.C:
			r.save(ctx)
		}
	}
}

// sample takes one sample.
func (r *Ring) sample(ctx context.Context) {
	if r.isOff() {
		return
	}
	s, err := r.opts.Source()
	if err == nil && !sane(s.Load1, s.Load5, s.Load15) {
		err = fmt.Errorf("load averages %v, %v, %v", s.Load1, s.Load5, s.Load15)
	}
	r.source.tell(ctx, r.opts.Logger.With("what", "sample"), err)
	if err == nil {
		r.take(s)
	}
}

func (r *Ring) take(s Sample) {
	if s.At.IsZero() {
		s.At = r.opts.Now()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.core.add(reading{Sample: s, wall: s.At.UnixMilli(), steady: s.At.Sub(r.start)})
	r.fresh = true
}

// save writes the file if it lacks something. A slow disk keeps nobody from a window.
func (r *Ring) save(ctx context.Context) {
	data := r.unsaved()
	if data == nil {
		return
	}
	err := atomicfile.Write(r.opts.File, data, 0o600)
	r.file.tell(ctx, r.opts.Logger.With("what", "file"), err)
	if err != nil {
		r.mu.Lock()
		r.fresh = true
		r.mu.Unlock()
	}
}

// unsaved returns what is to be written, nil = nothing, and takes it for written.
func (r *Ring) unsaved() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.opts.File == "" || !r.fresh {
		return nil
	}
	r.fresh = false
	return r.core.encode()
}

// failure is what was logged last.
type failure struct{ cause string }

// tell logs an error that is not the one before, and that it is over.
func (f *failure) tell(ctx context.Context, log *slog.Logger, err error) {
	was := f.cause
	f.cause = causeOf(err)
	switch {
	case f.cause == was:
	case err != nil:
		log.WarnContext(ctx, "the graphs cannot be kept", "err", err)
	default:
		log.InfoContext(ctx, "the graphs are kept again")
	}
}

// causeOf names an error without what differs each time, as names of temporary files do.
func causeOf(err error) string {
	var number syscall.Errno
	switch {
	case err == nil:
		return ""
	case errors.As(err, &number):
		return number.Error()
	}
	return err.Error()
}

// Window is a stretch of time in equal steps, newest last. The newest step goes on.
type Window struct {
	// From is when the first step begins, a multiple of Step since 1970.
	From time.Time
	// Step is the length of a step, 10 s or more.
	Step time.Duration
	// Series are rx and tx (bytes/s), load1, load5, load15 and memory (bytes), in this order.
	Series []Series
}

// Series is one line of a graph.
type Series struct {
	Name string
	// Values are the averages of the steps; nil where nothing was measured.
	Values []*float64
	// Min, Avg and Max are of the single measures behind the values, Avg weighed by time.
	// Total is of rates only: the bytes of the measured time. All are nil if there is none.
	Min, Avg, Max, Total *float64
}

// Window returns the latest time of that length, up to a year, in at most so many steps.
func (r *Ring) Window(span time.Duration, points int) Window {
	now := r.opts.Now().UnixMilli()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.core.window(r.core.horizon(now), span, points)
}
