package verdict

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/harness/scenario"
)

// state is one status record of a node, decoded.
type state struct {
	t    time.Duration
	at   int
	node string
	body map[string]any
}

func statuses(history []observe.Record) []state {
	var out []state
	for i, r := range history {
		if r.Kind != observe.KindStatus {
			continue
		}
		body, err := observe.Decode[map[string]any](r)
		if err != nil {
			continue // reported by Result.describe
		}
		out = append(out, state{r.T, i, r.Node, body})
	}
	slices.SortStableFunc(out, func(a, b state) int { return int(a.t - b.t) })
	return out
}

// span is a window of time in which a temporal expectation is judged.
type span struct {
	from, to time.Duration
	anchor   int // record that opened it, -1 for the run
}

// temporal judges eventually, always and never. Each occurrence of From opens a
// window of its own, and the expectation must hold in all of them.
func (j *judge) temporal(e scenario.Expectation) Judged {
	text, word := e.Eventually, "eventually"
	switch {
	case e.Always != "":
		text, word = e.Always, "always"
	case e.Never != "":
		text, word = e.Never, "never"
	}
	limit := word + " " + text + windowText(e)
	expression, err := compile(text)
	if err != nil {
		return broken(err.Error()).limit(limit)
	}
	spans := j.spans(e)
	if len(spans) == 0 {
		return broken(fmt.Sprintf("%s did not happen", e.From)).limit(limit)
	}
	if word != "eventually" {
		if out, ok := j.witnessed(e); !ok {
			return out.limit(limit)
		}
	}
	var worst Judged
	for _, s := range spans {
		out := j.inSpan(e, expression, s)
		if worst.Verdict == "" || severity(out.Verdict) > severity(worst.Verdict) {
			worst = out
		}
	}
	if len(spans) > 1 {
		worst.Evidence += fmt.Sprintf(" (%d windows judged)", len(spans))
	}
	return worst.limit(limit)
}

func severity(v Verdict) int { return slices.Index([]Verdict{Pass, Inconclusive, Fail, Broken}, v) }

func windowText(e scenario.Expectation) string {
	var b strings.Builder
	if e.Node != "" {
		b.WriteString(" on " + e.Node)
	}
	if e.Within > 0 {
		b.WriteString(" within " + e.Within.String())
	}
	if e.From != "" {
		b.WriteString(" from " + e.From)
	}
	if e.To != "" {
		b.WriteString(" to " + e.To)
	}
	return b.String()
}

// inSpan judges one window.
func (j *judge) inSpan(e scenario.Expectation, expression *Expr, s span) Judged {
	if e.Eventually != "" {
		return j.eventually(e, expression, s)
	}
	return j.throughout(e, expression, s)
}

// eventually looks for the first status in the window that satisfies.
func (j *judge) eventually(e scenario.Expectation, expression *Expr, s span) Judged {
	seen, last, failed := 0, -1, ""
	for i, st := range j.status {
		if !relevant(e, st) || st.t < s.from || st.t > s.to {
			continue
		}
		seen, last = seen+1, i
		ok, err := expression.Eval(st.node, st.body)
		if err != nil {
			failed = err.Error()
			continue
		}
		if ok {
			return Judged{
				Verdict: Pass, Observed: fmt.Sprintf("true after %s on %s", clock(st.t-s.from), st.node), Records: []int{st.at + 1},
				Evidence: fmt.Sprintf("record %d: status of %s at %s", st.at+1, st.node, clock(st.t)),
			}
		}
	}
	if seen == 0 {
		return broken(fmt.Sprintf("no status of %s between %s and %s", nodeText(e), clock(s.from), clock(s.to)))
	}
	if failed != "" {
		return broken("the expression could not be evaluated: " + failed)
	}
	st := j.status[last]
	return Judged{
		Verdict: Fail, Observed: fmt.Sprintf("not true in %s", clock(s.to-s.from)), Records: []int{st.at + 1},
		Evidence: fmt.Sprintf("%d status records, the last is record %d at %s: %s", seen, st.at+1, clock(st.t), brief(st.body)),
	}
}

