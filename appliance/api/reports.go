package api

import (
	"context"
	"net/url"
	"strings"
	"time"
)

// Paths of the reports (guide 9.3.1).
const (
	PathReports = "/api/v1/reports"        // GET: what reports there are
	PathReport  = "/api/v1/reports/{name}" // GET: Report; as CSV with Accept: text/csv or the query format=csv
)

// Names of the reports.
const (
	ReportLayer4      = "layer4-status"
	ReportLayer4Rate  = "layer4-rate"
	ReportLayer7      = "layer7-status"
	ReportPersistence = "persistence"
	ReportGraphs      = "graphs" // query range, as of PathStats
)

// Units of numbers in a report.
const (
	UnitBytes   = "B"
	UnitByteSec = "B/s"
	UnitPerSec  = "1/s"
	UnitSeconds = "s"
)

// ReportName is one of the reports.
type ReportName struct {
	Name  string `json:"name"`
	Title string `json:"title"`
}

// Report is a table. A row has a value by the key of each column: text, a number, or null
// where there is none.
type Report struct {
	Name    string           `json:"name"`
	Title   string           `json:"title"`
	At      time.Time        `json:"at"`
	Notes   []string         `json:"notes"`
	Columns []ReportColumn   `json:"columns"`
	Rows    []map[string]any `json:"rows"`
}

// ReportColumn is one column of a report.
type ReportColumn struct {
	Key    string `json:"key"`
	Title  string `json:"title"`
	Unit   string `json:"unit,omitempty"`
	Number bool   `json:"number,omitempty"`
}

// Reports lists what reports there are.
func (c *Client) Reports(ctx context.Context) ([]ReportName, error) {
	var out []ReportName
	err := c.get(ctx, PathReports, &out)
	return out, err
}

// Report returns a report. The query of graphs names their range, "" = a day.
func (c *Client) Report(ctx context.Context, name string, span time.Duration) (Report, error) {
	var out Report
	err := c.get(ctx, reportPath(name, span, ""), &out)
	return out, err
}

// ReportCSV returns a report as comma separated values (RFC 4180).
func (c *Client) ReportCSV(ctx context.Context, name string, span time.Duration) ([]byte, error) {
	var answer raw
	err := c.get(ctx, reportPath(name, span, "csv"), &answer)
	return answer.body, err
}

// ReportJSON returns a report as its JSON text.
func (c *Client) ReportJSON(ctx context.Context, name string, span time.Duration) ([]byte, error) {
	var answer raw
	err := c.get(ctx, reportPath(name, span, "json"), &answer)
	return answer.body, err
}

func reportPath(name string, span time.Duration, format string) string {
	q := url.Values{}
	if span > 0 {
		q.Set("range", span.String())
	}
	if format != "" {
		q.Set("format", format)
	}
	path := strings.Replace(PathReport, "{name}", segment(name), 1)
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	return path
}
