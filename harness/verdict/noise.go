package verdict

import (
	"fmt"
	"slices"
	"time"

	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/harness/scenario"
)

// Bounds of the noise beyond which a measured limit cannot be judged.
const (
	// noiseShare of the limit is what the noise floor, the lateness of the pacer
	// and that of the lab's timers may take.
	noiseShare = 0.2
	// leastLate is the least lateness in milliseconds that explains anything.
	leastLate = 100
	// maxSteal is the share of CPU time in percent that may have been stolen in
	// all but the worst twentieth of seconds.
	maxSteal = 20
	// beyondTimes and beyondMS bound what noise explains: a value of so many times
	// the limit, or of so much more in milliseconds, whichever is more, is the
	// product's, unless the lab's own timers were late by the rest.
	beyondTimes = 3
	beyondMS    = 500
)

// unitMS is the unit of limits of time.
const unitMS = "ms"

// Reaches of the noise.
const (
	// lateBefore is how long before a value began lateness may have caused it.
	lateBefore = time.Second
	// countReach is the time in which what was counted happened.
	countReach = 3 * time.Second
	// What is measured between flapBefore a false down and flapAfter it may be its
	// doing.
	flapBefore = time.Second
	flapAfter  = 5 * time.Second
)

// noisy says why a limit that was kept cannot be judged on this run, empty if it
// can: the noise floor, the pacer or the CPU passed its bound.
func (j *judge) noisy(e scenario.Expectation, unit string) string {
	if e.Floor == "" || e.Max == nil || unit != unitMS {
		return ""
	}
	if why := j.floored(e); why != "" {
		return why
	}
	return j.disturbed(*e.Max * noiseShare)
}

// floored says why the noise floor forbids a verdict, empty if it does not.
func (j *judge) floored(e scenario.Expectation) string {
	bound := *e.Max * noiseShare
	floor, err := ParseRef(e.Floor)
	if err != nil {
		return err.Error()
	}
	if floor.Stat == "" {
		floor.Stat = "p99"
	}
	f, ok := j.metrics.Find(floor)
	if !ok {
		return fmt.Sprintf("the noise floor %s was not measured", e.Floor)
	}
	if v, err := f.stat(floor.Stat); err != nil || v > bound {
		return fmt.Sprintf("the noise floor %s is %s, above a fifth of the limit (%s)", e.Floor, number(v), number(bound))
	}
	return ""
}

// disturbed checks the pacer and the CPU over the whole run; bound is in
// milliseconds.
func (j *judge) disturbed(bound float64) string {
	late, ok := j.metrics.Find(Ref{Metric: observe.MetricPacerLate})
	if ok && late.P99 > bound*1000 {
		return fmt.Sprintf("the probe's sender was late by %s us (p99), above a fifth of the limit", number(late.P99))
	}
	for metric, percent := range stealMetrics() {
		if s, ok := j.metrics.Find(Ref{Metric: metric}); ok && s.P95*percent > maxSteal {
			return stolen(s.P95*percent, "p95")
		}
	}
	return ""
}

// stealMetrics returns the samples of stolen time, and what makes them percent.
func stealMetrics() map[string]float64 {
	return map[string]float64{observe.MetricSteal: 1, observe.MetricStealRatio: 100}
}

func stolen(percent float64, what string) string {
	return fmt.Sprintf("%s %% of CPU time was stolen (%s), above %d %%", number(percent), what, maxSteal)
}

// excuse says why a limit that was not kept proves nothing, empty if it proves
// something. Every value beyond the limit needs an excuse of its own: the first
// without one becomes the evidence.
func (j *judge) excuse(e scenario.Expectation, ref Ref, unit string, out *Judged) string {
	why := ""
	for _, p := range j.beyond(e, ref, out) {
		if why = j.excused(e, unit, p); why == "" {
			if p.at >= 0 && !slices.Contains(out.Records, p.at+1) {
				out.Evidence += fmt.Sprintf("; %s was observed when the machine was quiet", Quantity(p.v, unit))
				out.decidedBy(p.at)
			}
			return ""
		}
	}
	return why
}

