package report

import (
	"cmp"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/vosbed/vosbed/harness/observe"
)

// timeline is the run by time, ready to be drawn.
type timeline struct {
	end    float64 // seconds
	steps  []bar
	faults []bar
	// roles and health are segments by node and by "service/server".
	roles, health map[string][]bar
	gaps          []bar
	events        []bar
	series        map[string][]observe.Record
}

// bar is something that lasted, in seconds.
type bar struct {
	from, to float64
	name     string
	text     string
	class    string
	err      string
	shot     string // file of its picture
}

func seconds(t time.Duration) float64 { return t.Seconds() }

func newTimeline(history []observe.Record) *timeline {
	records := slices.Clone(history)
	slices.SortStableFunc(records, func(a, b observe.Record) int { return cmp.Compare(a.T, b.T) })
	tl := &timeline{roles: map[string][]bar{}, health: map[string][]bar{}, series: map[string][]observe.Record{}}
	for _, r := range records {
		tl.end = max(tl.end, seconds(r.T))
	}
	for _, r := range records {
		tl.take(r)
	}
	return tl
}

// take files one record. What cannot be decoded is not drawn: the verdict names
// it.
func (tl *timeline) take(r observe.Record) {
	at := seconds(r.T)
	switch r.Kind {
	case observe.KindStep:
		tl.step(r, at)
	case observe.KindFault:
		if f, err := observe.Decode[observe.Fault](r); err == nil {
			tl.faults = append(tl.faults, bar{from: at, to: tl.end, name: r.Name, text: strings.TrimSpace(f.Kind + " " + f.Target), class: f.Kind})
		}
	case observe.KindHeal:
		for i := range tl.faults {
			if f := &tl.faults[i]; f.name == r.Name && f.to == tl.end && f.from <= at {
				f.to = at
				break
			}
		}
	case observe.KindShot:
		tl.shot(r)
	case observe.KindStatus:
		tl.status(r, at)
	case observe.KindGap:
		if g, err := observe.Decode[observe.Gap](r); err == nil {
			text := fmt.Sprintf("%s flow %d: %.1f ms, %d lost, server %d then %d", r.Name, g.Flow, g.Outage.Seconds()*1000, g.Lost, g.Before, g.After)
			tl.gaps = append(tl.gaps, bar{from: seconds(g.From), to: seconds(g.To), name: r.Name, text: text})
		}
	case observe.KindEvent, observe.KindBroken:
		if n, err := observe.Decode[observe.Note](r); err == nil {
			tl.events = append(tl.events, bar{from: at, to: at, name: r.Name, text: n.Text})
		}
	case observe.KindSeries:
		tl.series[r.Name] = append(tl.series[r.Name], r)
	case observe.KindRun, observe.KindSample, observe.KindFrame:
	}
}

func (tl *timeline) step(r observe.Record, at float64) {
	s, err := observe.Decode[observe.Span](r)
	if err != nil {
		return
	}
	if !s.End {
		tl.steps = append(tl.steps, bar{from: at, to: tl.end, name: r.Name, text: cmp.Or(s.What, r.Name)})
		return
	}
	for i := range slices.Backward(tl.steps) {
		if b := &tl.steps[i]; b.name == r.Name && b.to == tl.end {
			b.to, b.err = at, s.Err
			return
		}
	}
}

// shot gives a picture to the step that took it, which has not ended yet.
func (tl *timeline) shot(r observe.Record) {
	s, err := observe.Decode[observe.Shot](r)
	if err != nil {
		return
	}
	for i := range slices.Backward(tl.steps) {
		if b := &tl.steps[i]; b.name == r.Name && b.to == tl.end {
			b.shot = s.File
			return
		}
	}
}

// shownStatus is the part of a status that the lanes show.
type shownStatus struct {
	Role     string `json:"role"`
	Services []struct {
		Name    string `json:"name"`
		Servers []struct {
			Name  string `json:"name"`
			State string `json:"state"`
		} `json:"servers"`
	} `json:"services"`
}

func (tl *timeline) status(r observe.Record, at float64) {
	s, err := observe.Decode[shownStatus](r)
	if err != nil {
		return
	}
	tl.extend(tl.roles, cmp.Or(r.Node, "appliance"), at, cmp.Or(s.Role, "unknown"))
	if s.Role == "passive" {
		return
	}
	for _, service := range s.Services {
		for _, server := range service.Servers {
			tl.extend(tl.health, service.Name+"/"+server.Name, at, server.State)
		}
	}
}

// silence is how long a status stays believable without a newer one.
const silence = 2.5

// extend continues a lane with the state that holds from at on.
func (tl *timeline) extend(lanes map[string][]bar, lane string, at float64, state string) {
	list := lanes[lane]
	if n := len(list); n > 0 {
		last := &list[n-1]
		if at <= last.to {
			last.to = at
		}
		if last.text == state && at-last.to <= 0.001 {
			last.to = min(at+silence, tl.end)
			return
		}
	}
	lanes[lane] = append(list, bar{from: at, to: min(at+silence, tl.end), text: state, class: stateClass(state)})
}

