package mgmt

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/accounts"
	"github.com/vosbed/vosbed/appliance/internal/rates"
	"github.com/vosbed/vosbed/appliance/internal/reports"
	"github.com/vosbed/vosbed/appliance/internal/spreadsheet"
	"github.com/vosbed/vosbed/appliance/lb"
)

// Rates are the rates of services and servers in the latest time.
type Rates interface {
	Rates() map[lb.RealID]rates.Rate
}

// reporting is what was done, as tables.
func (s *Server) reporting() []route {
	const read = accounts.Auditor
	return []route{
		{method: http.MethodGet, path: api.PathReports, handle: getReports, least: read},
		{method: http.MethodGet, path: api.PathReport, handle: s.getReport, least: read},
	}
}

func getReports(w http.ResponseWriter, _ *http.Request) { reply(w, reports.Names()) }

// getReport answers a report, as JSON or as comma separated values.
func (s *Server) getReport(w http.ResponseWriter, r *http.Request) {
	report, err := s.report(r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	switch format := r.URL.Query().Get("format"); {
	case format == "csv", format == "" && strings.HasPrefix(r.Header.Get("Accept"), "text/csv"):
		w.Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
		w.Header().Set("Content-Disposition", `attachment; filename="vosbed-`+report.Name+`.csv"`)
		_ = spreadsheet.Write(w, rowsOf(report))
	case format == "", format == "json":
		reply(w, report)
	default:
		s.refuse(w, r, &formatError{http.StatusBadRequest, fmt.Sprintf("query: format %q: use json or csv", format)})
	}
}

func (s *Server) report(r *http.Request) (api.Report, error) {
	f := reports.Facts{Status: s.opts.Backend.Status.Status()}
	switch name := r.PathValue("name"); name {
	case api.ReportGraphs:
		span, err := spanOf(r)
		if err != nil {
			return api.Report{}, err
		}
		f.Graphs = s.opts.Backend.Graphs.Stats(span)
		return built(name, f)
	case api.ReportPersistence:
		return s.persistence.get(s.opts.Now(), func() (_ api.Report, err error) {
			if f.Entries, err = s.opts.Backend.Table.Persistence(r.Context(), Filter{}); err != nil {
				return api.Report{}, err
			}
			return built(name, f)
		})
	default:
		f.Rates = s.opts.Backend.Rates.Rates()
		return built(name, f)
	}
}

func built(name string, f reports.Facts) (api.Report, error) {
	report, ok := reports.Build(name, f)
	if !ok {
		return api.Report{}, &unknownError{fmt.Sprintf("there is no report %q", name), name, names(reports.Names(), func(n api.ReportName) string { return n.Name })}
	}
	return report, nil
}

// rowsOf are the rows of a report as text, the keys of its columns first: what has no value
// is empty.
func rowsOf(report api.Report) [][]string {
	head := names(report.Columns, func(c api.ReportColumn) string { return c.Key })
	rows := [][]string{head}
	for _, values := range report.Rows {
		row := make([]string, len(head))
		for i, key := range head {
			row[i] = cellOf(values[key])
		}
		rows = append(rows, row)
	}
	return rows
}

func cellOf(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

// listed keeps the report of the persistence table for a moment: to list a large one is
// work, and many may ask at once.
type listed struct {
	mu     sync.Mutex
	at     time.Time
	report api.Report // read only
}

// mostAge is how old it may be.
const mostAge = 2 * time.Second

func (l *listed) get(now time.Time, build func() (api.Report, error)) (api.Report, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if age := now.Sub(l.at); !l.at.IsZero() && age >= 0 && age < mostAge {
		return l.report, nil
	}
	report, err := build()
	if err == nil {
		l.at, l.report = now, report
	}
	return report, err
}
