package stats

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fake is a machine that receives 1000 bytes/s until it fails.
type fake struct {
	mu    sync.Mutex
	began time.Time
	asked int
	err   error
}

func (f *fake) sample() (Sample, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	d := time.Since(f.began)
	return Sample{RX: uint64(1000 * d.Seconds()), TX: 7, Load1: 0.25, Memory: 1 << 30}, f.err
}

// set makes the machine fail, or work again.
func (f *fake) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// boot begins its counters anew and returns how often it was asked before.
func (f *fake) boot() (asked int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked, f.asked, f.began = f.asked, 0, time.Now()
	return asked
}

// journal is what a logger said.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// take returns what was said since the last call.
func (j *journal) take() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	defer j.text.Reset()
	return j.text.String()
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

// start runs a ring; stop ends it and waits.
func start(t *testing.T, r *Ring) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	synctest.Wait()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run ended with %v", err)
		}
	}
}

// pass lets time pass.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func open(t *testing.T, opts Options) *Ring {
	t.Helper()
	r, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRunAndRestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "graphs")
		m := &fake{began: time.Now()}
		opts := Options{File: path, Source: m.sample}
		stop := start(t, open(t, opts))
		if n := m.boot(); n != 1 {
			t.Errorf("asked %d times at once", n)
		}
		pass(4*time.Minute + 59*time.Second)
		if _, err := os.Stat(path); err == nil {
			t.Error("written too early")
		}
		pass(time.Second)
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("after five minutes: %v, %v", info, err)
		}
		pass(5 * time.Minute)
		stop()

		pass(10 * time.Minute)
		if n := m.boot(); n != 60 {
			t.Errorf("asked %d times in ten minutes", n)
		}
		r := open(t, opts)
		stop = start(t, r)
		pass(10 * time.Minute)
		defer stop()
		w := r.Window(30*time.Minute, 30)
		rx, memory := w.Series[seriesRX], w.Series[seriesMemory]
		gaps := 0
		for _, v := range rx.Values {
			if v == nil {
				gaps++
			}
		}
		if gaps != 10 || math.Abs(*rx.Total-1_200_000) > 1 || *rx.Min != 1000 || *rx.Max != 1000 || *memory.Avg != 1<<30 {
			t.Errorf("%d gaps, total %v, %v to %v, memory %v", gaps, *rx.Total, *rx.Min, *rx.Max, *memory.Avg)
		}
	})
}

// TestFailures: each is told once, and the graphs go on by themselves.
func TestFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "state")
		var log journal
		m := &fake{began: time.Now()}
		r := open(t, Options{File: filepath.Join(dir, "graphs"), Source: m.sample, Logger: log.logger()})
		stop := start(t, r)
		defer stop()
		told := func(what string, warnings, infos int) {
			t.Helper()
			said := log.take()
			if strings.Count(said, "level=WARN") != warnings || strings.Count(said, "level=INFO") != infos {
				t.Errorf("%s: log %q", what, said)
			}
		}
		told("all is well", 0, 0)
		pass(16 * time.Minute)
		told("no folder for the file", 1, 0)
		m.set(errors.New("no network"))
		pass(time.Minute)
		m.set(errors.New("no memory"))
		pass(time.Minute)
		told("two failures", 2, 0)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		m.set(nil)
		pass(5 * time.Minute)
		told("both are over", 0, 2)
		if v := r.Window(time.Minute, 1).Series[seriesRX].Avg; v == nil || *v != 1000 {
			t.Errorf("rx %v", v)
		}
	})
}

// TestNoNumbers: what a source makes up does not get into the ring.
func TestNoNumbers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Options{Every: time.Second, Source: func() (Sample, error) { return Sample{Load5: math.NaN()}, nil }})
		stop := start(t, r)
		defer stop()
		pass(time.Minute)
		for _, s := range r.Window(time.Hour, 10).Series {
			if s.Avg != nil {
				t.Errorf("%s: %v", s.Name, *s.Avg)
			}
		}
	})
}

// TestNothingNewIsNotWritten: a disk is not worn for nothing.
func TestNothingNewIsNotWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "graphs")
		m := &fake{began: time.Now(), err: errors.New("broken")}
		stop := start(t, open(t, Options{File: path, Source: m.sample}))
		pass(time.Hour)
		stop()
		if _, err := os.Stat(path); err == nil {
			t.Error("a file without samples was written")
		}
	})
}

func TestOptions(t *testing.T) {
	t.Parallel()
	if _, err := Open(Options{}); err == nil {
		t.Error("a ring without a source")
	}
}
