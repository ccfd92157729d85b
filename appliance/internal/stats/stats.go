package stats

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"sync"
	"time"

	"github.com/vosbed/vosbed/internal/atomicfile"
)

const (
	usualEvery = 10 * time.Second
	// saveEvery bounds what a crash loses.
	saveEvery = 5 * time.Minute
	// longest is the greatest distance between two samples of which a rate is made.
	longest = time.Minute
)

// Sample is one reading of the machine.
type Sample struct {
	At                   time.Time
	RX, TX               uint64 // bytes since some time, over all network cards
	Load1, Load5, Load15 float64
	Memory               uint64 // bytes in use
}

// Source reads the machine.
type Source func() (Sample, error)

// Options are what a ring needs; Logger, Now and Every may be left out.
type Options struct {
	File   string
	Source Source
	Logger *slog.Logger
	Now    func() time.Time
	Every  time.Duration
}

// Ring keeps the samples. It is safe for concurrent use.
type Ring struct {
	opts Options

	mu     sync.Mutex
	levels []*level
	last   Sample // At zero = none
	failed string // the latest failure that was logged
}

// Open reads the file. One that cannot be read is set aside.
func Open(opts Options) (*Ring, error) {
	if opts.File == "" || opts.Source == nil {
		return nil, errors.New("graphs need a file and a source")
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Every <= 0 {
		opts.Every = usualEvery
	}
	r := &Ring{opts: opts, levels: levels()}
	data, err := os.ReadFile(opts.File)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return r, nil
	case err == nil:
		var read []*level
		if read, err = decode(data); err == nil {
			r.levels = read
			return r, nil
		}
	}
	opts.Logger.Warn("the samples of the graphs cannot be read and are set aside", "file", opts.File+".bad", "err", err)
	return r, os.Rename(opts.File, opts.File+".bad")
}

// Run takes samples until ctx ends, and keeps them.
func (r *Ring) Run(ctx context.Context) error {
	tick, save := time.NewTicker(r.opts.Every), time.NewTicker(saveEvery)
	defer tick.Stop()
	defer save.Stop()
	r.sample()
	for {
		select {
		case <-ctx.Done():
			r.save()
			return nil
		case <-tick.C:
			r.sample()
		case <-save.C:
			r.save()
		}
	}
}

// sample reads the machine once. A failure is logged when it is another one.
func (r *Ring) sample() {
	now, err := r.opts.Source()
	r.note("the machine cannot be read for the graphs", err)
	if err != nil {
		return
	}
	now.At = r.opts.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	v := between(r.last, now)
	r.last = now
	for _, l := range r.levels {
		l.add(now.At, v)
	}
}

// between makes values of a sample and the one before it.
func between(before, now Sample) values {
	v := values{math.NaN(), math.NaN(), now.Load1, now.Load5, now.Load15, float64(now.Memory)}
	took := now.At.Sub(before.At)
	if before.At.IsZero() || took <= 0 || took > longest {
		return v
	}
	if now.RX >= before.RX && now.TX >= before.TX {
		v[0] = float64(now.RX-before.RX) / took.Seconds()
		v[1] = float64(now.TX-before.TX) / took.Seconds()
	}
	return v
}

func (r *Ring) save() {
	r.mu.Lock()
	data := encode(r.levels)
	r.mu.Unlock()
	r.note("the samples of the graphs cannot be kept", atomicfile.Write(r.opts.File, data, 0o600))
}

func (r *Ring) note(what string, err error) {
	text := ""
	if err != nil {
		text = what + ": " + err.Error()
	}
	r.mu.Lock()
	again := text == r.failed
	r.failed = text
	r.mu.Unlock()
	if !again && text != "" {
		r.opts.Logger.Warn(what, "err", err)
	}
}

// Window returns the latest span with at most points values.
func (r *Ring) Window(span time.Duration, points int) Window {
	r.mu.Lock()
	defer r.mu.Unlock()
	return window(r.levels, r.opts.Now(), span, points)
}
