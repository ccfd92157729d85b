package web

import (
	"encoding/csv"
	"slices"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
)

type auditData struct {
	Search  input
	Entries []api.AuditEntry
}

// audit shows who did what.
func (v *visit) audit() error {
	all, err := v.api.Audit(v.ctx())
	if err != nil {
		return err
	}
	text := v.r.URL.Query().Get("text")
	all = slices.DeleteFunc(all, func(e api.AuditEntry) bool { return !matches(e, text) })
	return v.page("audit", "Audit Log", auditData{input{Name: "text", Label: "Text", Value: text}, all})
}

// matches reports whether a text occurs in an entry.
func matches(e api.AuditEntry, text string) bool {
	return strings.Contains(strings.ToLower(strings.Join(cells(e), " ")), strings.ToLower(text))
}

func cells(e api.AuditEntry) []string {
	return []string{e.At.UTC().Format(time.RFC3339), e.User, e.From, e.Action, e.Target, e.Before, e.After, e.Outcome}
}

// auditFile is the same for a spreadsheet.
func (v *visit) auditFile() error {
	all, err := v.api.Audit(v.ctx())
	if err != nil {
		return err
	}
	v.download("text/csv; charset=utf-8", "vosbed-audit.csv")
	w := csv.NewWriter(v.w)
	_ = w.Write([]string{"time", "user", "from", "action", "target", "before", "after", "outcome"})
	for _, e := range all {
		row := cells(e)
		for i := range row {
			row[i] = harmless(row[i])
		}
		_ = w.Write(row)
	}
	w.Flush()
	return ignoreGone(w.Error())
}

// harmless keeps a spreadsheet from taking a text for a formula.
func harmless(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}
