package report

import (
	"cmp"
	"fmt"
	"html/template"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/harness/verdict"
)

// Geometry of a plot in pixels.
const (
	plotWidth  = 520.0
	plotHeight = 250.0
	plotLeft   = 58.0
	plotBottom = 212.0
	plotTop    = 14.0
)

// plots draws what was measured over time and per trial.
func plots(in *input, tl *timeline) []plot {
	var out []plot
	if p, ok := outagePlot(in); ok {
		out = append(out, p)
	}
	if p, ok := anatomyPlot(in); ok {
		out = append(out, p)
	}
	for _, name := range slices.Sorted(maps.Keys(tl.series)) {
		if p, ok := tl.curve(name, "received", "Replies: "+name, "per second"); ok {
			out = append(out, p)
		}
		if p, ok := tl.curve(name, "p99_us", "Latency p99: "+name, "µs"); ok {
			p.Note = "From the intended time of sending, per interval; logarithmic."
			out = append(out, p)
		}
	}
	if p, ok := pairsPlot(in); ok {
		out = append(out, p)
	}
	return out
}

// middle is the median of sorted values.
func middle(v []float64) float64 { return (v[(len(v)-1)/2] + v[len(v)/2]) / 2 }

// sampleAt is one value of a series.
type sampleAt struct{ at, v float64 }

// values reads one value of a load's series; counts become rates.
func (tl *timeline) values(name, value string) []sampleAt {
	var out []sampleAt
	for _, r := range tl.series[name] {
		s, err := observe.Decode[observe.Series](r)
		if err != nil || s.Interval <= 0 {
			continue
		}
		v, ok := s.Values[value]
		if !ok {
			continue
		}
		if !strings.HasSuffix(value, "_us") {
			v /= s.Interval.Seconds()
		}
		out = append(out, sampleAt{seconds(r.T), v})
	}
	return out
}

// curve draws one value of a load over time, with the faults shaded.
func (tl *timeline) curve(name, value, title, unit string) (plot, bool) {
	points := tl.values(name, value)
	if len(points) < 2 {
		return plot{}, false
	}
	log := strings.HasSuffix(value, "_us")
	low, high := math.Inf(1), 0.0
	for _, p := range points {
		low, high = min(low, p.v), max(high, p.v)
	}
	y := scale{0, roof(high * 1.05), plotBottom, plotTop}
	if log {
		y = scale{math.Floor(math.Log10(max(low, 1))), math.Ceil(math.Log10(max(high, 10))), plotBottom, plotTop}
	}
	c := newCanvas(plotWidth, plotHeight, title)
	x := scale{0, tl.end, plotLeft, plotWidth - 14}
	tl.frame(c, x, y, log)
	level := func(v float64) float64 {
		if log {
			return y.at(math.Log10(max(v, 1)))
		}
		return y.at(v)
	}
	drawCurve(c, x, level, points)
	return plot{Title: title + ", " + unit, SVG: c.html(), Head: []string{"from s", "min", "median", "max"}, Body: digest(points)}, true
}

// frame draws axes, grid and faults.
func (tl *timeline) frame(c *canvas, x, y scale, log bool) {
	ticks := y.ticks(5)
	if log {
		ticks = ticks[:0]
		for e := y.from; e <= y.to; e++ {
			ticks = append(ticks, e)
		}
	}
	for _, v := range ticks {
		c.line("grid", plotLeft, y.at(v), plotWidth-14, y.at(v))
		shown := v
		if log {
			shown = math.Pow(10, v)
		}
		c.text("soft", "end", plotLeft-8, y.at(v)+4, human(shown))
	}
	for _, f := range tl.faults {
		c.tip("fault", frame{x.at(f.from), plotTop, x.at(f.to) - x.at(f.from), plotBottom - plotTop}, f.text)
	}
	for _, v := range x.ticks(6) {
		c.text("soft", "middle", x.at(v), plotBottom+18, human(v)+" s")
	}
	c.line("axis", plotLeft, plotBottom, plotWidth-14, plotBottom)
}

// maxPoints bounds the points of a curve: beyond it neighbours are joined into
// their least and greatest value, so that no peak is lost.
const maxPoints = 900

func drawCurve(c *canvas, x scale, level func(float64) float64, points []sampleAt) {
	points = thin(points)
	var line strings.Builder
	for i, p := range points {
		op := "L"
		if i == 0 || p.at-points[i-1].at > 2 {
			op = "M"
		}
		line.WriteString(op + px(x.at(p.at)) + " " + px(level(p.v)))
	}
	c.path("line", line.String())
}

