package stats

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// t0 begins a bucket of every resolution.
const t0 = 1_800_000_000_000 / 3_600_000 * 3_600_000

// feeder feeds a core; both of its clocks are set by hand.
type feeder struct {
	*core

	wall   int64 // ms
	steady time.Duration
	s      Sample
}

func newFeeder() *feeder { return &feeder{core: newCore(30 * time.Second), wall: t0} }

// tick lets time pass and takes a sample.
func (f *feeder) tick(d time.Duration) {
	f.wall += d.Milliseconds()
	f.steady += d
	f.add(reading{f.s, f.wall, f.steady})
}

// run ticks n times each 10 s at a rate.
func (f *feeder) run(n int, rate uint64) {
	for range n {
		f.s.RX += 10 * rate
		f.s.TX += 20 * rate
		f.tick(10 * time.Second)
	}
}

// line is a series of the latest time; -1 stands for nil.
func (f *feeder) line(name string, span time.Duration, points int) []float64 {
	w := f.window(f.horizon(f.wall), span, points)
	for _, s := range w.Series {
		if s.Name == name {
			return numbers(s.Values)
		}
	}
	return nil
}

func numbers(in []*float64) []float64 {
	var out []float64
	for _, v := range in {
		if v == nil {
			out = append(out, -1)
		} else {
			out = append(out, *v)
		}
	}
	return out
}

func TestWhatHappens(t *testing.T) {
	t.Parallel()
	const x = -1
	tests := []struct {
		name string
		do   func(*feeder)
		rx   []float64 // the last minute
		load []float64
	}{
		{"nothing", func(*feeder) {}, []float64{x, x, x, x, x, x}, []float64{x, x, x, x, x, x}},
		{
			"the first sample says nothing", func(f *feeder) { f.tick(0); f.tick(0) },
			[]float64{x, x, x, x, x, x},
			[]float64{x, x, x, x, x, x},
		},
		{
			"time flows", func(f *feeder) { f.tick(0); f.run(2, 5); f.s.Load1 = 1; f.run(1, 7) },
			[]float64{x, x, x, 5, 5, 7},
			[]float64{x, x, x, 0, 0, 1},
		},
		{
			"a measure is spread over what it touches", func(f *feeder) {
				f.tick(5 * time.Second)
				f.run(1, 4)
				f.run(1, 8)
			}, []float64{x, x, x, 4, 6, 8}, []float64{x, x, x, 0, 0, 0},
		},
		{
			"late samples leave no gap", func(f *feeder) {
				f.tick(0)
				f.s.RX = 300
				f.tick(30 * time.Second)
			}, []float64{x, x, x, 10, 10, 10}, []float64{x, x, x, 0, 0, 0},
		},
		{
			"a counter begins anew", func(f *feeder) { f.tick(0); f.run(2, 5); f.s.RX = 3; f.run(1, 5); f.run(1, 6) },
			[]float64{x, x, 5, 5, x, 6},
			[]float64{x, x, 0, 0, 0, 0},
		},
		{
			"the interfaces are others", func(f *feeder) { f.tick(0); f.run(2, 5); f.s.era++; f.run(1, 5); f.run(1, 6) },
			[]float64{x, x, 5, 5, x, 6},
			[]float64{x, x, 0, 0, 0, 0},
		},
		{
			"nobody believes it", func(f *feeder) { f.tick(0); f.run(1, 5); f.run(1, 1<<50); f.run(1, 6) },
			[]float64{x, x, x, 5, x, 6},
			[]float64{x, x, x, 0, 0, 0},
		},
		{
			"no samples for a while", func(f *feeder) { f.tick(0); f.run(1, 5); f.s.RX += 999; f.tick(31 * time.Second); f.run(1, 6) },
			[]float64{5, x, x, x, 6, 6},
			[]float64{0, x, x, x, 0, 0},
		},
		{
			"suspended", func(f *feeder) { f.tick(0); f.run(1, 5); f.wall += 30_000; f.run(2, 6) },
			[]float64{5, x, x, x, 6, 6},
			[]float64{0, x, x, x, 0, 0},
		},
		{
			"a suspended machine wakes between two samples", func(f *feeder) {
				f.tick(0)
				f.run(1, 5)
				f.wall += 25_000
				f.run(1, 6)
				f.run(1, 7)
			}, []float64{5, x, x, 6, 6.5, 7}, []float64{0, x, x, 0, 0, 0},
		},
		{
			"the clock is put back: lived twice, kept once", func(f *feeder) {
				f.tick(0)
				f.run(6, 5)
				f.wall -= 40_000
				f.run(3, 100)
			}, []float64{x, 5, 5, 100, 100, 100}, []float64{x, 0, 0, 0, 0, 0},
		},
		{
			"the clock is corrected", func(f *feeder) {
				f.tick(0)
				f.run(2, 5)
				f.wall += 400
				f.run(1, 5)
				f.wall -= 400
				f.run(1, 5)
			}, []float64{x, x, 5, 5, 5, 5}, []float64{x, x, 0, 0, 0, 0},
		},
		{"a clock in 1970", func(f *feeder) { f.wall = -15_000; f.run(2, 1) }, []float64{x}, []float64{x}},
	}
	for _, tt := range tests {
		f := newFeeder()
		tt.do(f)
		if got := f.line("rx", time.Minute, len(tt.rx)); !cmp.Equal(got, tt.rx) {
			t.Errorf("%s: rx %v, want %v", tt.name, got, tt.rx)
		}
		if got := f.line("load1", time.Minute, len(tt.load)); !cmp.Equal(got, tt.load) {
			t.Errorf("%s: load1 %v, want %v", tt.name, got, tt.load)
		}
	}
}

