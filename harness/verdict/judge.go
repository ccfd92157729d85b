package verdict

import (
	"fmt"
	"slices"
	"time"

	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/harness/scenario"
)

// Verdict is the outcome of an expectation or of a run.
type Verdict string

// The verdicts, see the package comment.
const (
	Pass         Verdict = "pass"
	Fail         Verdict = "fail"
	Broken       Verdict = "broken"
	Inconclusive Verdict = "inconclusive"
	Reported     Verdict = "reported"
)

// Judged is the outcome of one expectation.
type Judged struct {
	Name    string  `json:"name"`
	About   string  `json:"about,omitempty"`
	Verdict Verdict `json:"verdict"`
	// Observed and Limit are what was seen and what was asked, in words.
	Observed string `json:"observed"`
	Limit    string `json:"limit"`
	// Evidence quotes what decided; Records are the lines of history.jsonl it
	// comes from, counted from 1.
	Evidence string `json:"evidence"`
	// Metric is the reference of an expectation about a metric, Max its upper
	// limit if it has one.
	Metric  string   `json:"metric,omitempty"`
	Max     *float64 `json:"max,omitempty"`
	Records []int    `json:"records,omitempty"`
}

// Result is result.json.
type Result struct {
	Scenario     string    `json:"scenario"`
	Verdict      Verdict   `json:"verdict"`
	Started      time.Time `json:"started"`
	DurationMS   int64     `json:"duration_ms"`
	Expectations []Judged  `json:"expectations"`
	// Broken says why the lab is not to be trusted, if so.
	Broken []string `json:"broken,omitempty"`
	// FailedSteps names the steps that failed, inner ones first.
	FailedSteps []string `json:"failed_steps,omitempty"`
	Metrics     Metrics  `json:"metrics"`

	// cut says why the run is not whole, although nobody is to blame: who ran it
	// stopped it, or the machine stood still.
	cut string
}

// Judge holds the expectations against the history.
func Judge(expect []scenario.Expectation, history []observe.Record) Result {
	metrics, facts := compute(history)
	r := Result{Metrics: metrics, Expectations: make([]Judged, 0, len(expect))}
	r.describe(history)
	r.cutShort(facts)
	j := judge{metrics: r.Metrics, facts: facts, status: statuses(history), cut: r.cut}
	for _, e := range expect {
		r.Expectations = append(r.Expectations, j.one(e))
	}
	if len(expect) == 0 {
		r.Broken = append(r.Broken, "the scenario expects nothing")
	}
	r.Verdict = r.overall()
	return r
}

// describe fills in what the history says about the run as a whole.
func (r *Result) describe(history []observe.Record) {
	begun := false
	for i, rec := range history {
		r.DurationMS = max(r.DurationMS, rec.T.Milliseconds())
		switch rec.Kind {
		case observe.KindRun:
			if run, err := observe.Decode[observe.Run](rec); err == nil {
				r.Scenario, r.Started, begun = run.Scenario, run.Started, true
			}
		case observe.KindBroken:
			note, err := observe.Decode[observe.Note](rec)
			if err != nil {
				note.Text = "a record could not be written"
			}
			r.Broken = append(r.Broken, fmt.Sprintf("%s at %s: %s", rec.Name, clock(rec.T), note.Text))
		case observe.KindStep:
			if span, err := observe.Decode[observe.Span](rec); err == nil && span.Err != "" {
				r.FailedSteps = append(r.FailedSteps, rec.Name)
			}
		case observe.KindEvent, observe.KindShot:
		case observe.KindFault, observe.KindHeal, observe.KindStatus,
			observe.KindGap, observe.KindSeries, observe.KindSample, observe.KindFrame:
			if !readable(rec) {
				r.Broken = append(r.Broken, fmt.Sprintf("record %d (%s) cannot be read", i+1, rec.Kind))
			}
		}
	}
	if !begun {
		r.Broken = append(r.Broken, "the history has no record of its run")
	}
}

// readable reports whether a record has a value of its kind.
func readable(r observe.Record) bool {
	var err error
	switch r.Kind {
	case observe.KindFault, observe.KindHeal:
		_, err = observe.Decode[observe.Fault](r)
	case observe.KindGap:
		_, err = observe.Decode[observe.Gap](r)
	case observe.KindSeries:
		_, err = observe.Decode[observe.Series](r)
	case observe.KindSample:
		_, err = observe.Decode[observe.Sample](r)
	case observe.KindFrame:
		_, err = observe.Decode[observe.Frame](r)
	case observe.KindStatus:
		_, err = observe.Decode[map[string]any](r)
	case observe.KindRun, observe.KindStep, observe.KindEvent, observe.KindShot, observe.KindBroken:
	}
	return err == nil
}

// overall is broken when the lab was, or else the first of fail, broken,
// inconclusive, pass that occurs.
func (r *Result) overall() Verdict {
	if len(r.Broken) > 0 && r.cut == "" {
		return Broken
	}
	for _, v := range []Verdict{Fail, Broken, Inconclusive} {
		if slices.ContainsFunc(r.Expectations, func(j Judged) bool { return j.Verdict == v }) {
			return v
		}
	}
	if len(r.Broken) > 0 {
		return Inconclusive
	}
	return Pass
}

