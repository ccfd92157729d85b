package scenario

import (
	"cmp"
	"maps"
	"math"
	"regexp"
	"slices"
	"time"

	"github.com/vosbed/vosbed/harness/traffic"
)

// defaultTimeout bounds a run whose scenario says nothing.
const defaultTimeout = 10 * time.Minute

// Bound is the time within which the steps must be done.
func (s *Scenario) Bound() time.Duration { return cmp.Or(s.Timeout, defaultTimeout) }

// SetTrials overrides the count of every trials step. What depends on it follows:
// how many samples are expected and, for more trials, how long the run and the loads
// in its background may last.
func (s *Scenario) SetTrials(n int) {
	s.source = nil
	before := counts(s.Steps)
	s.Steps = trialSteps(s.Steps, func(Trials) int { return n })
	s.rescale(before)
}

// prune leaves only the trials that a mutant asks for.
func (s *Scenario) prune(m Mutant) {
	before := counts(s.Steps)
	s.Steps = trialSteps(s.Steps, func(t Trials) int {
		if m.Only != nil && !slices.Contains(m.Only, t.Name) {
			return 0
		}
		return max(m.Trials, 1)
	})
	s.rescale(before)
}

// trialSteps returns steps with new counts of trials; none means that the step is
// left out.
func trialSteps(steps []Step, count func(Trials) int) []Step {
	var out []Step
	for _, st := range steps {
		if st.Trials != nil {
			t := *st.Trials
			if t.Count = count(t); t.Count == 0 {
				continue
			}
			st.Trials = &t
		}
		out = append(out, st)
	}
	return out
}

// counts are the numbers of trials by name, and of all of them by "".
func counts(steps []Step) map[string]int {
	out := map[string]int{}
	for _, st := range steps {
		if st.Trials != nil {
			out[st.Trials.Name] += st.Trials.Count
			out[""] += st.Trials.Count
		}
	}
	return out
}

// rescale fits what depends on the numbers of trials to new ones.
func (s *Scenario) rescale(before map[string]int) {
	after := counts(s.Steps)
	if before[""] == 0 {
		return
	}
	s.Expect = slices.Clone(s.Expect)
	for i := range s.Expect {
		e := &s.Expect[i]
		e.AtLeast = samples(*e, before, after)
	}
	more := float64(after[""]) / float64(before[""])
	if more <= 1 {
		return
	}
	s.Timeout = min(time.Duration(float64(s.Bound())*more), traffic.MaxDuration)
	s.Loads = maps.Clone(s.Loads)
	for _, st := range s.Steps {
		for _, name := range st.Start {
			l := s.Loads[name]
			l.Duration = max(l.Duration, s.Timeout)
			s.Loads[name] = l
		}
	}
}

// samples is how many an expectation needs: of one kind of fault as many a trial as
// before, of others no more than before.
func samples(e Expectation, before, after map[string]int) int {
	of := faultOf(e.Metric)
	if before[of] == 0 {
		of = ""
	}
	n := int(math.Ceil(float64(e.AtLeast) * float64(after[of]) / float64(before[of])))
	if of == "" {
		return min(n, e.AtLeast)
	}
	return n
}

// faultOf is the label fault of a reference to a metric, "" if it has none.
func faultOf(metric string) string {
	m := regexp.MustCompile(`[{,] *fault="?([^,}"]+)`).FindStringSubmatch(metric)
	if m == nil {
		return ""
	}
	return m[1]
}