// TestJumpAndBack: a clock that is years ahead for an hour costs what it overwrites, and
// one that begins in 1970 costs nothing.
func TestJumpAndBack(t *testing.T) {
	t.Parallel()
	const year = 365 * 24 * 3_600_000
	f := newFeeder()
	f.tick(0)
	f.run(2*360, 5) // two hours
	before := f.line("rx", 24*time.Hour, 24)
	home := f.wall
	f.wall = 0
	f.run(3, 9)
	f.wall = home + 4*year + 7_200_000
	f.run(360, 70)
	if got := f.line("rx", time.Hour, 1); got[0] != 70 {
		t.Errorf("years ahead: %v", got)
	}
	f.wall = home
	f.run(6, 5)
	after := f.line("rx", 24*time.Hour, 24)
	if after[23] != 5 || !cmp.Equal(after[:23], before[1:]) {
		t.Errorf("back again: %v, before %v", after, before)
	}
}

// TestRelivedTime: what a clock that was ahead wrote is replaced, not mixed.
func TestRelivedTime(t *testing.T) {
	t.Parallel()
	f := newFeeder()
	f.tick(0)
	f.run(360, 100) // an hour, but the clock is an hour ahead
	f.wall -= 3_595_000
	f.run(359, 1)
	// Only where the clock was put back both are in one bucket.
	if got := f.line("rx", time.Hour, 360); got[0] != 67 || slices.Max(got[1:]) != 1 || slices.Min(got) != 1 {
		t.Errorf("%v", got)
	}
	for _, tier := range f.tiers {
		for _, b := range tier.slots {
			if b.measured[rates] > tier.step || b.measured[gauges] > tier.step {
				t.Errorf("bucket %d of %d ms measured %v ms", b.number, tier.step, b.measured)
			}
		}
	}
}

