package harness

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/harness/report"
	"github.com/vosbed/vosbed/harness/scenario"
	"github.com/vosbed/vosbed/harness/step"
	"github.com/vosbed/vosbed/harness/verdict"
)

// Expectations are those of the scenario, and that no step failed.
func Expectations(scn *scenario.Scenario) []scenario.Expectation {
	zero := 0.0
	return append([]scenario.Expectation{{
		Name: scenario.Steps, About: "every step of the scenario succeeded",
		Metric: step.MetricFailed + ".max", Max: &zero,
	}}, scn.Expect...)
}

// Judge judges a run directory anew and writes result.json.
func Judge(scn *scenario.Scenario, dir string) (verdict.Result, error) {
	records, err := observe.Load(filepath.Join(dir, report.FileHistory))
	if err != nil {
		return verdict.Result{}, fmt.Errorf("read history: %w", err)
	}
	res := verdict.Judge(Expectations(scn), records)
	if len(res.FailedSteps) > 0 {
		res.Expectations[0].Evidence = failure(records) + "; " + res.Expectations[0].Evidence
	}
	return res, report.WriteResult(dir, res)
}

// failure says which step failed, and why.
func failure(records []observe.Record) string {
	for _, r := range records {
		if r.Kind != observe.KindEvent || r.Name != eventStepFailed {
			continue
		}
		if note, err := observe.Decode[observe.Note](r); err == nil {
			return note.Text
		}
	}
	return "a step failed"
}

func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}

// finish judges, reports and points "latest" here.
func (r *run) finish() (verdict.Result, error) {
	text, err := r.scn.Text()
	if err != nil {
		return verdict.Result{}, err
	}
	if err = os.WriteFile(filepath.Join(r.opt.Dir, report.FileScenario), text, 0o644); err != nil {
		return verdict.Result{}, fmt.Errorf("keep the scenario: %w", err)
	}
	if err = writeJSON(filepath.Join(r.opt.Dir, report.FileTopology), r.plan.Draw()); err != nil {
		return verdict.Result{}, err
	}
	res, err := Judge(r.scn, r.opt.Dir)
	if err != nil {
		return res, err
	}
	if err := report.Write(r.opt.Dir); err != nil {
		return res, err
	}
	if err := r.progress.summary(r.opt.Dir); err != nil {
		return res, err
	}
	if r.opt.Mutant == "" {
		return res, latest(r.opt.Dir)
	}
	return res, nil
}

// latest makes the symbolic link "latest" beside dir point to it.
func latest(dir string) error {
	link := filepath.Join(filepath.Dir(dir), "latest")
	if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("point latest to the run: %w", err)
	}
	if err := os.Symlink(filepath.Base(dir), link); err != nil {
		return fmt.Errorf("point latest to the run: %w", err)
	}
	return nil
}

// labFile tells `vosbed shell` where the namespaces of a run are.
const labFile = "lab.json"

// Standing is the content of lab.json: the descriptors of the nodes' namespaces
// in the engine, and once the front knows it, the host's id of process 1.
type Standing struct {
	Init  int            `json:"init,omitempty"`
	Nodes map[string]int `json:"nodes,omitempty"`
	// Held says that the steps are done and the lab is kept for people.
	Held bool `json:"held,omitempty"`
}

func (r *run) register(held bool) error {
	return writeJSON(filepath.Join(r.opt.Dir, labFile), Standing{Nodes: r.lab.Namespaces(), Held: held})
}

// ReadStanding reads what a run left for `vosbed shell`.
func ReadStanding(dir string) (Standing, error) {
	var s Standing
	b, err := os.ReadFile(filepath.Join(dir, labFile))
	if err != nil {
		return s, fmt.Errorf("find the lab: %w", err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("find the lab: %w", err)
	}
	return s, nil
}
