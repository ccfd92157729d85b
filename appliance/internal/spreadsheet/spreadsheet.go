// Package spreadsheet makes files of comma separated values (RFC 4180) that programs for
// tables open without harm.
package spreadsheet

import (
	"encoding/csv"
	"io"
	"strings"
)

// Write writes rows, the head first. Line ends are CR LF (RFC 4180, 2.1).
func Write(to io.Writer, rows [][]string) error {
	w := csv.NewWriter(to)
	w.UseCRLF = true
	for _, row := range rows {
		safe := make([]string, len(row))
		for i, cell := range row {
			safe[i] = Safe(cell)
		}
		if err := w.Write(safe); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

// Safe keeps a spreadsheet from taking a text for a formula: these characters begin one, in
// some of the programs also after blanks and in full width (OWASP, CSV injection).
func Safe(s string) string {
	first := strings.TrimLeft(s, " \u00a0")
	if first != "" && strings.ContainsAny(string([]rune(first)[:1]), "=+-@\t\r\n＝＋－＠") {
		return "'" + s
	}
	return s
}
