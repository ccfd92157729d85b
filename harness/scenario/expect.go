package scenario

import "time"

// Expectation is one thing a scenario promises. Exactly one of Metric,
// Eventually, Always and Never is set.
type Expectation struct {
	Name  string `yaml:"name"`
	About string `yaml:"about,omitempty"`

	// Metric names one statistic, e.g. "outage_ms{fault=kill}.max"; its value must
	// be within Min and Max (inclusive) or equal Equals.
	Metric string   `yaml:"metric,omitempty"`
	Min    *float64 `yaml:"min,omitempty"`
	Max    *float64 `yaml:"max,omitempty"`
	Equals *float64 `yaml:"equals,omitempty"`
	// AtLeast is the least number of samples; fewer make it broken. It is scaled with
	// the number of trials.
	AtLeast int `yaml:"samples,omitempty"`
	// Floor names a statistic of the noise floor; a limit of time is inconclusive
	// when it exceeds a fifth of Max. With a floor, of a count too, noise around a
	// value that is not within the limit makes it inconclusive: see package verdict.
	Floor string `yaml:"floor,omitempty"`

	// Eventually, Always and Never are expressions over one status record, for
	// example `role == "active"` or `server("Harmonic_Traffic/HT1").state == "down"`.
	Eventually string `yaml:"eventually,omitempty"`
	Always     string `yaml:"always,omitempty"`
	Never      string `yaml:"never,omitempty"`
	// Reported makes it something to report and not to judge: what was observed stands in
	// the result, and the verdict of the run does not depend on it.
	Reported bool `yaml:"reported,omitempty"`
	// Node whose status is meant; empty = any node.
	Node string `yaml:"node,omitempty"`
	// From and To name the events (fault, heal:fault, step, or empty = run) that
	// open and close the window; Within bounds it from From.
	From   string        `yaml:"from,omitempty"`
	To     string        `yaml:"to,omitempty"`
	Within time.Duration `yaml:"within,omitempty"`
	// Witness is an expression that must hold at least once in the run, so that
	// an Always or Never cannot be true of nothing.
	Witness string `yaml:"witness,omitempty"`
}