func TestWindowShape(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	f := newFeeder()
	for _, tt := range []struct {
		span   time.Duration
		points int
		step   time.Duration
		count  int
	}{
		{time.Hour, 600, 10 * time.Second, 360},
		{time.Hour, 60, time.Minute, 60},
		{time.Hour + 1, 600, 10 * time.Second, 360},
		{2 * time.Hour, 600, time.Minute, 120},
		{day, 600, 3 * time.Minute, 480},
		{7 * day, 600, 20 * time.Minute, 504},
		{365 * day, 600, 15 * time.Hour, 584},
		{math.MaxInt64, 600, 15 * time.Hour, 584},
		{-1, -1, 10 * time.Second, 1},
		{time.Hour, 0, time.Hour, 1},
		{time.Hour, math.MaxInt, 10 * time.Second, 360},
	} {
		end := f.wall + 12_345
		w := f.window(end, tt.span, tt.points)
		if w.Step != tt.step {
			t.Errorf("%v in %d: steps of %v, want %v", tt.span, tt.points, w.Step, tt.step)
		}
		last := w.From.Add(time.Duration(tt.count-1) * w.Step).UnixMilli()
		if last >= end || last+w.Step.Milliseconds() < end || w.From.UnixMilli()%w.Step.Milliseconds() != 0 {
			t.Errorf("%v in %d: from %v, the last step begins %d ms before the end", tt.span, tt.points, w.From, end-last)
		}
		for i, s := range w.Series {
			if s.Name != names()[i] || len(s.Values) != tt.count || s.Min != nil || s.Avg != nil || s.Max != nil || s.Total != nil {
				t.Errorf("%v in %d: empty series %s is %+v", tt.span, tt.points, names()[i], s)
			}
		}
	}
}

// TestHorizon: a window ends at the last measure while there are any.
func TestHorizon(t *testing.T) {
	t.Parallel()
	f := newFeeder()
	f.tick(0)
	f.run(3, 1)
	for now, want := range map[int64]int64{
		f.wall: f.wall, f.wall + 9_000: f.wall, f.wall + 31_000: f.wall + 31_000,
		f.wall - 1: f.wall - 1, -5: 1, math.MaxInt64: mostWall,
	} {
		if got := f.horizon(now); got != want {
			t.Errorf("at %d: %d, want %d", now, got, want)
		}
	}
}

// TestTruth compares windows with what was fed, over months.
func TestTruth(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := newFeeder()
		f.patience = 3 * 7 * time.Hour
		f.tick(0)
		type fed struct {
			start, end int64
			rate, load float64
		}
		var all []fed
		for range rapid.IntRange(1, 60).Draw(t, "measures") {
			d := time.Duration(rapid.IntRange(1, 7*3600).Draw(t, "seconds")) * time.Second
			rate := uint64(rapid.IntRange(0, 1_000_000).Draw(t, "rate"))
			f.s.RX += rate * uint64(d.Seconds())
			f.s.Load1 = float64(rapid.IntRange(0, 100).Draw(t, "load"))
			f.tick(d)
			all = append(all, fed{f.wall - d.Milliseconds(), f.wall, float64(rate), f.s.Load1})
		}
		span := time.Duration(rapid.Int64Range(1, int64(365*24*time.Hour)).Draw(t, "span"))
		w := f.window(f.wall, span, rapid.IntRange(1, 700).Draw(t, "points"))
		from := max(w.From.UnixMilli(), t0)
		lo, hi, total, loadHi := math.Inf(1), 0.0, 0.0, 0.0
		for _, m := range all {
			if m.end <= from {
				continue
			}
			lo, hi, loadHi = min(lo, m.rate), max(hi, m.rate), max(loadHi, m.load)
			total += m.rate * float64(m.end-max(m.start, from)) / 1000
		}
		rx, load := w.Series[seriesRX], w.Series[seriesLoad1]
		if *rx.Min != lo || *rx.Max != hi || *load.Max != loadHi {
			t.Errorf("rx %v to %v, want %v to %v; load to %v, want %v", *rx.Min, *rx.Max, lo, hi, *load.Max, loadHi)
		}
		if math.Abs(*rx.Total-total) > 1e-9*total+1e-6 || load.Total != nil {
			t.Errorf("total %v, want %v", *rx.Total, total)
		}
	})
}

