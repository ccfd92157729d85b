package web

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
)

// Size of a graph in its own units.
const (
	graphWidth, graphHeight = 360, 150
	graphLeft, graphBottom  = 62, 22
	graphTop, graphRight    = 8, 6
	graphTicks              = 4
)

// graph is one drawing of the System Overview (guide 9.3), with its figures in words.
type graph struct {
	ID, Title string
	Source    string // where the samples are, as JSON
	Lines     []graphLine
	Ticks     []graphTick // of the values
	Times     []graphTick
	Rows      []graphRow // the same as a table
}

type graphLine struct{ Class, Key, Path, Legend string }

type graphTick struct {
	Text string
	At   float64
}

type graphRow struct {
	At     time.Time
	Values []string
}

type rangeLink struct {
	Text, Link string
	Current    bool
}

// Width and the others place the parts in the template.
func (graph) Width() int    { return graphWidth }
func (graph) Height() int   { return graphHeight }
func (graph) Left() int     { return graphLeft }
func (graph) Right() int    { return graphWidth - graphRight }
func (graph) Bottom() int   { return graphHeight - graphBottom }
func (graph) Baseline() int { return graphHeight - 6 }

// graphs draws the samples of the range that the query names. Without samples there are
// no graphs, and the rest of the page is there all the same.
func (v *visit) graphs() ([]graph, []rangeLink) {
	chosen := spanOf(v.r.URL.Query())
	var ranges []rangeLink
	for _, r := range spans() {
		link := overviewQuery(v.r.URL.Query())
		link.Set("range", r.name)
		ranges = append(ranges, rangeLink{r.text, Root + "?" + link.Encode() + "#graphs", r == chosen})
	}
	st, err := v.api.Stats(v.ctx(), chosen.length)
	if err != nil {
		return nil, ranges
	}
	var out []graph
	for _, k := range kinds() {
		g := draw(st, k.id, k.title, k.show, k.series...)
		g.Source = Root + "graphs.json?" + url.Values{"range": {chosen.name}}.Encode()
		out = append(out, g)
	}
	return out, ranges
}

// kind is one of the graphs of guide 9.3.
type kind struct {
	id, title, unit string // unit of the samples, "" = none
	show            func(float64) string
	series          []string
}

func kinds() []kind {
	return []kind{
		{"bandwidth", "Network Bandwidth", "B/s", bytesPerSecond, []string{api.SeriesRX, api.SeriesTX}},
		{"load", "System Load Average", "", plainNumber, []string{api.SeriesLoad1, api.SeriesLoad5, api.SeriesLoad15}},
		{"memory", "Memory Usage", "B", bytesText, []string{api.SeriesMemory}},
	}
}

// span is one choice of the time that the graphs show.
type span struct {
	name, text string
	length     time.Duration
}

func spans() []span {
	return []span{{"hour", "1 hour", time.Hour}, {"day", "1 day", 24 * time.Hour}, {"week", "1 week", 7 * 24 * time.Hour}}
}

// spanOf is the choice that a query names, a day if it names none.
func spanOf(q url.Values) span {
	return rangeOf(spans(), q)
}

// rangeOf is the choice of several that a query names, a day if it names none.
func rangeOf(all []span, q url.Values) span {
	if i := slices.IndexFunc(all, func(s span) bool { return s.name == q.Get("range") }); i >= 0 {
		return all[i]
	}
	return all[1]
}

// graphData is a graph's samples for the script that draws them.
type graphData struct {
	Unit   string        `json:"unit"`
	At     []int64       `json:"at"` // Unix seconds
	Series []graphSeries `json:"series"`
}

type graphSeries struct {
	Label  string     `json:"label"`
	Values []*float64 `json:"values"` // null = not measured
}

// graphsData sends the samples of the graphs by their names.
func (v *visit) graphsData() error {
	st, err := v.api.Stats(v.ctx(), rangeOf(graphSpans(), v.r.URL.Query()).length)
	if err != nil {
		return err
	}
	out := map[string]graphData{}
	for _, k := range kinds() {
		out[k.id] = dataOf(st, k)
	}
	data, err := json.Marshal(out)
	if err != nil {
		return fmt.Errorf("encode the samples: %w", err)
	}
	v.w.Header().Set("Content-Type", "application/json")
	return ignoreGone(send(v.w, v.r, http.StatusOK, data))
}

func dataOf(st api.Stats, k kind) graphData {
	g := graphData{Unit: k.unit, At: []int64{}, Series: []graphSeries{}}
	for _, s := range st.Serie {
		if slices.Contains(k.series, s.Name) {
			g.Series = append(g.Series, graphSeries{seriesName(s.Name), s.Values})
		}
	}
	if len(g.Series) > 0 {
		for i := range g.Series[0].Values {
			g.At = append(g.At, st.From.Add(st.Step*time.Duration(i)).Unix())
		}
	}
	return g
}