// throughout checks every status of the window, and the one each node had when
// it opened.
func (j *judge) throughout(e scenario.Expectation, expression *Expr, s span) Judged {
	want := e.Always != ""
	seen := 0
	for _, st := range j.window(e, s) {
		seen++
		ok, err := expression.Eval(st.node, st.body)
		if err != nil {
			return broken("the expression could not be evaluated: " + err.Error())
		}
		if ok != want {
			return Judged{
				Verdict: Fail, Observed: fmt.Sprintf("%t on %s at %s", ok, st.node, clock(st.t)), Records: []int{st.at + 1},
				Evidence: fmt.Sprintf("record %d: %s", st.at+1, brief(st.body)),
			}
		}
	}
	if seen == 0 {
		return broken(fmt.Sprintf("no status of %s between %s and %s", nodeText(e), clock(s.from), clock(s.to)))
	}
	return Judged{
		Verdict: Pass, Observed: fmt.Sprintf("%t in all %d status records", want, seen),
		Evidence: fmt.Sprintf("status of %s between %s and %s", nodeText(e), clock(s.from), clock(s.to)),
	}
}

// window returns the statuses in force in the span: those within it, and per
// node the last one before it, if it is not older than stale.
func (j *judge) window(e scenario.Expectation, s span) []state {
	const stale = 2 * time.Second
	before := make(map[string]state)
	var out []state
	for _, st := range j.status {
		switch {
		case !relevant(e, st) || st.t > s.to:
		case st.t >= s.from:
			out = append(out, st)
		case s.from-st.t <= stale:
			before[st.node] = st
		}
	}
	for _, st := range before {
		out = append(out, st)
	}
	slices.SortFunc(out, func(a, b state) int { return a.at - b.at })
	return out
}

// witnessed checks that the witness of an always or never held once, so that
// the expectation is not true of nothing.
func (j *judge) witnessed(e scenario.Expectation) (Judged, bool) {
	if e.Witness == "" {
		return Judged{}, true
	}
	expression, err := compile(e.Witness)
	if err != nil {
		return broken("witness: " + err.Error()), false
	}
	for _, st := range j.status {
		if ok, err := expression.Eval(st.node, st.body); err == nil && ok {
			return Judged{}, true
		}
	}
	return broken(fmt.Sprintf("the witness %q never held, so that the expectation would be true of nothing", e.Witness)), false
}

func relevant(e scenario.Expectation, st state) bool { return e.Node == "" || e.Node == st.node }

func nodeText(e scenario.Expectation) string {
	if e.Node == "" {
		return "any node"
	}
	return e.Node
}

// brief says in few words what a status says.
func brief(body map[string]any) string {
	var text strings.Builder
	fmt.Fprintf(&text, "role %v", body["role"])
	services, _ := body["services"].([]any)
	for _, s := range services {
		service, _ := s.(map[string]any)
		servers, _ := service["servers"].([]any)
		for _, r := range servers {
			if server, _ := r.(map[string]any); server != nil {
				fmt.Fprintf(&text, ", %v/%v %v", service["name"], server["name"], server["state"])
			}
		}
	}
	if p, _ := body["problems"].([]any); len(p) > 0 {
		fmt.Fprintf(&text, ", problems %v", p)
	}
	return text.String()
}

// spans finds the windows of an expectation.
func (j *judge) spans(e scenario.Expectation) []span {
	var end time.Duration
	for _, r := range j.facts.history {
		end = max(end, r.T)
	}
	starts := []span{{0, end, -1}}
	if e.From != "" {
		starts = starts[:0]
		for i, r := range j.facts.history {
			if opens(r, e.From) {
				starts = append(starts, span{r.T, end, i})
			}
		}
	}
	for i := range starts {
		s := &starts[i]
		if e.To != "" {
			s.to = j.closing(e.To, s.from, end)
		}
		if e.Within > 0 {
			s.to = min(s.to, s.from+e.Within)
		}
	}
	return starts
}

// closing is the time of the first event of that name after from, or end.
func (j *judge) closing(name string, from, end time.Duration) time.Duration {
	at := end
	for _, r := range j.facts.history {
		if r.T > from && r.T < at && closes(r, name) {
			at = r.T
		}
	}
	return at
}

// opens reports whether a record is the event that opens a window: a fault, an
// event or the beginning of a step by its name, a heal as "heal:name".
func opens(r observe.Record, name string) bool {
	if heal, ok := strings.CutPrefix(name, "heal:"); ok {
		return r.Kind == observe.KindHeal && r.Name == heal
	}
	if r.Name != name {
		return false
	}
	return r.Kind == observe.KindFault || r.Kind == observe.KindEvent || (r.Kind == observe.KindStep && !ended(r))
}

// closes is opens, except that a step closes a window at its end.
func closes(r observe.Record, name string) bool {
	if r.Kind == observe.KindStep {
		return r.Name == name && ended(r)
	}
	return opens(r, name)
}

func ended(r observe.Record) bool {
	s, err := observe.Decode[observe.Span](r)
	return err == nil && s.End
}