// judge is what expectations are held against.
type judge struct {
	metrics Metrics
	facts   *facts
	status  []state
	cut     string // see Result
}

// one judges one expectation.
func (j *judge) one(e scenario.Expectation) Judged {
	var out Judged
	switch {
	case e.Metric != "":
		out = j.metric(e)
	case e.Eventually != "" || e.Always != "" || e.Never != "":
		out = j.temporal(e)
	default:
		out = broken("the expectation names neither a metric nor eventually, always or never")
	}
	out.Name, out.About = e.Name, e.About
	if e.Reported {
		out.Verdict = Reported
		return out
	}
	if j.cut != "" && (out.Verdict == Broken || out.Verdict == Fail && unfinished(e)) {
		out.Verdict = Inconclusive
		out.Evidence += "; " + j.cut
	}
	return out
}

// unfinished reports whether the rest of a run could have met what was not met in
// its beginning, or is about its end itself.
func unfinished(e scenario.Expectation) bool {
	return e.Name == scenario.Steps || e.Min != nil || e.Equals != nil || e.Eventually != ""
}

// broken is an outcome without anything to judge by.
func broken(why string) Judged {
	return Judged{Verdict: Broken, Observed: "nothing", Evidence: why}
}

// metric judges an expectation about a statistic.
func (j *judge) metric(e scenario.Expectation) Judged {
	limit := limitText(e, "")
	ref, err := ParseRef(e.Metric)
	if err != nil {
		return broken(err.Error()).limit(limit)
	}
	if e.Min == nil && e.Max == nil && e.Equals == nil {
		return broken("the expectation has no min, max or equals").limit(limit)
	}
	s, ok := j.metrics.Find(ref)
	if !ok {
		return broken(fmt.Sprintf("no samples of %s", e.Metric)).limit(limit)
	}
	if s.N < max(e.AtLeast, 1) {
		return broken(fmt.Sprintf("%d samples of %s, at least %d are needed", s.N, e.Metric, e.AtLeast)).limit(limit)
	}
	out := within(e, ref, s)
	out.Limit, out.Metric, out.Max = limitText(e, s.Unit), e.Metric, e.Max
	why := ""
	switch out.Verdict {
	case Pass:
		why = j.noisy(e, s.Unit)
	case Fail:
		why = j.excuse(e, ref, s.Unit, &out)
	case Broken, Inconclusive, Reported:
	}
	if why != "" {
		out.Verdict = Inconclusive
		out.Evidence += "; " + why
	}
	return out
}

// limit sets the limit of an outcome.
func (o Judged) limit(text string) Judged {
	o.Limit = text
	return o
}

// within compares a statistic with the limits. Without a statistic every value
// must be within, except for a metric that is one number by nature.
func within(e scenario.Expectation, ref Ref, s Stats) Judged {
	low, high, at := s.Min, s.Max, s.MaxAt
	stat := ref.Stat
	if stat == "" && s.Plain {
		stat = "median"
	}
	if stat != "" {
		v, err := s.stat(stat)
		if err != nil {
			return broken(err.Error())
		}
		low, high = v, v
	}
	out := Judged{Verdict: Pass, Observed: observedText(low, high, s.Unit)}
	switch {
	case e.Equals != nil && (low != *e.Equals || high != *e.Equals):
		out.Verdict = Fail
		if low != *e.Equals {
			at = s.MinAt
		}
	case e.Max != nil && !(high <= *e.Max):
		out.Verdict = Fail
	case e.Min != nil && !(low >= *e.Min):
		out.Verdict, at = Fail, s.MinAt
	case e.Max == nil && e.Equals == nil:
		at = s.MinAt
	}
	out.Evidence = fmt.Sprintf("%s: n %d, min %s, median %s, p99 %s, max %s", e.Metric, s.N, number(s.Min), number(s.Median), number(s.P99), number(s.Max))
	out.decidedBy(at)
	return out
}

// decidedBy notes the record that decided, by its index; -1 = none.
func (o *Judged) decidedBy(at int) {
	if at >= 0 {
		o.Records = []int{at + 1}
		o.Evidence += fmt.Sprintf("; decided by record %d", at+1)
	}
}

func observedText(low, high float64, unit string) string {
	if low == high {
		return Quantity(high, unit)
	}
	from := Quantity(low, unit)
	if unit != "B" {
		from = Quantity(low, "")
	}
	return from + " to " + Quantity(high, unit)
}

func limitText(e scenario.Expectation, unit string) string {
	switch {
	case e.Equals != nil:
		return "= " + Quantity(*e.Equals, unit)
	case e.Min != nil && e.Max != nil:
		return observedText(*e.Min, *e.Max, unit)
	case e.Min != nil:
		return "≥ " + Quantity(*e.Min, unit)
	case e.Max != nil:
		return "≤ " + Quantity(*e.Max, unit)
	}
	return "none"
}

// clock writes a time of the run for people.
func clock(t time.Duration) string { return fmt.Sprintf("%.3fs", t.Seconds()) }
