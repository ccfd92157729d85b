package scenario

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/vosbed/vosbed/harness/traffic"
)

// Slow stretches the time of a scenario by a factor, for appliances that are slower than
// a process of this machine: its waits and bounds grow, its loads ask less often. What
// is about time is reported then and not judged (see [TellsTime]); who owns the VIPs,
// which client stays on its server and which session lives is judged as ever. The
// appliance's timers are stretched by [Overlay.Slow].
func (s *Scenario) Slow(factor float64) {
	s.source = nil
	s.Timeout = min(stretch(s.Bound(), factor), traffic.MaxDuration)
	s.Steps = slowSteps(s.Steps, factor)
	s.Loads = maps.Clone(s.Loads)
	for name, l := range s.Loads {
		l.Rate = slowRate(l.Rate, factor)
		l.Timeout = stretch(l.Timeout, factor)
		s.Loads[name] = l
	}
	for _, st := range s.Steps {
		for _, name := range st.Start { // in the background, as long as the run may last
			l := s.Loads[name]
			l.Duration = max(stretch(l.Duration, factor), s.Timeout)
			s.Loads[name] = l
		}
	}
	s.Expect = slices.Clone(s.Expect)
	for i := range s.Expect {
		e := &s.Expect[i]
		e.Within = stretch(e.Within, factor)
		e.Reported = e.Reported || TellsTime(e.Metric)
	}
}

// TellsTime reports whether a metric, or a reference to one, is a time, a rate or a count
// that depends on how long something took: the packets that a switchover lost, the ratio
// of two throughputs.
func TellsTime(metric string) bool {
	name, _, _ := strings.Cut(metric, "{")
	name, _, _ = strings.Cut(name, ".")
	if name == "persistence_ratio" { // how many clients stayed, whenever that was
		return false
	}
	for _, end := range []string{"_ms", "_us", "_ratio", "_lost", "_rate", "_bps", "_pps", "_percent"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}

func stretch(d time.Duration, factor float64) time.Duration {
	return time.Duration(float64(d) * factor)
}

// slowRate divides a rate, but leaves one of a few per second as it is: a client that
// hardly asks is hardly observed.
func slowRate(rate, factor float64) float64 { return max(rate/factor, min(rate, 1)) }

func slowSteps(steps []Step, factor float64) []Step {
	out := slices.Clone(steps)
	for i := range out {
		st := &out[i]
		st.Wait = stretch(st.Wait, factor)
		if st.Until != nil {
			u := *st.Until
			u.Within = stretch(u.Within, factor)
			st.Until = &u
		}
		if st.Admin != nil {
			a := *st.Admin
			a.Deadline = stretch(a.Deadline, factor)
			st.Admin = &a
		}
		if st.Trials != nil {
			t := *st.Trials
			t.Phase, t.Settle = stretch(t.Phase, factor), stretch(t.Settle, factor)
			t.Steps = slowSteps(t.Steps, factor)
			st.Trials = &t
		}
		st.Parallel = slowSteps(st.Parallel, factor)
	}
	return out
}

// Slow returns a configuration of an appliance whose timers of the pair and of the
// health checks are stretched by a factor. Values that are no durations stay: the
// appliance says what is wrong with them.
func (o Overlay) Slow(factor float64) Overlay {
	out := maps.Clone(o)
	if c, ok := out["cluster"].(map[string]any); ok {
		out["cluster"] = slowKeys(c, factor, "heartbeat", "dead", "lease", "init")
	}
	list, ok := out["services"].([]any)
	if !ok {
		return out
	}
	list = slices.Clone(list)
	for i, item := range list {
		service, ok := item.(map[string]any)
		check, has := service["check"].(map[string]any)
		if !ok || !has {
			continue
		}
		service = maps.Clone(service)
		service["check"] = slowKeys(check, factor, "interval", "timeout", "fast")
		list[i] = service
	}
	out["services"] = list
	return out
}

func slowKeys(m map[string]any, factor float64, keys ...string) map[string]any {
	out := maps.Clone(m)
	for _, k := range keys {
		text, _ := out[k].(string)
		if d, err := time.ParseDuration(text); err == nil {
			out[k] = stretch(d, factor).String()
		}
	}
	return out
}
