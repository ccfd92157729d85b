package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/harness/verdict"
)

//go:embed report.tmpl
var pageText string

//go:embed report.css
var styleText string

// page is what the template shows.
type page struct {
	Result    Result
	Sign      sign
	Title     string
	Lead      string
	Style     template.CSS
	Facts     []pair
	Rows      []row
	Topology  template.HTML
	Lanes     template.HTML
	LaneTable []pair
	Plots     []plot
	Tiles     []pair
	Groups    []group
	Steps     []step
	Pictured  bool // some step has a picture
	Scenario  string
}

// pair is a name and a value in words.
type pair struct{ Name, Value string }

// row is one expectation.
type row struct {
	verdict.Judged
	Sign sign
}

// plot is a drawing with its twin in text.
type plot struct {
	Title, Note string
	SVG         template.HTML
	Wide        bool // over the whole width, the numbers shown beside it
	Head        []string
	Body        [][]string
}

// step is one step of the scenario.
type step struct {
	Name, What, From, Took, Err string
	// Shot is the file of its picture within the run directory, Picture a smaller copy
	// as a data URI.
	Shot    string
	Picture template.URL
}

// html writes the page.
func (in *input) html(w io.Writer) error {
	t, err := template.New("report").Parse(pageText)
	if err != nil {
		return fmt.Errorf("parse the page's template: %w", err)
	}
	if err := t.Execute(w, in.page()); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

func (in *input) page() page {
	r := in.result
	tl := newTimeline(in.history)
	p := page{
		Result: r, Sign: signOf(r.Verdict), Title: r.Scenario, Lead: lead(r), Style: template.CSS(styleText),
		Facts: in.facts(), Steps: tl.stepList(), Scenario: in.scenario,
		Lanes: tl.svg(), LaneTable: tl.table(), Plots: plots(in, tl),
	}
	p.Pictured = pictures(in.dir, p.Steps)
	p.Tiles, p.Groups = groups(in.metrics)
	for _, e := range r.Expectations {
		p.Rows = append(p.Rows, row{e, signOf(e.Verdict)})
	}
	if in.topology != nil {
		p.Topology = drawTopology(*in.topology)
	}
	return p
}

// lead is the run in one sentence.
func lead(r Result) string {
	n := map[verdict.Verdict]int{}
	for _, e := range r.Expectations {
		n[e.Verdict]++
	}
	total := len(r.Expectations)
	switch r.Verdict {
	case verdict.Pass:
		if n[verdict.Reported] > 0 {
			return fmt.Sprintf("All %d expectations that are judged hold; %d more are reported.", n[verdict.Pass], n[verdict.Reported])
		}
		return fmt.Sprintf("All %d expectations hold.", total)
	case verdict.Fail:
		return fmt.Sprintf("%d of %d expectations failed.", n[verdict.Fail], total)
	case verdict.Inconclusive:
		return fmt.Sprintf("%d of %d expectations cannot be judged: this machine was too noisy.", n[verdict.Inconclusive], total)
	case verdict.Broken:
		if len(r.Broken) > 0 {
			return "The lab failed. This run says nothing about the product."
		}
		return fmt.Sprintf("%d of %d expectations had nothing to judge by.", n[verdict.Broken], total)
	case verdict.Reported: // of single expectations only
	}
	return ""
}

// facts are the run and its environment.
func (in *input) facts() []pair {
	facts := []pair{
		{"started", in.result.Started.Format("2006-01-02 15:04:05 MST")},
		{"took", in.result.Duration().Round(100 * time.Millisecond).String()},
	}
	for _, r := range in.history {
		if r.Kind != observe.KindRun {
			continue
		}
		run, err := observe.Decode[observe.Run](r)
		if err != nil {
			break
		}
		facts = append(facts,
			pair{"kernel", run.Kernel}, pair{"processors", strconv.Itoa(run.CPUs)},
			pair{"seed", strconv.FormatUint(run.Seed, 10)}, pair{"version", run.Version})
		break
	}
	facts = append(facts, pair{"records", strconv.Itoa(len(in.history))})
	return slices.DeleteFunc(facts, func(p pair) bool { return p.Value == "" })
}

// human writes a number with at most four significant digits and thin spaces
// between thousands.
func human(v float64) string {
	if v > -10000 && v < 10000 {
		return strconv.FormatFloat(v, 'g', 4, 64)
	}
	text := strconv.FormatFloat(v, 'f', 0, 64)
	var b strings.Builder
	for i, c := range text {
		if i > 0 && (len(text)-i)%3 == 0 && text[i-1] != '-' {
			b.WriteRune('\u202f')
		}
		b.WriteRune(c)
	}
	return b.String()
}