// stateClass is the colour of a role or of a server's state.
func stateClass(state string) string {
	switch state {
	case "active", "standalone":
		return "active"
	case "passive":
		return "passive"
	case "serving":
		return "ok"
	case "draining":
		return "warn"
	case "down", "halted":
		return "bad"
	}
	return "none"
}

func (tl *timeline) stepList() []step {
	var out []step
	for _, s := range tl.steps {
		out = append(out, step{
			Name: s.name, What: s.text, From: fmt.Sprintf("%.1f s", s.from), Took: fmt.Sprintf("%.2f s", s.to-s.from), Err: s.err, Shot: s.shot,
		})
	}
	return out
}

// table is the timeline in words.
func (tl *timeline) table() []pair {
	type entry struct {
		at   float64
		text string
	}
	var all []entry
	for _, f := range tl.faults {
		all = append(all, entry{f.from, "fault: " + f.text + fmt.Sprintf(", healed after %.2f s", f.to-f.from)})
	}
	for _, e := range tl.events {
		all = append(all, entry{e.from, e.text})
	}
	for _, lanes := range []map[string][]bar{tl.roles, tl.health} {
		for _, name := range slices.Sorted(maps.Keys(lanes)) {
			for _, b := range lanes[name] {
				all = append(all, entry{b.from, name + ": " + b.text})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b entry) int { return cmp.Compare(a.at, b.at) })
	out := make([]pair, 0, len(all))
	for _, e := range all {
		out = append(out, pair{fmt.Sprintf("%.3f s", e.at), e.text})
	}
	return out
}

// Geometry of the lanes in pixels.
const (
	laneWidth  = 1072.0
	laneGutter = 150.0
	laneHeight = 22.0
	laneGap    = 7.0
)

// lane is one row of the drawing.
type lane struct {
	title string
	bars  []bar
	head  bool // a heading without bars
}

func (tl *timeline) lanes() []lane {
	var out []lane
	add := func(head string, m map[string][]bar) {
		if len(m) > 0 {
			out = append(out, lane{title: head, head: true})
		}
		for _, name := range slices.Sorted(maps.Keys(m)) {
			out = append(out, lane{title: name, bars: m[name]})
		}
	}
	if len(tl.steps) > 0 {
		bars := slices.Clone(tl.steps)
		for i := range bars {
			bars[i].class = "passive"
			if bars[i].err != "" {
				bars[i].class = "bad"
			}
		}
		out = append(out, lane{title: "steps", bars: bars})
	}
	if len(tl.faults) > 0 {
		bars := slices.Clone(tl.faults)
		for i := range bars {
			bars[i].class = "c2"
		}
		out = append(out, lane{title: "faults", bars: bars})
	}
	add("role", tl.roles)
	add("real servers", tl.health)
	if len(tl.gaps) > 0 {
		bars := slices.Clone(tl.gaps)
		for i := range bars {
			bars[i].class = "bad"
		}
		out = append(out, lane{title: "probe silent", bars: bars})
	}
	return out
}

// svg draws the lanes; empty when there is nothing to show.
func (tl *timeline) svg() template.HTML {
	lanes := tl.lanes()
	if len(lanes) == 0 || tl.end <= 0 {
		return ""
	}
	height := 8 + float64(len(lanes))*(laneHeight+laneGap) + 26
	c := newCanvas(laneWidth, height, fmt.Sprintf("Timeline of %.0f seconds with %d faults", tl.end, len(tl.faults)))
	x := scale{0, tl.end, laneGutter, laneWidth - 12}
	bottom := height - 26
	for _, v := range x.ticks(10) {
		c.line("grid", x.at(v), 4, x.at(v), bottom)
		c.text("soft", "middle", x.at(v), bottom+18, human(v)+" s")
	}
	for _, f := range tl.faults {
		c.tip("fault", frame{x.at(f.from), 4, x.at(f.to) - x.at(f.from), bottom - 4}, f.text)
	}
	for i, l := range lanes {
		tl.draw(c, x, l, 8+float64(i)*(laneHeight+laneGap))
	}
	return c.html()
}

func (tl *timeline) draw(c *canvas, x scale, l lane, y float64) {
	if l.head {
		c.text("soft", "start", 0, y+laneHeight-6, l.title)
		return
	}
	c.text("", "end", laneGutter-12, y+15, fit(l.title, laneGutter-12))
	for _, b := range l.bars {
		from, to := x.at(b.from), x.at(b.to)
		c.tip(b.class, frame{from, y, max(to-from-1, 1.5), laneHeight}, fmt.Sprintf("%s (%.2f s to %.2f s)", b.text, b.from, b.to))
		if text := fit(b.text, to-from-10); text != "" && b.class != "none" {
			class := "onbar"
			if b.class == "passive" || b.class == "ok" {
				class = ""
			}
			c.text(class, "start", from+6, y+15, text)
		}
	}
}
