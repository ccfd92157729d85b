package stats

import (
	"math"
	"time"
)

// series are the lines of the graphs, in the order of a sample's values.
func series() []string { return []string{"rx", "tx", "load1", "load5", "load15", "memory"} }

const seriesCount = 6

// values are those of one moment; NaN = not measured.
type values [seriesCount]float64

// place is one time of one series. A fresh one has a count of 0.
type place struct {
	min, avg, max float32
}

func empty() place {
	nan := float32(math.NaN())
	return place{nan, nan, nan}
}

func (p place) known() bool { return p.avg == p.avg }

// level is a ring of one resolution. Place i holds the times t with
// t/step mod size = i; newest is the last t/step that was written.
type level struct {
	step   time.Duration
	places [seriesCount][]place
	newest int64
	// counts are the samples in the newest place, by series: its average grows.
	counts [seriesCount]int
}

func newLevel(step time.Duration, size int) *level {
	l := &level{step: step, newest: math.MinInt64}
	for s := range l.places {
		l.places[s] = make([]place, size)
		for i := range l.places[s] {
			l.places[s][i] = empty()
		}
	}
	return l
}

// levels are the resolutions, finest first.
func levels() []*level {
	return []*level{
		newLevel(10*time.Second, 360), newLevel(time.Minute, 1440),
		newLevel(10*time.Minute, 1008), newLevel(time.Hour, 8760),
	}
}

func (l *level) size() int { return len(l.places[0]) }

// span is the time that a level covers.
func (l *level) span() time.Duration { return l.step * time.Duration(l.size()) }

// add notes what was measured at a time. A clock that was set back begins a new story:
// what lies after it is forgotten.
func (l *level) add(at time.Time, v values) {
	slot := at.UnixNano() / int64(l.step)
	if slot != l.newest {
		l.move(slot)
	}
	i := index(slot, l.size())
	for s, x := range v {
		if math.IsNaN(x) {
			continue
		}
		p, n := &l.places[s][i], &l.counts[s]
		f := float32(x)
		if !p.known() {
			*n, *p = 1, place{f, f, f}
			continue
		}
		*n++
		p.avg += (f - p.avg) / float32(*n)
		p.min, p.max = min(p.min, f), max(p.max, f)
	}
}

// move empties the places between the newest and the slot, which is the newest then.
func (l *level) move(slot int64) {
	from := l.newest + 1
	if slot < l.newest || slot-l.newest > int64(l.size()) || l.newest == math.MinInt64 {
		from = slot - int64(l.size()) + 1
		if slot < l.newest && l.newest-slot < int64(l.size()) {
			// What was measured before the clock was set back stays.
			l.clear(slot, l.newest)
			from = slot
		}
	}
	l.clear(from, slot)
	l.newest, l.counts = slot, [seriesCount]int{}
}

func (l *level) clear(from, to int64) {
	for slot := from; slot <= to; slot++ {
		for s := range l.places {
			l.places[s][index(slot, l.size())] = empty()
		}
	}
}

func index(slot int64, size int) int { return int(((slot % int64(size)) + int64(size)) % int64(size)) }

// read returns n places that end with the slot last, oldest first; what the level does
// not hold is empty.
func (l *level) read(s int, last int64, n int) []place {
	out := make([]place, n)
	for i := range out {
		slot := last - int64(n-1-i)
		out[i] = empty()
		if slot <= l.newest && slot > l.newest-int64(l.size()) {
			out[i] = l.places[s][index(slot, l.size())]
		}
	}
	return out
}

// Series is one line of a graph: the averages, and what they come to. Total is of rates
// only. A value that was not measured is nil.
type Series struct {
	Name                 string
	Values               []*float64
	Min, Avg, Max, Total *float64
}

// Window is a stretch of time at equal distances, the newest last.
type Window struct {
	From   time.Time
	Step   time.Duration
	Series []Series
}

// window reads a span that ends now with at most points values.
func window(all []*level, now time.Time, span time.Duration, points int) Window {
	l := all[len(all)-1]
	for _, one := range all {
		if one.span() >= span {
			l = one
			break
		}
	}
	n := min(l.size(), max(1, int((span+l.step-1)/l.step)))
	group := max(1, (n+points-1)/points)
	n = (n + group - 1) / group * group
	last := now.UnixNano() / int64(l.step)
	w := Window{From: time.Unix(0, (last-int64(n)+1)*int64(l.step)).UTC(), Step: l.step * time.Duration(group)}
	for s, name := range series() {
		w.Series = append(w.Series, summary(name, l.read(s, last, n), group, l.step))
	}
	return w
}

// summary joins groups of places and tells what all come to.
func summary(name string, places []place, group int, step time.Duration) Series {
	out := Series{Name: name}
	var all, part tally
	for i, p := range places {
		part.add(p)
		all.add(p)
		if (i+1)%group == 0 {
			out.Values = append(out.Values, part.avg())
			part = tally{}
		}
	}
	if all.n == 0 {
		return out
	}
	out.Min, out.Avg, out.Max = &all.min, all.avg(), &all.max
	if name == "rx" || name == "tx" {
		total := all.sum * step.Seconds()
		out.Total = &total
	}
	return out
}

// tally sums places up.
type tally struct {
	n             int
	sum, min, max float64
}

func (t *tally) add(p place) {
	if !p.known() {
		return
	}
	if t.n == 0 {
		t.min, t.max = math.Inf(1), math.Inf(-1)
	}
	t.n++
	t.sum += float64(p.avg)
	t.min, t.max = min(t.min, float64(p.min)), max(t.max, float64(p.max))
}

func (t *tally) avg() *float64 {
	if t.n == 0 {
		return nil
	}
	avg := t.sum / float64(t.n)
	return &avg
}