func bytesPerSecond(v float64) string { return bytesText(v) + "/s" }
func plainNumber(v float64) string    { return fmt.Sprintf("%.2f", v) }

func seriesName(name string) string {
	switch name {
	case api.SeriesLoad1:
		return "1m average"
	case api.SeriesLoad5:
		return "5m average"
	case api.SeriesLoad15:
		return "15m average"
	case api.SeriesMemory:
		return "Used"
	}
	return strings.ToUpper(name)
}

// draw makes one graph of the named series.
func draw(st api.Stats, id, title string, show func(float64) string, names ...string) graph {
	g := graph{ID: id, Title: title}
	top := 0.0
	var series []api.Series
	for _, name := range names {
		for _, s := range st.Serie {
			if s.Name == name {
				series = append(series, s)
				for _, v := range s.Values {
					if v != nil {
						top = max(top, *v)
					}
				}
			}
		}
	}
	top = niceTop(top)
	for i, s := range series {
		class := fmt.Sprintf("line-%d", i+1)
		g.Lines = append(g.Lines, graphLine{class, fmt.Sprintf("key-%d", i+1), pathOf(s.Values, top), seriesName(s.Name) + " " + sums(s, show)})
	}
	for i := range graphTicks + 1 {
		v := top * float64(i) / graphTicks
		g.Ticks = append(g.Ticks, graphTick{show(v), yOf(v, top)})
	}
	g.Times = times(st, series)
	g.Rows = rowsOf(st, series, show)
	return g
}

// niceTop is a round number that is not below v.
func niceTop(v float64) float64 {
	if v <= 0 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 4, 5, 10} {
		if m*unit >= v {
			return m * unit
		}
	}
	return 10 * unit
}

func yOf(v, top float64) float64 {
	return graphTop + (1-v/top)*float64(graphHeight-graphBottom-graphTop)
}

func xOf(i, n int) float64 {
	return graphLeft + float64(i)/float64(max(1, n-1))*float64(graphWidth-graphLeft-graphRight)
}

// pathOf is the line through the values; what was not measured is a gap.
func pathOf(values []*float64, top float64) string {
	var b strings.Builder
	pen := "M"
	for i, v := range values {
		if v == nil {
			pen = "M"
			continue
		}
		fmt.Fprintf(&b, "%s%.1f %.1f", pen, xOf(i, len(values)), yOf(*v, top))
		pen = "L"
		if i+1 == len(values) || values[i+1] == nil { // a single value is a dot
			b.WriteString("h.1")
		}
	}
	return b.String()
}

// sums is the legend in the guide's form.
func sums(s api.Series, show func(float64) string) string {
	one := func(v *float64) string {
		if v == nil {
			return "–"
		}
		return show(*v)
	}
	text := one(s.Min) + " Min, " + one(s.Avg) + " Avg, "
	if s.Name == api.SeriesRX || s.Name == api.SeriesTX {
		if s.Total == nil {
			return text + "– Total"
		}
		return text + bytesText(*s.Total) + " Total"
	}
	return text + one(s.Max) + " Max"
}

func times(st api.Stats, series []api.Series) []graphTick {
	if len(series) == 0 || len(series[0].Values) < 2 {
		return nil
	}
	n := len(series[0].Values)
	span := st.Step * time.Duration(n)
	layout := "15:04"
	switch {
	case span > 8*24*time.Hour:
		layout = "02 Jan"
	case span > 48*time.Hour:
		layout = "Mon 02"
	}
	var out []graphTick
	for i := range graphTicks {
		at := i * (n - 1) / graphTicks
		out = append(out, graphTick{st.From.Add(st.Step * time.Duration(at)).UTC().Format(layout), xOf(at, n)})
	}
	return out
}

// tableRows is how many rows the table beside a graph has at most.
const tableRows = 24

func rowsOf(st api.Stats, series []api.Series, show func(float64) string) []graphRow {
	if len(series) == 0 {
		return nil
	}
	n := len(series[0].Values)
	step := max(1, n/tableRows)
	var out []graphRow
	for i := n - 1; i >= 0; i -= step {
		row := graphRow{At: st.From.Add(st.Step * time.Duration(i))}
		known := false
		for _, s := range series {
			text := "–"
			if i < len(s.Values) && s.Values[i] != nil {
				text, known = show(*s.Values[i]), true
			}
			row.Values = append(row.Values, text)
		}
		if known {
			out = append(out, row)
		}
	}
	return out
}
