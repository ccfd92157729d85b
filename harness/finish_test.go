package harness

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/harness/report"
	"github.com/vosbed/vosbed/harness/scenario"
	"github.com/vosbed/vosbed/harness/step"
	"github.com/vosbed/vosbed/harness/verdict"
)

// history writes a run directory with the records that add gives.
func history(t *testing.T, add func(func(observe.Kind, string, any))) string {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, report.FileHistory))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := observe.NewWriter(f, 0)
	write := func(kind observe.Kind, name string, v any) {
		r, err := observe.New(time.Second, kind, name, v)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	write(observe.KindRun, "t", observe.Run{Scenario: "t"})
	add(write)
	return dir
}

func TestAFailedStepIsNamedAndDecides(t *testing.T) {
	dir := history(t, func(write func(observe.Kind, string, any)) {
		write(observe.KindStep, "ready", observe.Span{What: "until x"})
		write(observe.KindStep, "ready", observe.Span{What: "until x", End: true, Err: "did not come true within 20s"})
		write(observe.KindEvent, eventStepFailed, observe.Note{Text: "ready: until x: did not come true within 20s"})
		write(observe.KindSample, "", observe.Sample{Metric: step.MetricFailed, Value: 1})
	})
	limit := 1.0
	scn := &scenario.Scenario{Name: "t", Expect: []scenario.Expectation{{Name: "x", Metric: "never.max", Max: &limit}}}
	res, err := Judge(scn, dir)
	if err != nil {
		t.Fatal(err)
	}
	steps := res.Expectations[0]
	if res.Verdict != verdict.Fail || steps.Verdict != verdict.Fail || !strings.Contains(steps.Evidence, "within 20s") {
		t.Errorf("%s; steps %s: %s", res.Verdict, steps.Verdict, steps.Evidence)
	}
	read, err := report.Read(dir)
	if err != nil || len(read.FailedSteps) != 1 || read.FailedSteps[0] != "ready" {
		t.Errorf("failed steps %v, %v", read.FailedSteps, err)
	}
}

func TestAnInterruptedStepHasNotFailed(t *testing.T) {
	dir := history(t, func(write func(observe.Kind, string, any)) {
		write(observe.KindStep, "soak", observe.Span{What: "wait", End: true, Err: "context canceled"})
		write(observe.KindEvent, observe.EventStopped, observe.Note{Text: "stopped early"})
	})
	res, err := Judge(&scenario.Scenario{Name: "t"}, dir)
	if err != nil {
		t.Fatal(err)
	}
	if res.Verdict != verdict.Inconclusive || len(res.FailedSteps) != 0 {
		t.Errorf("%s, failed steps %v", res.Verdict, res.FailedSteps)
	}
}
