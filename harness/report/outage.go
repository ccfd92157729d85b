package report

import (
	"fmt"
	"html/template"
	"maps"
	"slices"

	"github.com/vosbed/vosbed/harness/verdict"
)

// metricOutage is the verdict's longest hole per trial.
const metricOutage = "outage_ms"

// trials are the values of a metric by kind of fault, as the verdict sees them.
func (in *input) trials(name string) map[string][]float64 {
	out := make(map[string][]float64)
	for _, v := range in.metrics.Values(name) {
		out[v.Labels["fault"]] = append(out[v.Labels["fault"]], v.Value)
	}
	return out
}

// outagePlot is a strip of dots per kind of fault, one dot per trial, with that
// kind's own limit. It is logarithmic: a kill's tens of milliseconds and a
// server's second are both to be read.
func outagePlot(in *input) (plot, bool) {
	byKind := in.trials(metricOutage)
	kinds := slices.Sorted(maps.Keys(byKind))
	if len(kinds) == 0 {
		return plot{}, false
	}
	limits, top := in.outageLimits(), 10.0
	for _, kind := range kinds {
		top = max(top, slices.Max(byKind[kind]), limits[kind])
	}
	height := 40 + 44*float64(len(kinds)) + 34
	p := plot{
		Title: "Outage per trial", Head: []string{"fault", "n", "min ms", "median ms", "max ms", "limit ms"},
		Note: "One dot per trial: the longest hole in any probe flow, on a logarithmic scale. The thick line is the median, the dashed one the limit.",
	}
	c := newCanvas(plotWidth, height, "Outage in milliseconds per trial, by kind of fault")
	x := newDecades(top*1.1, 104, plotWidth-16)
	in.outageFrame(c, x, height-34, &p)
	for i, kind := range kinds {
		y := 44 + 44*float64(i)
		drawOutages(c, x, y, strip{kind, byKind[kind], fmt.Sprintf("c%d", i%5+1), "ms"}, limits[kind])
		v := slices.Sorted(slices.Values(byKind[kind]))
		row := []string{kind, human(float64(len(v))), human(v[0]), human(middle(v)), human(v[len(v)-1]), "–"}
		if limits[kind] > 0 {
			row[5] = human(limits[kind])
		}
		p.Body = append(p.Body, row)
	}
	p.SVG = c.html()
	return p, true
}

// outageFrame draws grid and noise floor.
func (in *input) outageFrame(c *canvas, x decades, base float64, p *plot) {
	for _, v := range x.ticks() {
		c.line("grid", x.at(v), 22, x.at(v), base)
		text := human(v)
		if v == 1 {
			text = "≤ 1"
		}
		c.text("soft", "middle", x.at(v), base+18, text)
	}
	c.text("soft", "end", plotWidth-16, base+33, "milliseconds")
	s, ok := in.metrics.Find(verdict.Ref{Metric: "noise_floor_ms"})
	if !ok || s.P99 <= 0 {
		return
	}
	text := verdict.Quantity(s.P99, "ms")
	c.tip("floor", frame{x.at(1), 22, x.at(s.P99) - x.at(1), base - 22}, "noise floor, p99: "+text)
	p.Note += " The shaded strip is the noise floor (p99 " + text + ")."
}

// drawOutages is a strip with its limit.
func drawOutages(c *canvas, x decades, y float64, s strip, limit float64) {
	c.text("", "end", 92, y+4, fit(s.name, 88))
	c.line("grid", x.low, y, x.high, y)
	if limit > 0 {
		c.line("limitline", x.at(limit), y-18, x.at(limit), y+18)
		c.text("limittext", "start", x.at(limit)+4, y-9, human(limit))
	}
	for i, v := range s.values {
		off := float64((i*5)%7-3) * 2.4
		c.dot(s.class+" dot", x.at(v), y+off, fmt.Sprintf("%s, trial %d: %s", s.name, i+1, verdict.Quantity(v, s.unit)))
	}
	m := x.at(middle(slices.Sorted(slices.Values(s.values))))
	c.line("median", m, y-13, m, y+13)
}

// outageLimits are the limits on outage_ms by kind of fault; one on all kinds
// is that of every kind without its own.
func (in *input) outageLimits() map[string]float64 {
	out := make(map[string]float64)
	all := 0.0
	for _, e := range in.result.Expectations {
		ref, err := verdict.ParseRef(e.Metric)
		if e.Metric == "" || e.Max == nil || err != nil || ref.Metric != metricOutage {
			continue
		}
		if kind := ref.Labels["fault"]; kind != "" {
			out[kind] = *e.Max
		} else {
			all = *e.Max
		}
	}
	for kind := range in.trials(metricOutage) {
		if _, ok := out[kind]; !ok && all > 0 {
			out[kind] = all
		}
	}
	return out
}

