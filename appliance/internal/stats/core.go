package stats

import (
	"math"
	"slices"
	"time"
)

// The series, in the order of a window and of the file. The first two are rates.
const (
	seriesRX = iota
	seriesTX
	seriesLoad1
	seriesLoad5
	seriesLoad15
	seriesMemory

	seriesCount
)

// What is measured together and missing together.
const (
	rates  = iota // RX and TX
	gauges        // the others

	groupCount
)

const (
	// mostDrift is how far the clock may stray from the steady time between two
	// readings and still count as corrected (ntpd steps from 0.128 s on). More is a jump.
	mostDrift = 1000 // ms
	// mostRate is the highest believable rate in bytes/s, 8.8 Tbit/s.
	mostRate = 1 << 40
	// mostWall is the end of the time that can be kept: bucket numbers have 32 bits in the
	// file. It is the year 3331.
	mostWall = fineStep * math.MaxUint32
	fineStep = 10_000 // ms
)

func names() [seriesCount]string {
	return [seriesCount]string{"rx", "tx", "load1", "load5", "load15", "memory"}
}

// groupOf returns the group that a series belongs to.
func groupOf(series int) int {
	if series <= seriesTX {
		return rates
	}
	return gauges
}

// cell is what a series came to in the measured part of a bucket, avg weighed by time.
type cell struct{ min, avg, max float64 }

// bucket is one step of time. It is empty when nothing was measured.
type bucket struct {
	number   int64             // Unix time divided by the step
	measured [groupCount]int64 // ms
	cells    [seriesCount]cell
}

// measure is what was found between two readings, Unix times in ms.
type measure struct {
	start, end int64
	values     [seriesCount]float64
	rates      bool // whether the first two were measured
}

func (m *measure) has(group int) bool { return group == gauges || m.rates }

// add takes d ms of a measure. A bucket is never measured for longer than its step,
// whatever time a wrong clock made it live twice.
func (b *bucket) add(m *measure, d, step int64) {
	for i := range b.cells {
		g := groupOf(i)
		if !m.has(g) {
			continue
		}
		c, v := &b.cells[i], m.values[i]
		if b.measured[g] == 0 {
			*c = cell{v, v, v}
			continue
		}
		c.min, c.max = min(c.min, v), max(c.max, v)
		avg := c.avg + (v-c.avg)*float64(d)/float64(b.measured[g]+d)
		c.avg = min(max(avg, c.min), c.max) // rounding
	}
	for g := range b.measured {
		if m.has(g) {
			b.measured[g] = min(b.measured[g]+d, step)
		}
	}
}

// tier is one resolution: the latest buckets, each in the slot of its number.
type tier struct {
	step  int64 // ms
	slots []bucket
}

// resolutions are the steps in ms with how many of each are kept, the finest first.
func resolutions() [4][2]int64 {
	return [4][2]int64{
		{fineStep, 360},    // an hour
		{60_000, 1440},     // a day
		{600_000, 1008},    // a week
		{3_600_000, 8_760}, // a year
	}
}

func (t *tier) slot(number int64) *bucket { return &t.slots[number%int64(len(t.slots))] }

// find returns the bucket of that number if it is kept, else an empty one.
func (t *tier) find(number int64) bucket {
	if number < 0 || t.slot(number).number != number {
		return bucket{}
	}
	return *t.slot(number)
}

// add spreads a measure over the buckets that it touches. One that it enters at its
// beginning holds nothing true, even if a clock that was wrong once has filled it: time
// flows into it only now. One that it enters later, after a gap, goes on with what it holds.
func (t *tier) add(m *measure) {
	for from := m.start; from < m.end; {
		number := from / t.step
		begin, end := number*t.step, (number+1)*t.step
		b := t.slot(number)
		if b.number != number || from == begin {
			*b = bucket{number: number}
		}
		to := min(m.end, end)
		b.add(m, to-from, t.step)
		from = to
	}
}

// reading is a sample with both times at which it was taken.
type reading struct {
	Sample

	wall   int64         // Unix time in ms
	steady time.Duration // of a clock that nobody sets and that stands still in suspend
}

// core is all the arithmetic: no clock, no I/O, fixed memory.
type core struct {
	tiers    [4]tier
	patience time.Duration // readings farther apart make no measure
	last     *reading      // nil before the first
	end      int64         // Unix time in ms up to which was measured, 0 = not since the start
}

func newCore(patience time.Duration) *core {
	c := &core{patience: patience}
	for i, r := range resolutions() {
		c.tiers[i] = tier{step: r[0], slots: make([]bucket, r[1])}
	}
	return c
}

