package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/vosbed/vosbed/harness/verdict"
)

// The JUnit format as CI systems read it.
type (
	junitSuite struct {
		XMLName   xml.Name    `xml:"testsuite"`
		Name      string      `xml:"name,attr"`
		Tests     int         `xml:"tests,attr"`
		Failures  int         `xml:"failures,attr"`
		Errors    int         `xml:"errors,attr"`
		Skipped   int         `xml:"skipped,attr"`
		Time      string      `xml:"time,attr"`
		Timestamp string      `xml:"timestamp,attr"`
		Cases     []junitCase `xml:"testcase"`
		SystemErr string      `xml:"system-err,omitempty"`
	}
	junitCase struct {
		Class   string     `xml:"classname,attr"`
		Name    string     `xml:"name,attr"`
		Failure *junitNote `xml:"failure,omitempty"`
		Error   *junitNote `xml:"error,omitempty"`
		Skipped *junitNote `xml:"skipped,omitempty"`
		Out     string     `xml:"system-out,omitempty"`
	}
	junitNote struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// JUnit writes the expectations as test cases: fail is a failure, broken an
// error, inconclusive and reported are skipped with the reason.
func JUnit(w io.Writer, r Result) error {
	s := junitSuite{
		Name: r.Scenario, Tests: len(r.Expectations), Timestamp: r.Started.UTC().Format(time.RFC3339),
		Time: strconv.FormatFloat(r.Duration().Seconds(), 'f', 3, 64),
	}
	for _, e := range r.Expectations {
		s.add(e)
	}
	if len(r.Broken) > 0 {
		s.Tests++
		s.Errors++
		note := junitNote{Message: "the lab failed: the run says nothing about the product"}
		for _, b := range r.Broken {
			note.Text += b + "\n"
		}
		s.Cases = append(s.Cases, junitCase{Class: r.Scenario, Name: "lab", Error: &note})
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return fmt.Errorf("write JUnit: %w", err)
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(s); err != nil {
		return fmt.Errorf("write JUnit: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (s *junitSuite) add(e verdict.Judged) {
	c := junitCase{Class: s.Name, Name: e.Name}
	note := &junitNote{Message: fmt.Sprintf("observed %s, limit %s", e.Observed, e.Limit), Text: e.Evidence}
	switch e.Verdict {
	case verdict.Pass:
		c.Out = note.Message + "; " + e.Evidence
	case verdict.Fail:
		c.Failure = note
		s.Failures++
	case verdict.Inconclusive, verdict.Reported:
		c.Skipped = note
		s.Skipped++
	case verdict.Broken:
		c.Error = note
		s.Errors++
	}
	s.Cases = append(s.Cases, c)
}
