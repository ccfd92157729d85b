package stats

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func load(x float64) values {
	nan := math.NaN()
	return values{nan, nan, x, nan, nan, nan}
}

func TestExtremesSurviveEveryResolution(t *testing.T) {
	all := levels()
	for i := range 24 * 360 { // a day of samples
		x := 1.0
		if i == 4000 {
			x = 9
		}
		for _, l := range all {
			l.add(noon.Add(time.Duration(i)*10*time.Second), load(x))
		}
	}
	end := noon.Add(24*time.Hour - 10*time.Second)
	for span, points := range map[time.Duration]int{24 * time.Hour: 100, 7 * 24 * time.Hour: 50, 365 * 24 * time.Hour: 10} {
		s := window(all, end, span, points).Series[2]
		if len(s.Values) > points || *s.Max != 9 || *s.Min != 1 || math.Abs(*s.Avg-1) > 0.01 || s.Total != nil {
			t.Errorf("%v: %d values, min %v avg %v max %v", span, len(s.Values), *s.Min, *s.Avg, *s.Max)
		}
	}
	hour := window(all, end, time.Hour, 600).Series[2]
	if len(hour.Values) != 360 || *hour.Max != 1 || hour.Values[359] == nil || hour.Values[0] == nil {
		t.Errorf("the last hour has %d values, max %v", len(hour.Values), *hour.Max)
	}
}

func TestGapsAreGaps(t *testing.T) {
	all := levels()
	for _, s := range []int{0, 10, 60} {
		all[0].add(noon.Add(time.Duration(s)*time.Second), load(1))
	}
	got := ""
	for _, v := range window(all, noon.Add(70*time.Second), 80*time.Second, 600).Series[2].Values {
		got += map[bool]string{true: "x", false: "."}[v != nil]
	}
	if got != "xx....x." {
		t.Errorf("measured: %s", got)
	}
	if s := window(levels(), noon, time.Hour, 10).Series[0]; s.Min != nil || s.Total != nil || s.Values[0] != nil {
		t.Error("something was measured in an empty ring")
	}
}

func TestRates(t *testing.T) {
	at := func(s int, rx, tx uint64) Sample {
		return Sample{At: noon.Add(time.Duration(s) * time.Second), RX: rx, TX: tx}
	}
	for name, tt := range map[string]struct {
		before, now Sample
		rx          float64 // NaN = a gap
	}{
		"a rate":              {at(0, 100, 0), at(10, 1100, 0), 100},
		"nothing":             {at(0, 100, 0), at(10, 100, 0), 0},
		"the first":           {Sample{}, at(10, 100, 0), math.NaN()},
		"a card has gone":     {at(0, 100, 9), at(10, 50, 9), math.NaN()},
		"the other went back": {at(0, 100, 9), at(10, 200, 8), math.NaN()},
		"the clock stood":     {at(10, 100, 0), at(10, 200, 0), math.NaN()},
		"the clock went back": {at(10, 100, 0), at(0, 200, 0), math.NaN()},
		"a suspended node":    {at(0, 100, 0), at(3600, 1e9, 0), math.NaN()},
	} {
		got := between(tt.before, tt.now)[0]
		if got != tt.rx && !(math.IsNaN(got) && math.IsNaN(tt.rx)) {
			t.Errorf("%s: %v, want %v", name, got, tt.rx)
		}
	}
}

// TestClockSetBack: what came before the new time stays, what lies after it goes.
func TestClockSetBack(t *testing.T) {
	l := newLevel(10*time.Second, 360)
	for i := range 60 {
		l.add(noon.Add(time.Duration(i)*10*time.Second), load(1))
	}
	l.add(noon.Add(300*time.Second), load(5))
	known := 0
	for _, p := range l.read(2, noon.Add(10*time.Minute).UnixNano()/int64(10*time.Second), 360) {
		if p.known() {
			known++
		}
	}
	if known != 31 {
		t.Errorf("%d places are known, want 30 before and the new one", known)
	}
}

// TestAnyClock: whatever the clock does, a level holds no more than its size, and what
// was added last is there.
func TestAnyClock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLevel(10*time.Second, 16)
		for range rapid.IntRange(1, 50).Draw(t, "n") {
			at := noon.Add(time.Duration(rapid.Int64Range(-1e6, 1e6).Draw(t, "s")) * time.Second)
			x := rapid.Float64Range(-100, 100).Draw(t, "x")
			l.add(at, load(x))
			p := l.read(2, at.UnixNano()/int64(l.step), 1)[0]
			if !p.known() || float64(p.min) > x+1e-3 || float64(p.max) < x-1e-3 || p.avg < p.min-1e-3 || p.avg > p.max+1e-3 {
				t.Fatalf("added %v, and there is %+v", x, p)
			}
		}
	})
}

func TestRunKeepsAndReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "graphs")
		n := uint64(0)
		open := func() *Ring {
			r, err := Open(Options{File: file, Source: func() (Sample, error) {
				n += 1000
				if n == 5000 {
					return Sample{}, errors.New("once")
				}
				return Sample{RX: n, TX: 2 * n, Load1: 1, Memory: 7}, nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		r := open()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		<-time.After(5*time.Minute + time.Second)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		w := open().Window(time.Hour, 600)
		rx, tx := w.Series[0], w.Series[1]
		if rx.Avg == nil || math.Abs(*rx.Avg-100) > 5 || math.Abs(*tx.Avg-200) > 10 || *w.Series[5].Max != 7 {
			t.Errorf("read back: rx %v, tx %v", rx.Avg, tx.Avg)
		}
		if math.Abs(*rx.Total-30000) > 2000 {
			t.Errorf("%v bytes in five minutes, want about 30000", *rx.Total)
		}
	})
}

func TestDamagedFileIsSetAside(t *testing.T) {
	good := encode(levels())
	flipped := append([]byte(nil), good...)
	flipped[len(flipped)/2] ^= 1
	for name, data := range map[string][]byte{"empty": {}, "foreign": []byte("hello, this is no file of ours"), "short": good[:len(good)-9], "flipped": flipped} {
		file := filepath.Join(t.TempDir(), "graphs")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Options{File: file, Source: Machine()}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(file + ".bad"); err != nil {
			t.Errorf("%s was not set aside: %v", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(levels())[:200])
	f.Add([]byte(mark))
	f.Fuzz(func(t *testing.T, data []byte) {
		if all, err := decode(data); err == nil && len(all) != len(levels()) {
			t.Error("levels are missing")
		}
	})
}

func TestMachine(t *testing.T) {
	s, err := Machine()()
	if err != nil || s.Memory == 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

func BenchmarkWindow(b *testing.B) {
	all := levels()
	for i := range 10000 {
		for _, l := range all {
			l.add(noon.Add(time.Duration(i)*10*time.Second), load(1))
		}
	}
	for b.Loop() {
		window(all, noon.Add(100000*time.Second), 24*time.Hour, 600)
	}
}
