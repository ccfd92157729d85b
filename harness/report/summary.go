package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/vosbed/vosbed/harness/verdict"
)

// sign is how a verdict looks: an icon, a word and a colour, so that no one of
// them is needed alone.
type sign struct{ Icon, Word, ANSI, Class string }

func signOf(v verdict.Verdict) sign {
	switch v {
	case verdict.Pass:
		return sign{"✔", "pass", "32", "pass"}
	case verdict.Fail:
		return sign{"✘", "fail", "31", "fail"}
	case verdict.Inconclusive:
		return sign{"≈", "inconclusive", "33", "inconclusive"}
	case verdict.Broken:
		return sign{"⚡", "broken", "35", "broken"}
	case verdict.Reported:
		return sign{"·", "reported", "2", "reported"}
	}
	return sign{"?", string(v), "35", "broken"}
}

// Widths of the summary in characters.
const (
	widestName     = 46
	widestObserved = 26
	widestLine     = 100
)

// Summary writes what a person at a terminal wants to know: each expectation
// with what was observed and its limit, what those are about that do not pass
// and the evidence, and the verdict. Lines are aligned for up to about 100
// columns.
func Summary(w io.Writer, r Result, colour bool) error {
	p := printer{colour: colour}
	name, observed := 0, 0
	for _, e := range r.Expectations {
		name = max(name, utf8.RuneCountInString(e.Name))
		observed = max(observed, utf8.RuneCountInString(e.Observed))
	}
	name, observed = min(name, widestName), min(observed, widestObserved)
	for _, e := range r.Expectations {
		p.expectation(e, name, observed)
	}
	for _, b := range r.Broken {
		p.indented("  "+p.paint("⚡", "35")+" ", b, "")
	}
	s := signOf(r.Verdict)
	fmt.Fprintf(&p.out, "\n  %s %s: %s  %s\n", p.paint(s.Icon, s.ANSI), r.Scenario, p.paint(strings.ToUpper(s.Word), "1;"+s.ANSI), p.paint(counts(r), "2"))
	_, err := w.Write(p.out.Bytes())
	return err
}

// expectation is one line, and what stands below it when it does not pass.
func (p *printer) expectation(e verdict.Judged, name, observed int) {
	s := signOf(e.Verdict)
	fmt.Fprintf(&p.out, "  %s %s  %s  %s\n", p.paint(s.Icon, s.ANSI), pad(e.Name, name), padLeft(e.Observed, observed), p.paint(e.Limit, "2"))
	if e.Verdict == verdict.Pass || e.Verdict == verdict.Reported {
		return
	}
	if e.About != "" {
		p.indented("      ", e.About, "2")
	}
	p.indented("      ", s.Word+": "+e.Evidence, s.ANSI)
}

// indented writes a text in lines that fit; first begins the first of them.
func (p *printer) indented(first, text, ansi string) {
	margin := "      "
	lines := wrap(text, widestLine-len(margin))
	for i, l := range lines {
		if i > 0 {
			first = margin
		}
		fmt.Fprintf(&p.out, "%s%s\n", first, p.paint(l, ansi))
	}
}

// wrap breaks a text at blanks into lines of up to width characters; a longer
// word stands alone.
func wrap(text string, width int) []string {
	var lines []string
	line, n := "", 0
	for word := range strings.SplitSeq(text, " ") {
		k := utf8.RuneCountInString(word)
		if n > 0 && n+1+k > width {
			lines, line, n = append(lines, line), "", 0
		}
		if n > 0 {
			line, n = line+" ", n+1
		}
		line, n = line+word, n+k
	}
	return append(lines, line)
}

// counts says how many expectations have which verdict, and how long it took.
func counts(r Result) string {
	n := map[verdict.Verdict]int{}
	for _, e := range r.Expectations {
		n[e.Verdict]++
	}
	var parts []string
	for _, v := range []verdict.Verdict{verdict.Pass, verdict.Fail, verdict.Broken, verdict.Inconclusive, verdict.Reported} {
		if n[v] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[v], signOf(v).Word))
		}
	}
	parts = append(parts, "in "+r.Duration().Round(100*time.Millisecond).String())
	return strings.Join(parts, ", ")
}

type printer struct {
	out    bytes.Buffer
	colour bool
}

func (p *printer) paint(text, ansi string) string {
	if !p.colour || text == "" || ansi == "" {
		return text
	}
	return "\x1b[" + ansi + "m" + text + "\x1b[0m"
}

// pad fills or cuts a text to a width in characters.
func pad(text string, width int) string {
	n := utf8.RuneCountInString(text)
	if n > width {
		return string([]rune(text)[:width-1]) + "…"
	}
	return text + strings.Repeat(" ", width-n)
}

// padLeft is pad with the text at the right.
func padLeft(text string, width int) string {
	n := utf8.RuneCountInString(text)
	if n > width {
		return pad(text, width)
	}
	return strings.Repeat(" ", width-n) + text
}
