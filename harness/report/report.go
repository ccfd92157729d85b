// Package report turns the directory of a run into things people read: one
// offline HTML page, JUnit XML and a summary for the terminal. It knows nothing
// but the files of the directory (history.jsonl, result.json, topology.json,
// scenario.yaml), so that yesterday's run can be reported again.
package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/harness/topo"
	"github.com/vosbed/vosbed/harness/verdict"
)

// Names of the files of a run directory.
const (
	FileHistory  = "history.jsonl"
	FileResult   = "result.json"
	FileScenario = "scenario.yaml"
	FileTopology = "topology.json" // topo.Drawing
	FileHTML     = "report.html"
	FileJUnit    = "junit.xml"
)

// Result is result.json as the report reads it.
type Result struct {
	Scenario     string           `json:"scenario"`
	Verdict      verdict.Verdict  `json:"verdict"`
	Started      time.Time        `json:"started"`
	DurationMS   int64            `json:"duration_ms"`
	Expectations []verdict.Judged `json:"expectations"`
	Broken       []string         `json:"broken"`
	FailedSteps  []string         `json:"failed_steps"`
	// Metrics is nested as verdict.Metrics writes it.
	Metrics map[string]any `json:"metrics"`
}

// Duration of the run.
func (r Result) Duration() time.Duration { return time.Duration(r.DurationMS) * time.Millisecond }

// Read reads dir's result.json.
func Read(dir string) (Result, error) {
	var r Result
	err := readJSON(filepath.Join(dir, FileResult), &r)
	return r, err
}

// WriteResult writes result.json into dir, indented for people.
func WriteResult(dir string, r verdict.Result) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the result: %w", err)
	}
	return writeFile(filepath.Join(dir, FileResult), append(b, '\n'))
}

// Write makes report.html and junit.xml in dir. It needs result.json and
// history.jsonl; without topology.json or scenario.yaml their parts are left out.
func Write(dir string) error {
	in, err := load(dir)
	if err != nil {
		return err
	}
	var page, junit bytes.Buffer
	if err := in.html(&page); err != nil {
		return err
	}
	if err := JUnit(&junit, in.result); err != nil {
		return err
	}
	return errors.Join(
		writeFile(filepath.Join(dir, FileHTML), page.Bytes()),
		writeFile(filepath.Join(dir, FileJUnit), junit.Bytes()),
	)
}

// input is all that a report is made of.
type input struct {
	dir      string
	result   Result
	history  []observe.Record
	metrics  verdict.Metrics
	topology *topo.Drawing
	scenario string
}

func load(dir string) (*input, error) {
	in := input{dir: dir}
	var err error
	if in.result, err = Read(dir); err != nil {
		return nil, err
	}
	if in.history, err = observe.Load(filepath.Join(dir, FileHistory)); err != nil {
		return nil, err
	}
	in.metrics = verdict.Compute(in.history)
	var d topo.Drawing
	switch err = readJSON(filepath.Join(dir, FileTopology), &d); {
	case err == nil:
		in.topology = &d
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(dir, FileScenario))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the scenario: %w", err)
	}
	in.scenario = string(text)
	return &in, nil
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the run directory: %w", err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

// writeFile replaces a file at once, so that a reader never sees half of it.
func writeFile(path string, b []byte) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, b, 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
