package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// report is one run of all benchmarks.
type report struct {
	Started  time.Time `json:"started"`
	Took     string    `json:"took"`
	Rounds   int       `json:"rounds"`
	Machine  host      `json:"machine"`
	Note     string    `json:"note,omitempty"`
	Sections []section `json:"sections"`
}

type section struct {
	Title string `json:"title"`
	About string `json:"about"`
	Rows  []row  `json:"rows"`
}

// row is one value.
type row struct {
	Name   string `json:"name"`
	Unit   string `json:"unit"`
	Remark string `json:"remark,omitempty"`
	spread
}

// complete is an error that names what was not measured.
func (r report) complete() error {
	var missing []string
	for _, s := range r.Sections {
		for _, row := range s.Rows {
			if row.N == 0 {
				missing = append(missing, s.Title+": "+row.Name)
			}
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("not measured (run as root, see the messages of go test above): %s", strings.Join(missing, "; "))
	}
	return nil
}

// spread is the distribution of a value over the rounds.
type spread struct {
	N      int     `json:"n"`
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

// describe makes the spread; the zero value when there is nothing.
func describe(v []float64) spread {
	if len(v) == 0 {
		return spread{}
	}
	s := slices.Sorted(slices.Values(v))
	return spread{N: len(s), Min: s[0], Median: (s[(len(s)-1)/2] + s[len(s)/2]) / 2, Max: s[len(s)-1]}
}

// minus takes the floor of each round off its value; rounds without both are
// left out.
func minus(v, floor []float64) []float64 {
	out := make([]float64, 0, len(v))
	for i := range min(len(v), len(floor)) {
		out = append(out, v[i]-floor[i])
	}
	return out
}

// number writes a value with three significant digits, whole from 100 on.
func number(v float64) string {
	if math.Abs(v) >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// cells are a row in words: min, median, max.
func (r row) cells() []string {
	if r.N == 0 {
		return []string{"—", "—", "—"}
	}
	return []string{number(r.Min), number(r.Median), number(r.Max)}
}

// writeText prints the table for a terminal.
func writeText(w io.Writer, r report) error {
	width := 0
	for _, s := range r.Sections {
		for _, row := range s.Rows {
			width = max(width, utf8.RuneCountInString(row.Name)+2)
		}
	}
	var b strings.Builder
	line := func(name string, cells []string, unit, remark string) {
		text := fmt.Sprintf("%-*s  %9s %9s %9s  %-9s  %s", width, name, cells[0], cells[1], cells[2], unit, remark)
		b.WriteString(strings.TrimRight(text, " ") + "\n")
	}
	fmt.Fprintf(&b, "%s, %d rounds\n%s\n", r.Started.Format("2006-01-02 15:04 MST"), r.Rounds, strings.Join(r.Machine.lines(), "\n"))
	for _, s := range r.Sections {
		b.WriteByte('\n')
		line(s.Title, []string{"min", "median", "max"}, "", "")
		for _, row := range s.Rows {
			line("  "+row.Name, row.cells(), row.Unit, row.Remark)
		}
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	return nil
}

// writeMarkdown writes the same as a page.
func writeMarkdown(w io.Writer, r report) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Benchmarks of %s\n\nMade by `make bench` in %s, %d rounds each: minimum, median and maximum of the rounds.\n\n", r.Started.Format("2006-01-02 15:04 MST"), r.Took, r.Rounds)
	for _, l := range r.Machine.lines() {
		fmt.Fprintf(&b, "- %s\n", l)
	}
	if r.Note != "" {
		fmt.Fprintf(&b, "\n%s\n", r.Note)
	}
	for _, s := range r.Sections {
		fmt.Fprintf(&b, "\n## %s\n\n%s.\n\n| | min | median | max | unit | |\n|---|---:|---:|---:|---|---|\n", s.Title, upper(s.About))
		for _, row := range s.Rows {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", row.Name, strings.Join(row.cells(), " | "), row.Unit, row.Remark)
		}
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

// upper begins a sentence.
func upper(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// save writes <date>-<kernel>.md and .json into dir.
func save(dir string, r report) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the folder of the reports: %w", err)
	}
	base := filepath.Join(dir, r.Started.Format(time.DateOnly)+"-"+r.Machine.Kernel)
	var page strings.Builder
	if err := writeMarkdown(&page, r); err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	if err := os.WriteFile(base+".json", append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if err := os.WriteFile(base+".md", []byte(page.String()), 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
