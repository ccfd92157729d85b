package mgmt

import (
	"encoding/csv"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/lb"
)

// TestReportsOverTheAPI: every report that is listed comes as JSON and as CSV with the same
// columns and rows.
func TestReportsOverTheAPI(t *testing.T) {
	f := &fake{status: sample()}
	c := startUnix(t, newServer(t, f))
	list, err := c.Reports(t.Context())
	if err != nil || len(list) != 5 {
		t.Fatalf("%v: %v", list, err)
	}
	for _, n := range list {
		r, err := c.Report(t.Context(), n.Name, 0)
		if err != nil || r.Name != n.Name || len(r.Columns) == 0 {
			t.Fatalf("%s: %v: %+v", n.Name, err, r)
		}
		text, err := c.ReportCSV(t.Context(), n.Name, 0)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
		if err != nil || len(rows) != len(r.Rows)+1 || len(rows[0]) != len(r.Columns) || !strings.HasSuffix(string(text), "\r\n") {
			t.Errorf("%s: %v: %q", n.Name, err, text)
		}
		if whole, err := c.ReportJSON(t.Context(), n.Name, 0); err != nil || !strings.Contains(string(whole), `"name":"`+n.Name+`"`) {
			t.Errorf("%s: %v: %s", n.Name, err, whole)
		}
	}
	var p *api.ProblemError
	if _, err := c.Report(t.Context(), "layer4-rates", 0); !errors.As(err, &p) || p.Problem.Status != http.StatusNotFound || !strings.Contains(p.Problem.Detail, `did you mean "layer4-rate"?`) {
		t.Errorf("an unknown report: %v", err)
	}
	if _, err := c.Report(t.Context(), api.ReportGraphs, time.Second); !errors.As(err, &p) || p.Problem.Status != http.StatusBadRequest {
		t.Errorf("too short a range: %v", err)
	}
}

// asking asks the handler as the console does.
func asking(t *testing.T, s *Server, path, accept string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
	r.SetPathValue("name", strings.TrimPrefix(r.URL.Path, api.PathReports+"/"))
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	s.getReport(w, r)
	return w
}

// TestReportForms: CSV by query or by header, a file with a name, and no formula in it.
func TestReportForms(t *testing.T) {
	st := sample()
	st.Services[0].Name, st.Services[0].Reals[0].Why = `=cmd|' /C calc'!A0`, "@sum"
	s := newServer(t, &fake{status: st})
	const path = api.PathReports + "/" + api.ReportLayer4
	for name, tt := range map[string]struct {
		path, accept, kind string
		status             int
	}{
		"usual":        {path, "*/*", "application/json", 200},
		"by header":    {path, "text/csv", "text/csv", 200},
		"by query":     {path + "?format=csv", "application/json", "text/csv", 200},
		"query wins":   {path + "?format=json", "text/csv", "application/json", 200},
		"another form": {path + "?format=xls", "", api.ContentProblem, 400},
	} {
		w := asking(t, s, tt.path, tt.accept)
		if kind := w.Header().Get("Content-Type"); w.Code != tt.status || !strings.HasPrefix(kind, tt.kind) {
			t.Errorf("%s: %d %s", name, w.Code, kind)
		}
		if tt.kind != "text/csv" {
			continue
		}
		rows, err := csv.NewReader(w.Body).ReadAll()
		if err != nil || rows[1][0] != `'=cmd|' /C calc'!A0` || rows[2][7] != "'@sum" {
			t.Errorf("%s: %v: %q", name, err, rows)
		}
		if to := w.Header().Get("Content-Disposition"); to != `attachment; filename="vosbed-layer4-status.csv"` {
			t.Errorf("%s: %s", name, to)
		}
	}
}

// TestPersistenceReportIsKept: many who ask at once make the table be listed once.
func TestPersistenceReportIsKept(t *testing.T) {
	f := &fake{status: sample()}
	s := newServer(t, f)
	now := epoch
	s.opts.Now = func() time.Time { return now }
	lists := func() int { return len(f.asked()) }
	const path = api.PathReports + "/" + api.ReportPersistence
	f.err = errors.New("the table is away")
	if w := asking(t, s, path, ""); w.Code != http.StatusInternalServerError || lists() != 1 {
		t.Errorf("%d after %d lists", w.Code, lists())
	}
	f.err = nil
	for _, step := range []struct {
		after time.Duration
		lists int
	}{{0, 2}, {time.Second, 2}, {time.Second, 3}, {-time.Hour, 4}} {
		now = now.Add(step.after)
		if w := asking(t, s, path, ""); w.Code != http.StatusOK || lists() != step.lists {
			t.Errorf("%v: %d after %d lists, want %d", step.after, w.Code, lists(), step.lists)
		}
	}
}

// BenchmarkReports is 100 VIPs x 10 RIPs as JSON and as CSV: below 100 ms.
func BenchmarkReports(b *testing.B) {
	st := sample()
	st.Services[0].Layer = lb.Layer7
	for len(st.Services[0].Reals) < 10 {
		st.Services[0].Reals = append(st.Services[0].Reals, st.Services[0].Reals[0])
	}
	for len(st.Services) < 100 {
		st.Services = append(st.Services, st.Services[0])
	}
	s := &Server{opts: Options{Backend: Backend{Status: &fake{status: st}, Rates: &fake{}}}}
	for _, format := range []string{"json", "csv"} {
		b.Run(format, func(b *testing.B) {
			for b.Loop() {
				r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, api.PathReports+"/x?format="+format, http.NoBody)
				r.SetPathValue("name", api.ReportLayer7)
				w := httptest.NewRecorder()
				if s.getReport(w, r); w.Code != http.StatusOK {
					b.Fatal(w.Code)
				}
				_, _ = io.Copy(io.Discard, w.Body)
			}
		})
	}
}