// phaseText says what a phase of an outage is.
func phaseText(phase string) string {
	switch phase {
	case verdict.PhaseDetect:
		return "noticed"
	case verdict.PhaseClaim:
		return "first claim"
	case verdict.PhaseCarry:
		return "carried"
	case verdict.PhaseFirst:
		return "first flow back"
	case verdict.PhaseAll:
		return "all flows back"
	}
	return phase
}

// anatomyPlot shows where the outages went: per kind of fault the median time
// from the fault to each phase, as a line of marks and as a table.
func anatomyPlot(in *input) (plot, bool) {
	byFault := make(map[string]map[string]verdict.Stats)
	top := 10.0
	for _, kind := range slices.Sorted(maps.Keys(in.trials(verdict.MetricAnatomy))) {
		byFault[kind] = make(map[string]verdict.Stats)
		for _, phase := range verdict.Phases() {
			s, ok := in.metrics.Find(verdict.Ref{Metric: verdict.MetricAnatomy, Labels: map[string]string{"fault": kind, "phase": phase}})
			if ok {
				byFault[kind][phase] = s
				top = max(top, s.Median)
			}
		}
	}
	if len(byFault) == 0 {
		return plot{}, false
	}
	p := plot{
		Title: "Anatomy of the outages, ms from the fault", Wide: true,
		Note: "Medians over the trials that a probe felt; in brackets the least and the greatest. Noticed: since when the surviving node has its role, " +
			"or when the status showed a server out (read every 50 ms). First claim: gratuitous ARP or advertisement. Carried: the first packet to a VIP by its MAC.",
		Head: []string{"fault", "n"},
	}
	for _, phase := range verdict.Phases() {
		p.Head = append(p.Head, phaseText(phase))
	}
	kinds := slices.Sorted(maps.Keys(byFault))
	for _, kind := range kinds {
		row := []string{kind, human(float64(byFault[kind][verdict.PhaseFirst].N))}
		for _, phase := range verdict.Phases() {
			row = append(row, spreadText(byFault[kind][phase]))
		}
		p.Body = append(p.Body, row)
	}
	p.SVG = drawAnatomy(kinds, byFault, top)
	return p, true
}

// spreadText is a distribution in few characters.
func spreadText(s verdict.Stats) string {
	switch {
	case s.N == 0:
		return "–"
	case s.N == 1 || s.Min == s.Max:
		return fmt.Sprintf("%.0f", s.Median)
	}
	return fmt.Sprintf("%.0f (%.0f–%.0f)", s.Median, s.Min, s.Max)
}

// drawAnatomy draws a line per kind of fault from the fault to the last phase,
// with a mark at each.
func drawAnatomy(kinds []string, byFault map[string]map[string]verdict.Stats, top float64) template.HTML {
	height := 40 + 40*float64(len(kinds)) + 54
	c := newCanvas(plotWidth, height, "Median time from the fault to each phase of the outage, by kind of fault")
	x := newDecades(top*1.1, 104, plotWidth-16)
	base := height - 54
	for _, v := range x.ticks() {
		c.line("grid", x.at(v), 14, x.at(v), base)
		c.text("soft", "middle", x.at(v), base+18, human(v))
	}
	for i, kind := range kinds {
		y := 34 + 40*float64(i)
		c.text("", "end", 92, y+4, fit(kind, 88))
		c.line("axis", x.low, y, x.at(byFault[kind][verdict.PhaseAll].Median), y)
		for k, phase := range verdict.Phases() {
			if s := byFault[kind][phase]; s.N > 0 {
				off := float64(k%3-1) * 7
				c.dot(fmt.Sprintf("c%d dot", k+1), x.at(s.Median), y+off, kind+", "+phaseText(phase)+": "+verdict.Quantity(s.Median, "ms"))
			}
		}
	}
	at := 60.0
	for k, phase := range verdict.Phases() {
		c.dot(fmt.Sprintf("c%d dot", k+1), at, base+38, phaseText(phase))
		c.text("soft", "start", at+8, base+42, phaseText(phase))
		at += 24 + letter*float64(len(phaseText(phase)))*0.86
	}
	return c.html()
}
