package web

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
)

const (
	groupReports = "Reports"
	reportsPath  = Root + "reports/"
	// mostRows is how many rows of a report a page shows; its files have all.
	mostRows = 1500
)

// reportScreens is the group Reports of the menu.
func reportScreens() []screen {
	var out []screen
	for _, r := range []api.ReportName{
		{Name: api.ReportLayer4, Title: "Layer 4 Status"},
		{Name: api.ReportLayer4Rate, Title: "Layer 4 Traffic Rate"},
		{Name: api.ReportLayer7, Title: "Layer 7 Status"},
		{Name: api.ReportPersistence, Title: "Persistence"},
	} {
		out = append(out, screen{screenOf(r.Name), reportsPath + r.Name, groupReports, r.Title, api.RoleAuditor, func(v *visit) error { return v.report(r) }})
	}
	return append(out, screen{api.ReportGraphs, graphsPath, groupReports, "Graphs", api.RoleAuditor, (*visit).graphsPage})
}

// screenOf is the name of the screen of a report.
func screenOf(report string) string { return "report-" + report }

// reportRoutes are the reports as files.
func reportRoutes() []route {
	return []route{{method: http.MethodGet, path: reportsPath + "files/{file}", serve: (*visit).reportFile}}
}

type reportData struct {
	Name      string // of the screen
	At        time.Time
	Notes     []string
	Columns   []api.ReportColumn
	Rows      []reportRow
	More      int // rows that are not shown
	CSV, JSON string
}

func (d reportData) under() string { return d.Name }

// reportRow is a row with its cells in words. VIP marks one of a virtual service.
type reportRow struct {
	VIP   bool
	Cells []reportCell
}

type reportCell struct {
	Text         string
	Number, Head bool
	Mark         badge // of a state, zero = none
}

// report shows one of the tables.
func (v *visit) report(name api.ReportName) error {
	r, err := v.api.Report(v.ctx(), name.Name, 0)
	if err != nil {
		return err
	}
	d := reportData{
		Name: screenOf(name.Name), At: r.At, Notes: r.Notes, Columns: r.Columns, More: max(0, len(r.Rows)-mostRows),
		CSV: fileOf(name.Name, "csv", ""), JSON: fileOf(name.Name, "json", ""),
	}
	for _, row := range r.Rows[:min(len(r.Rows), mostRows)] {
		d.Rows = append(d.Rows, reportRowOf(r.Columns, row))
	}
	return v.page("report", name.Title, d)
}

// fileOf is where a report is as a file.
func fileOf(name, ending, span string) string {
	path := reportsPath + "files/" + name + "." + ending
	if span != "" {
		path += "?" + url.Values{"range": {span}}.Encode()
	}
	return path
}

func reportRowOf(columns []api.ReportColumn, row map[string]any) reportRow {
	out := reportRow{VIP: row["server"] == nil}
	for _, c := range columns {
		head := c.Key == "server" && !out.VIP || c.Key == "service" && out.VIP
		out.Cells = append(out.Cells, reportCell{cellText(c, row[c.Key]), c.Number, head, markOf(c.Key, row[c.Key])})
	}
	return out
}

// markOf is the icon and the colour of a state.
func markOf(key string, value any) badge {
	word, _ := value.(string)
	var serving, all int
	switch {
	case word == "" || key != "state" && key != "check":
		return badge{}
	case key == "check" && word == "passed":
		return badge{"good", "✔", word}
	case key == "check" && word == "failed":
		return badge{"bad", "✖", word}
	case key == "check":
		return badge{"info", "◐", word}
	}
	if n, _ := fmt.Sscanf(word, "%d of %d serving", &serving, &all); n < 2 {
		b := stateBadge(word)
		return badge{b.Kind, b.Icon, word}
	}
	switch serving {
	case 0:
		return badge{"bad", "✖", word}
	case all:
		return badge{"good", "✔", word}
	}
	return badge{"warn", "▲", word}
}

// cellText is a value in words: what there is none of is a dash.
func cellText(c api.ReportColumn, value any) string {
	v, number := value.(float64)
	switch {
	case value == nil && c.Key == "server":
		return ""
	case value == nil:
		return "–"
	case !number:
		return fmt.Sprint(value)
	}
	switch c.Unit {
	case api.UnitBytes:
		return bytesText(v)
	case api.UnitByteSec:
		return bytesPerSecond(v)
	case api.UnitPerSec:
		return fmt.Sprintf("%.1f", v)
	case api.UnitSeconds:
		return fmt.Sprintf("%.0f s", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// reportFile sends a report as a file.
func (v *visit) reportFile() error {
	name, ending, _ := strings.Cut(v.r.PathValue("file"), ".")
	span := time.Duration(0)
	if name == api.ReportGraphs {
		span = rangeOf(graphSpans(), v.r.URL.Query()).length
	}
	var data []byte
	var err error
	kind := "text/csv; charset=utf-8"
	switch ending {
	case "csv":
		data, err = v.api.ReportCSV(v.ctx(), name, span)
	case "json":
		kind = "application/json"
		data, err = v.api.ReportJSON(v.ctx(), name, span)
	default:
		return v.nowhere()
	}
	if err != nil {
		return err
	}
	h := v.w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", `attachment; filename="vosbed-`+name+"."+ending+`"`) // the daemon knows the name: it is one of few
	return ignoreGone(send(v.w, v.r, http.StatusOK, data))
}

const graphsPath = reportsPath + api.ReportGraphs

type graphsData struct {
	Ranges    []rangeLink
	Graphs    []graph
	CSV, JSON string
}

// graphsPage shows the graphs of the System Overview larger, and of longer times.
func (v *visit) graphsPage() error {
	chosen := rangeOf(graphSpans(), v.r.URL.Query())
	d := graphsData{CSV: fileOf(api.ReportGraphs, "csv", chosen.name), JSON: fileOf(api.ReportGraphs, "json", chosen.name)}
	for _, r := range graphSpans() {
		d.Ranges = append(d.Ranges, rangeLink{r.text, graphsPath + "?" + url.Values{"range": {r.name}}.Encode(), r == chosen})
	}
	st, err := v.api.Stats(v.ctx(), chosen.length)
	if err != nil {
		return err
	}
	for _, k := range kinds() {
		g := draw(st, k.id, k.title, k.show, k.series...)
		g.Source = Root + "graphs.json?" + url.Values{"range": {chosen.name}}.Encode()
		d.Graphs = append(d.Graphs, g)
	}
	return v.page("graphs", "Graphs", d)
}

// graphSpans are those of the overview and longer ones: the samples are of a year.
func graphSpans() []span {
	const day = 24 * time.Hour
	return append(spans(), span{"month", "1 month", 30 * day}, span{"year", "1 year", 365 * day})
}
