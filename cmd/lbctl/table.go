package main

import (
	"strings"
	"unicode/utf8"
)

// color is an ANSI foreground colour, 0 = the terminal's own.
type color string

const (
	plain  color = ""
	green  color = "32"
	yellow color = "33"
	red    color = "31"
	blue   color = "34"
	bold   color = "1"
)

// cell is one value of a table. The meaning never hangs on the colour alone.
type cell struct {
	text  string
	color color
}

func row(texts ...string) []cell {
	out := make([]cell, len(texts))
	for i, t := range texts {
		out[i] = cell{text: t}
	}
	return out
}

// table aligns columns by what is visible, so colours do not shift them.
type table struct{ rows [][]cell }

func (t table) widths() []int {
	var w []int
	for _, r := range t.rows {
		for i, c := range r {
			if i == len(w) {
				w = append(w, 0)
			}
			w[i] = max(w[i], utf8.RuneCountInString(c.text))
		}
	}
	return w
}

func (t table) text(colored bool) string {
	widths := t.widths()
	var b strings.Builder
	for _, r := range t.rows {
		var line strings.Builder
		for i, c := range r {
			line.WriteString(paint(c.text, c.color, colored))
			if i < len(r)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text)+2))
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}

func paint(text string, c color, colored bool) string {
	if !colored || c == plain || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}
