package web

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/spreadsheet"
)

type auditData struct {
	User, Text input
	Entries    []api.AuditEntry
	File       string // the same entries for a spreadsheet
}

// audit shows who did what.
func (v *visit) audit() error {
	all, err := v.auditEntries()
	if err != nil {
		return err
	}
	q := v.r.URL.Query()
	return v.page("audit", "Audit Log", auditData{
		User: input{Name: "user", Label: "User", Value: q.Get("user")}, Text: input{Name: "text", Label: "Text", Value: q.Get("text")},
		Entries: all, File: Root + "audit.csv?" + url.Values{"user": {q.Get("user")}, "text": {q.Get("text")}}.Encode(),
	})
}

// auditEntries are those that the query asks for, newest first.
func (v *visit) auditEntries() ([]api.AuditEntry, error) {
	all, err := v.api.Audit(v.ctx())
	if err != nil {
		return nil, err
	}
	user, text := v.r.URL.Query().Get("user"), v.r.URL.Query().Get("text")
	return slices.DeleteFunc(all, func(e api.AuditEntry) bool {
		return user != "" && e.User != user || !matches(e, text)
	}), nil
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
	all, err := v.auditEntries()
	if err != nil {
		return err
	}
	v.download("text/csv; charset=utf-8", "vosbed-audit.csv")
	rows := [][]string{{"time", "user", "from", "action", "target", "before", "after", "outcome"}}
	for _, e := range all {
		rows = append(rows, cells(e))
	}
	return ignoreGone(spreadsheet.Write(v.w, rows))
}