// add takes a reading. Together with the one before it makes a measure.
func (c *core) add(r reading) {
	last := c.last
	if last != nil && r.steady >= last.steady && r.steady-last.steady < time.Millisecond {
		return // too close to tell a rate
	}
	c.last = nil
	if r.wall < 0 || r.wall >= mostWall {
		return
	}
	c.last = &r
	if last == nil || r.steady < last.steady || r.steady-last.steady > c.patience {
		return
	}
	m := between(last, &r)
	if m.start < 0 {
		return
	}
	for i := range c.tiers {
		c.tiers[i].add(&m)
	}
	c.end = m.end
}

// between returns the measure that two readings make. It lies between them, unless the
// clock was set or the machine slept: then it lies in the time before the second.
func between(a, b *reading) measure {
	steady := b.steady - a.steady
	drift := b.wall - a.wall - steady.Milliseconds()
	m := measure{start: a.wall, end: b.wall}
	if b.wall <= a.wall || drift < -mostDrift || drift > mostDrift {
		m.start = b.wall - steady.Milliseconds()
	}
	rx, rxOK := rate(a.RX, b.RX, steady)
	tx, txOK := rate(a.TX, b.TX, steady)
	m.rates = rxOK && txOK && a.era == b.era
	m.values = [seriesCount]float64{rx, tx, b.Load1, b.Load5, b.Load15, float64(b.Memory)}
	return m
}

// rate returns the rate in units per second of a counter, unless it began anew.
func rate(before, after uint64, d time.Duration) (float64, bool) {
	if after < before {
		return 0, false
	}
	v := float64(after-before) / d.Seconds()
	return v, v <= mostRate
}

// horizon is where a window that is asked for at that time ends: at what was measured
// last, so that the bucket now being waited for does not look like a gap.
func (c *core) horizon(now int64) int64 {
	now = min(max(now, 1), mostWall)
	if c.end > 0 && c.end <= now && now-c.end <= c.patience.Milliseconds() {
		return c.end
	}
	return now
}

// finest returns the finest resolution that is kept for span ms, or the coarsest.
func (c *core) finest(span int64) *tier {
	for i := range c.tiers {
		if t := &c.tiers[i]; t.step*int64(len(t.slots)) >= span {
			return t
		}
	}
	return &c.tiers[len(c.tiers)-1]
}

// window is the time of that length up to end, a Unix time in ms, in at most so many
// steps. They begin at multiples of their length, so that a graph that is drawn again
// shows the same values.
func (c *core) window(end int64, length time.Duration, points int) Window {
	span := max(length.Milliseconds(), 1)
	t := c.finest(span)
	buckets := min(ceil(span, t.step), int64(len(t.slots)))
	each := ceil(buckets, int64(max(points, 1)))
	count := ceil(buckets, each)
	newest := (end - 1) / t.step
	first := newest/each - count + 1

	w := Window{
		From: time.UnixMilli(first * each * t.step), Step: time.Duration(each*t.step) * time.Millisecond,
		Series: make([]Series, seriesCount),
	}
	lines := [seriesCount][]sum{}
	for i := range lines {
		lines[i] = make([]sum, count)
	}
	for n := max(first*each, 0); n <= newest; n++ {
		b := t.find(n)
		for i := range lines {
			lines[i][n/each-first].add(b.cells[i], b.measured[groupOf(i)])
		}
	}
	for i, name := range names() {
		w.Series[i] = draw(name, lines[i], groupOf(i) == rates)
	}
	return w
}

// draw makes a series of the sums of its steps.
func draw(name string, line []sum, total bool) Series {
	s := Series{Name: name, Values: make([]*float64, len(line))}
	averages := make([]float64, len(line))
	var all sum
	for i, step := range line {
		if step.measured == 0 {
			continue
		}
		averages[i] = step.avg
		s.Values[i] = &averages[i]
		all.add(step.cell, step.measured)
	}
	if all.measured == 0 {
		return s
	}
	s.Min, s.Avg, s.Max = &all.min, &all.avg, &all.max
	if total {
		s.Total = new(all.avg * float64(all.measured) / 1000)
	}
	return s
}

// sum is what several buckets come to.
type sum struct {
	cell

	measured int64 // ms
}

func (s *sum) add(c cell, measured int64) {
	switch {
	case measured == 0:
	case s.measured == 0:
		*s = sum{c, measured}
	default:
		s.measured += measured
		s.min, s.max = min(s.min, c.min), max(s.max, c.max)
		avg := s.avg + (c.avg-s.avg)*float64(measured)/float64(s.measured)
		s.avg = min(max(avg, s.min), s.max) // rounding
	}
}

// ceil is a/b rounded up, of positive numbers.
func ceil(a, b int64) int64 { return (a-1)/b + 1 }

// sane reports whether numbers can be load averages.
func sane(loads ...float64) bool {
	return !slices.ContainsFunc(loads, func(v float64) bool {
		return !(v >= 0 && v <= math.MaxUint32) // NaN too
	})
}