// beyond returns the values that break the limit: each of those above Max, or for
// other limits and statistics the one that decided.
func (j *judge) beyond(e scenario.Expectation, ref Ref, out *Judged) []point {
	var over []point
	if e.Max != nil && (ref.Stat == "" || ref.Stat == "max") {
		for _, p := range j.metrics.points(ref) {
			if !(p.v <= *e.Max) {
				over = append(over, p)
			}
		}
	}
	if len(over) > 0 {
		return over
	}
	decided := point{at: -1}
	for _, n := range out.Records {
		decided.at = n - 1
	}
	for _, p := range j.metrics.points(ref) {
		if p.at == decided.at {
			decided.v = max(decided.v, p.v)
		}
	}
	return []point{decided}
}

// excused says what of the machine's noise explains a value beyond its limit,
// empty if nothing does. Without a floor only the lateness of timers counts.
func (j *judge) excused(e scenario.Expectation, unit string, p point) string {
	timed := unit == unitMS && e.Max != nil
	if p.at < 0 || (!timed && e.Floor == "") {
		return ""
	}
	if timed && p.v <= *e.Max {
		return "" // too early: noise hastens nothing
	}
	from, to := j.reach(p, timed)
	if timed && p.v > max(*e.Max*beyondTimes, *e.Max+beyondMS)+j.facts.lateness(from, to) {
		return "" // beyond what noise explains
	}
	bound := float64(leastLate)
	if timed {
		bound = max(bound, *e.Max*noiseShare)
	}
	if late := j.facts.latest(from, to); late >= bound {
		return fmt.Sprintf("between %s and %s timers were late by up to %s ms, at least %s", clock(from), clock(to), number(late), number(bound))
	}
	if e.Floor == "" {
		return ""
	}
	if timed {
		if why := j.floored(e); why != "" {
			return why
		}
	}
	if percent := j.facts.stolen(from, to); percent > maxSteal {
		return stolen(percent, fmt.Sprintf("between %s and %s", clock(from), clock(to)))
	}
	return j.flapped(p)
}

// reach is the time in which noise may have caused a value: until its record, and
// from a second before it began.
func (j *judge) reach(p point, timed bool) (from, to time.Duration) {
	to = j.facts.history[p.at].T
	length := countReach
	if timed {
		length = time.Duration(p.v * float64(time.Millisecond))
	}
	return max(0, to-length-lateBefore), to
}

// flapped says why a value that is not within its limit proves nothing, empty if
// it does: the machine was so late that a health check took a server out shortly
// before the record that decided.
func (j *judge) flapped(p point) string {
	t := j.facts.history[p.at].T
	for _, at := range j.facts.flaps {
		if t >= at-flapBefore && t <= at+flapAfter {
			return fmt.Sprintf("at %s a health check took a server out that no fault had hit, when the machine's timers were more than %d ms late", clock(at), noisyTimer)
		}
	}
	return ""
}

// latest is the worst lateness within a time in milliseconds: of the lab's timers
// and of the probes' senders.
func (h *facts) latest(from, to time.Duration) float64 {
	worst := 0.0
	for _, s := range h.sample {
		if s.v.Metric == observe.MetricTimerLate && aboutTime(s.t, time.Second, from, to) {
			worst = max(worst, s.v.Value)
		}
	}
	for _, s := range h.series {
		if isProbe(s.v) && aboutTime(s.t, s.v.Interval, from, to) {
			worst = max(worst, s.v.Values[observe.ValueLate]/1000)
		}
	}
	return worst
}

// lateness is how much time the lab's timers lost within a time, in milliseconds.
func (h *facts) lateness(from, to time.Duration) float64 {
	sum := 0.0
	for _, s := range h.sample {
		if s.v.Metric == observe.MetricTimerLate && s.v.Value >= leastLate && aboutTime(s.t, time.Second, from, to) {
			sum += s.v.Value
		}
	}
	return sum
}

// stolen is the greatest share of CPU time stolen in a second within a time, in
// percent.
func (h *facts) stolen(from, to time.Duration) float64 {
	worst := 0.0
	for _, s := range h.sample {
		if percent, ok := stealMetrics()[s.v.Metric]; ok && aboutTime(s.t, time.Second, from, to) {
			worst = max(worst, s.v.Value*percent)
		}
	}
	return worst
}

// aboutTime reports whether a record about the interval before it touches a time.
func aboutTime(t, interval, from, to time.Duration) bool { return t >= from && t-interval <= to }
