package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/harness/lab"
	"github.com/vosbed/vosbed/harness/lab/jail"
	"github.com/vosbed/vosbed/harness/report"
	"github.com/vosbed/vosbed/harness/scenario"
	"github.com/vosbed/vosbed/harness/verdict"
)

func TestSlipsAreToldFromWhatCannotBeDone(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{
		{scenario.ErrUnknown, exitMistake},
		{usage{errors.New("unknown flag: --x")}, exitMistake},
		{fmt.Errorf("run: %w", usage{errors.New("no number")}), exitMistake},
		{errors.New(`unknown command "rnu" for "vosbed"`), exitMistake},
		{jail.ErrNotPermitted, exitCannot},
		{fmt.Errorf("%w: no tcx", lab.ErrCannot), exitCannot},
		{errors.New("network service: cable of HT1: no buffer space available"), exitCannot},
		{fmt.Errorf("%w: it was killed", errLab), exitCannot},
	} {
		var text strings.Builder
		if got := (&app{stderr: &text}).explain(tt.err); got != tt.want || !strings.HasPrefix(text.String(), "vosbed: ") {
			t.Errorf("%v: status %d, want %d; %q", tt.err, got, tt.want, text.String())
		}
	}
}

func TestAMutantIsNoticedByWhatItNames(t *testing.T) {
	failed := report.Result{
		FailedSteps:  []string{"ready"},
		Expectations: []verdict.Judged{{Name: "steps", Verdict: verdict.Fail}, {Name: "kill", Verdict: verdict.Broken}, {Name: "cut", Verdict: verdict.Fail}},
	}
	broken := failed
	broken.Broken = []string{"lab"}
	for _, tt := range []struct {
		mustFail string
		res      report.Result
		want     bool
	}{
		{"steps: ready", failed, true},
		{"steps: promoted", failed, false},
		{"kill", failed, false},
		{"cut", failed, true},
		{"freeze", failed, false},
		{"cut", broken, false},
		{"steps: ready", broken, false},
	} {
		got, why := noticed(tt.res, scenario.Mutant{MustFail: tt.mustFail})
		if got != tt.want || why == "" {
			t.Errorf("%s: noticed %t (%s), want %t", tt.mustFail, got, why, tt.want)
		}
	}
}
