package accounts

import (
	"strconv"
	"strings"
	"unicode"
)

// longestQuote is how many characters of a wrong word an error repeats.
const longestQuote = 40

// clean makes a stranger's text fit for a line of a list or a log: at most most
// characters, the last one … if it was longer, and nothing that moves a cursor,
// breaks a line or turns the reading direction. It reads no more than it needs.
func clean(text string, most int) string {
	var (
		b    strings.Builder
		n    int
		last int // where the last character begins
	)
	for i, r := range text {
		if i > most*16 { // mostly characters that are dropped
			return b.String()
		}
		if r == '\n' || r == '\t' {
			r = ' '
		}
		if !unicode.IsGraphic(r) { // controls, formats, separators of lines
			continue
		}
		if n == most {
			return b.String()[:last] + "…"
		}
		last = b.Len()
		b.WriteRune(r)
		n++
	}
	return b.String()
}

func quote(word string) string { return strconv.Quote(clean(word, longestQuote)) }