func thin(points []sampleAt) []sampleAt {
	size := (len(points) + maxPoints/2 - 1) / (maxPoints / 2)
	if len(points) <= maxPoints {
		return points
	}
	var out []sampleAt
	for chunk := range slices.Chunk(points, size) {
		byValue := func(a, b sampleAt) int { return cmp.Compare(a.v, b.v) }
		low, high := slices.MinFunc(chunk, byValue), slices.MaxFunc(chunk, byValue)
		if low.at > high.at {
			low, high = high, low
		}
		out = append(out, low, high)
	}
	return out
}

// digest is a curve in about twenty rows of text.
func digest(points []sampleAt) [][]string {
	var out [][]string
	for chunk := range slices.Chunk(points, max((len(points)+19)/20, 1)) {
		v := make([]float64, 0, len(chunk))
		for _, p := range chunk {
			v = append(v, p.v)
		}
		slices.Sort(v)
		out = append(out, []string{human(math.Round(chunk[0].at*10) / 10), human(v[0]), human(middle(v)), human(v[len(v)-1])})
	}
	return out
}

// judged are the metrics that expectations name.
func (in *input) judged() map[string]bool {
	out := make(map[string]bool)
	for _, e := range in.result.Expectations {
		if ref, err := verdict.ParseRef(e.Metric); err == nil {
			out[ref.Metric] = true
		}
	}
	return out
}

// paired are the metrics that were measured in interleaved pairs, those that
// nothing is expected of only if all are such.
func (in *input) paired() []string {
	var all, wanted []string
	judged := in.judged()
	for _, name := range in.metrics.Names() {
		base, ok := strings.CutSuffix(name, "_ratio_pairs")
		if !ok {
			continue
		}
		all = append(all, base)
		if judged[base+"_ratio"] || judged[name] {
			wanted = append(wanted, base)
		}
	}
	if len(wanted) == 0 {
		return all
	}
	return wanted
}

// pairsPlot shows interleaved pairs: metrics that have a <metric>_ratio.
func pairsPlot(in *input) (plot, bool) {
	var strips []strip
	p := plot{
		Title: "Through the balancer, relative to direct", Head: []string{"metric", "pairs", "min", "median", "max"},
		Note: "One dot per interleaved pair; 1 is as fast as direct. The thick line is the median.",
	}
	top := 1.0
	for _, base := range in.paired() {
		s := strip{name: base, class: fmt.Sprintf("c%d", len(strips)%5+1)}
		for _, v := range in.metrics.Values(base + "_ratio_pairs") {
			s.values = append(s.values, v.Value)
			top = max(top, v.Value)
		}
		strips = append(strips, s)
		v := slices.Sorted(slices.Values(s.values))
		p.Body = append(p.Body, []string{base, human(float64(len(v))), human(v[0]), human(middle(v)), human(v[len(v)-1])})
	}
	if len(strips) == 0 {
		return plot{}, false
	}
	p.SVG = drawStrips(strips, roof(top*1.02))
	return p, true
}

type strip struct {
	name   string
	values []float64
	class  string
	unit   string
}

// drawStrip spreads equal values a little, always in the same way.
func drawStrip(c *canvas, x scale, y float64, s strip) {
	c.text("", "end", 92, y+4, fit(s.name, 88))
	c.line("grid", x.low, y, x.high, y)
	for i, v := range s.values {
		off := float64((i*5)%7-3) * 2.4
		c.dot(s.class+" dot", x.at(v), y+off, fmt.Sprintf("%s, %d: %s", s.name, i+1, verdict.Quantity(v, s.unit)))
	}
	m := x.at(middle(slices.Sorted(slices.Values(s.values))))
	c.line("median", m, y-13, m, y+13)
}

func drawStrips(strips []strip, top float64) template.HTML {
	height := 40 + 44*float64(len(strips)) + 34
	c := newCanvas(plotWidth, height, "Ratio of balanced to direct, per pair")
	x := scale{0, top, 104, plotWidth - 16}
	base := height - 34
	for _, v := range x.ticks(6) {
		c.line("grid", x.at(v), 22, x.at(v), base)
		c.text("soft", "middle", x.at(v), base+18, human(v))
	}
	c.line("axis", x.at(1), 22, x.at(1), base)
	for i, s := range strips {
		drawStrip(c, x, 44+44*float64(i), s)
	}
	return c.html()
}
