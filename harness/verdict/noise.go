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
	// maxSteal is the share of CPU time in percent that may have been stolen, in
	// all but the worst twentieth of seconds for a limit that was kept, or that
	// processes outside the lab may have taken.
	maxSteal = 20
	// beyondTimes and beyondMS bound what noise explains: a value of so many times
	// the limit, or of so much more in milliseconds, whichever is more, is the
	// product's. That is on a machine which the lab has to itself: where others take
	// CPU time it is as many times slower, but at most slowest times, and how late
	// the lab's own timers were comes on top.
	beyondTimes = 3
	beyondMS    = 500
	slowest     = 10
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

// foreignMetrics is the same of time that others on this machine took.
func foreignMetrics() map[string]float64 { return map[string]float64{observe.MetricForeign: 1} }

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
// empty if nothing does.
func (j *judge) excused(e scenario.Expectation, unit string, p point) string {
	timed := unit == unitMS && e.Max != nil
	if p.at < 0 || (!timed && e.Floor == "") {
		return ""
	}
	if timed && p.v <= *e.Max {
		return "" // too early: noise hastens nothing
	}
	from, to := j.reach(p, timed)
	if timed && p.v > j.facts.explained(*e.Max, from, to) {
		return ""
	}
	bound := float64(leastLate)
	if timed {
		bound = max(bound, *e.Max*noiseShare)
	}
	if why := j.facts.busy(from, to, bound); why != "" || e.Floor == "" {
		return why
	}
	if timed {
		if why := j.floored(e); why != "" {
			return why
		}
	}
	return j.flapped(p)
}

// busy says how the machine was disturbed within a time, empty if it was not: timers
// were late by at least bound milliseconds, or others took CPU time.
func (h *facts) busy(from, to time.Duration, bound float64) string {
	when := fmt.Sprintf("between %s and %s", clock(from), clock(to))
	if late := h.latest(from, to); late >= bound {
		return fmt.Sprintf("%s timers were late by up to %s ms, at least %s", when, number(late), number(bound))
	}
	if percent := h.greatest(stealMetrics(), from, to); percent > maxSteal {
		return stolen(percent, when)
	}
	if percent := h.greatest(foreignMetrics(), from, to); percent > maxSteal {
		return fmt.Sprintf("%s processes outside the lab took up to %s %% of CPU time, above %d %%", when, number(percent), maxSteal)
	}
	return ""
}

// explained is the greatest value in milliseconds that noise within a time explains
// where limit is right.
func (h *facts) explained(limit float64, from, to time.Duration) float64 {
	taken := (h.greatest(stealMetrics(), from, to) + h.greatest(foreignMetrics(), from, to)) / 100
	slower := 1 / max(1-taken, 1.0/slowest)
	return slower*max(limit*beyondTimes, limit+beyondMS) + h.lateness(from, to)
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
			return fmt.Sprintf("at %s a health check took a server out that no fault had hit, when the machine was too busy for it", clock(at))
		}
	}
	return ""
}

// latest is the worst lateness within a time in milliseconds: of the lab's timers
// and of the probes' senders.
func (h *facts) latest(from, to time.Duration) float64 {
	worst := 0.0
	for _, s := range h.sample {
		if s.v.Metric == observe.MetricTimerLate && aboutTime(s.t, aboutTimer(s.v), from, to) {
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

// lateness is how much of a time the lab's timers lost at least, in milliseconds.
func (h *facts) lateness(from, to time.Duration) float64 {
	sum := 0.0
	for _, s := range h.sample {
		if s.v.Metric == observe.MetricTimerLate && s.v.Value >= leastLate {
			within := min(s.t, to) - max(s.t-aboutTimer(s.v), from)
			sum += max(0, min(s.v.Value, milliseconds(within)))
		}
	}
	return sum
}

// aboutTimer is the time before its record that a timer's lateness is about.
func aboutTimer(s observe.Sample) time.Duration {
	return time.Second + time.Duration(s.Value*float64(time.Millisecond))
}

// stoodStill says how much of a time the lab's timers lost, empty if that is no
// more than a share.
func (h *facts) stoodStill(from, to time.Duration) string {
	lost, all := h.lateness(from, to), milliseconds(to-from)
	if all <= 0 || lost < all*noiseShare {
		return ""
	}
	return fmt.Sprintf("the machine stood still for %s of %s ms", number(lost), number(all))
}

// greatest is the greatest of some samples of a second each within a time, each
// times its factor.
func (h *facts) greatest(metrics map[string]float64, from, to time.Duration) float64 {
	worst := 0.0
	for _, s := range h.sample {
		if percent, ok := metrics[s.v.Metric]; ok && aboutTime(s.t, time.Second, from, to) {
			worst = max(worst, s.v.Value*percent)
		}
	}
	return worst
}

// aboutTime reports whether a record about the interval before it touches a time.
func aboutTime(t, interval, from, to time.Duration) bool { return t >= from && t-interval <= to }
