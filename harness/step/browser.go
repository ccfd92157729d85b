package step

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/vosbed/vosbed/harness/browser"
	"github.com/vosbed/vosbed/harness/lab"
	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/harness/scenario"
)

// browser has a real browser do what a person does.
func (r *Runner) browser(ctx context.Context, st scenario.Step, _ int) error {
	b := *st.Browser
	name := st.Name
	if name == "" {
		name = st.Kind()
	}
	shot, err := r.shotFile(name)
	if err != nil {
		return err
	}
	answer, err := r.Lab.Browse(ctx, b.From, browser.Order{
		Base: "https://" + lab.WebUI(r.Lab.Plan().Node(b.To)).String(), Do: b.Do,
		Shot: r.Lab.Path(shot), Always: b.Pictured(),
	})
	if answer.Shot != "" {
		r.Lab.Record(observe.KindShot, b.From, name, observe.Shot{File: shot})
	}
	for _, text := range answer.Notes {
		r.remark(b.From, "browser", text)
	}
	r.exams(b.From, name, answer.Exams)
	if err == nil && answer.Err != "" {
		err = errors.New(answer.Err)
	}
	if err != nil {
		return err
	}
	took := float64(answer.Took.Microseconds()) / 1000
	r.Lab.Record(observe.KindSample, b.From, "", observe.Sample{
		Metric: browser.MetricTime, Labels: map[string]string{"step": name}, Value: took, Unit: "ms",
	})
	return nil
}

// exams records what axe found on each page.
func (r *Runner) exams(node, step string, exams []browser.Exam) {
	for _, e := range exams {
		labels := map[string]string{"page": e.Page, "step": step}
		r.Lab.Record(observe.KindSample, node, "", observe.Sample{Metric: browser.MetricViolations, Labels: labels, Value: float64(len(e.Violations))})
		for _, v := range e.Violations {
			r.remark(node, "axe", fmt.Sprintf("axe: %s (%s) on %s: %s: %s", v.Rule, v.Impact, e.Page, v.Element, v.Help))
		}
	}
}

func (r *Runner) remark(node, name, text string) {
	r.Lab.Record(observe.KindEvent, node, name, observe.Note{Text: text})
	r.Progress.Note(r.Lab.Now(), text)
}

// FolderShots is where pictures of browser steps lie in the run directory.
const FolderShots = "screenshots"

// shotFile names the next picture, relative to the run directory.
func (r *Runner) shotFile(step string) (string, error) {
	if err := os.MkdirAll(r.Lab.Path(FolderShots), 0o755); err != nil {
		return "", fmt.Errorf("make the folder of pictures: %w", err)
	}
	return filepath.Join(FolderShots, fmt.Sprintf("%02d-%s.png", r.shots.Add(1), slug(step))), nil
}

// slug makes a file name of a step's name.
func slug(name string) string {
	const most = 60
	out := strings.Map(func(c rune) rune {
		if c < unicode.MaxASCII && (unicode.IsLetter(c) || unicode.IsDigit(c) || c == '.' || c == '-') {
			return unicode.ToLower(c)
		}
		return '-'
	}, name)
	for strings.Contains(out, "--") {
		out = strings.ReplaceAll(out, "--", "-")
	}
	return strings.Trim(out[:min(len(out), most)], "-.")
}

// password sets an administrator's password over the appliance's own socket, as its
// console does.
func (r *Runner) password(ctx context.Context, st scenario.Step, _ int) error {
	rem, _, err := r.remote(ctx, st.Password.Node)
	if err != nil {
		return err
	}
	return rem.SetPassword(ctx, st.Password.User, st.Password.Value)
}

// browserWords says what a browser step does.
func browserWords(b scenario.BrowserStep) string {
	var parts []string
	for _, a := range b.Do {
		parts = append(parts, a.Words())
	}
	return fmt.Sprintf("on %s, WebUI of %s: %s", b.From, b.To, strings.Join(parts, "; "))
}