// wild lets anything happen to clocks and counters.
func wild(t *rapid.T, f *feeder) {
	for range rapid.IntRange(0, 80).Draw(t, "events") {
		switch rapid.IntRange(0, 5).Draw(t, "event") {
		case 0:
			f.wall += rapid.Int64Range(-100_000_000_000, 100_000_000_000).Draw(t, "jump")
		case 1:
			f.wall += rapid.Int64Range(-100_000, 100_000).Draw(t, "step")
		case 2:
			f.wall = rapid.Int64().Draw(t, "wall")
		case 3:
			f.steady = time.Duration(rapid.Int64Range(0, math.MaxInt64/2).Draw(t, "steady"))
		case 4:
			f.s.RX, f.s.TX = rapid.Uint64().Draw(t, "rx"), rapid.Uint64().Draw(t, "tx")
		}
		f.s.Memory = rapid.Uint64().Draw(t, "memory")
		f.s.Load15 = rapid.Float64Range(0, math.MaxUint32).Draw(t, "load")
		f.run(rapid.IntRange(1, 20).Draw(t, "ticks"), uint64(rapid.IntRange(0, 1<<30).Draw(t, "rate")))
	}
}

func TestWhateverHappens(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := newFeeder()
		wild(t, f)
		for _, tier := range f.tiers {
			for i := range tier.slots {
				b := &tier.slots[i]
				if empty := b.measured == [groupCount]int64{}; !empty && (!b.sound(tier.step) || b.number%int64(len(tier.slots)) != int64(i)) {
					t.Fatalf("slot %d of %d ms: %+v", i, tier.step, *b)
				}
			}
		}
		points := rapid.IntRange(-1, 1000).Draw(t, "points")
		w := f.window(f.horizon(f.wall), time.Duration(rapid.Int64().Draw(t, "span")), points)
		for i, s := range w.Series {
			if len(s.Values) == 0 || len(s.Values) > max(points, 1) || (s.Min == nil) != (s.Max == nil) {
				t.Fatalf("%d points: %+v", points, s)
			}
			for _, v := range s.Values {
				if v != nil && (*v < *s.Min || *v > *s.Max || *s.Avg > *s.Max || groupOf(i) == rates && *v > mostRate) {
					t.Fatalf("%s: %v is not in %v to %v", s.Name, *v, *s.Min, *s.Max)
				}
			}
		}
	})
}

// full is a core after a year and more.
func full() *feeder {
	f := newFeeder()
	f.patience = 3 * time.Hour
	f.tick(0)
	for range 8_800 { // the coarse ones
		f.s.RX += 1 << 30
		f.tick(time.Hour)
	}
	return f
}

func TestMemoryIsFixed(t *testing.T) {
	t.Parallel()
	f := full()
	data := f.encode()
	if len(data) > 1_000_000 || len(data) < 900_000 {
		t.Errorf("a full file has %d bytes", len(data))
	}
	if len(data) > mostFile {
		t.Error("it could not be read again")
	}
	slots := 0
	for _, tier := range f.tiers {
		slots += len(tier.slots)
	}
	if slots != 11_568 {
		t.Errorf("%d buckets", slots)
	}
}

func BenchmarkAdd(b *testing.B) {
	f := newFeeder()
	f.tick(0)
	b.ReportAllocs()
	for b.Loop() {
		f.run(1, 1000)
	}
}

func BenchmarkWindow(b *testing.B) {
	f := full()
	for _, span := range []time.Duration{time.Hour, 24 * time.Hour, 365 * 24 * time.Hour} {
		b.Run(span.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f.window(f.wall, span, 600)
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	f := full()
	for b.Loop() {
		f.encode()
	}
}
