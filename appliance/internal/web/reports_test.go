package web_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/rates"
	"github.com/vosbed/vosbed/appliance/internal/reports"
	"github.com/vosbed/vosbed/appliance/lb"
)

// reported puts down the reports of n services with m servers each, half of them of layer 7.
func reported(lb4 *fakeLB, n, m int) {
	f := reports.Facts{Status: lb.Status{At: noon()}, Rates: map[lb.RealID]rates.Rate{}, Graphs: wave()}
	addr := func(i, j int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i), byte(j)}) }
	for i := range n {
		svc := lb.ServiceStatus{Name: fmt.Sprintf("VIP_%03d", i), Addr: addr(i, 250), Ports: lb.PortSet{{First: 554, Last: 554}}, Layer: []lb.Layer{lb.Layer4, lb.Layer7}[i%2]}
		f.Rates[lb.RealID{Service: svc.Name}] = rates.Rate{Now: rates.Flow{Conns: 1.5, BytesIn: float64(i * 7919)}}
		svc.Counters.In.Bytes, svc.Counters.Conns = uint64(i)*1e6, uint64(i)
		for j := range m {
			r := lb.RealStatus{Name: fmt.Sprintf("R%03d_%d", i, j), Addr: addr(i, j), Weight: 100, State: lb.Serving, Why: "healthy"}
			r.Counters.In.Bytes, r.Health.Last = uint64(i*j)*104729, lb.Verdict{At: noon(), OK: j > 0, Status: 200, Failed: "connection refused"}
			svc.Reals = append(svc.Reals, r)
			f.Entries = append(f.Entries, lb.PersistenceEntry{Service: svc.Name, Server: r.Name})
		}
		f.Status.Services = append(f.Status.Services, svc)
	}
	for _, name := range reports.Names() {
		r, _ := reports.Build(name.Name, f)
		lb4.answer("GET "+api.PathReports+"/"+name.Name, r)
	}
	lb4.answer("GET "+api.PathStats, wave())
}

// fetched reports whether the daemon was asked for something.
func (d *desk) fetched(path string) bool {
	return slices.ContainsFunc(d.lb.calls, func(c apiCall) bool { return c.Method == http.MethodGet && c.Path == path })
}

func TestReportPages(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAuditor)
	reported(d.lb, 2, 2)
	for _, name := range reports.Names() {
		if name.Name == api.ReportGraphs {
			continue
		}
		p := d.open("/lbadmin/reports/"+name.Name).want(200, name.Title, "2026-03-04 12:00:00 UTC", "Download CSV", "Download JSON", "Virtual service", "Real server")
		golden(t, "report-"+name.Name, p)
		at := all(p.doc, func(n *html.Node) bool { return attr(n, "aria-current") == "page" })
		if len(at) != 1 || text(at[0]) != name.Title {
			t.Errorf("%s: %d items of the menu are marked", name.Name, len(at))
		}
	}
	p := d.open("/lbadmin/reports/graphs?range=month").want(200, "Network Bandwidth", "1 month ✔", "1 year", "Download CSV")
	golden(t, "report-graphs", p)
	d.lb.answer("GET "+api.PathReports+"/layer7-status", api.Problem{Status: 500, Detail: "the disk is on fire"})
	d.open("/lbadmin/reports/layer7-status").want(500, "the disk is on fire")
	d.open("/lbadmin/reports/other").want(404)
	d.lb.answer("GET "+api.PathReports+"/layer4-status", api.Report{Notes: []string{"No layer 4 virtual service is configured."}})
	empty := d.open("/lbadmin/reports/layer4-status").want(200, "No layer 4 virtual service is configured.")
	if len(all(empty.doc, func(n *html.Node) bool { return n.Data == "table" })) > 0 {
		t.Error("there is an empty table")
	}
}

// TestGraphRanges: a range of the graphs reaches the daemon, from the page, its samples and
// its files; another one is a day.
func TestGraphRanges(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAuditor)
	reported(d.lb, 1, 1)
	for given, want := range map[string]string{"hour": "1h0m0s", "week": "168h0m0s", "month": "720h0m0s", "year": "8760h0m0s", "x": "24h0m0s", "": "24h0m0s"} {
		d.lb.calls = nil
		page := d.open("/lbadmin/reports/graphs?range=" + given).want(200)
		links := all(page.doc, func(n *html.Node) bool { return strings.Contains(attr(n, "href"), "/files/graphs.csv") })
		d.open("/lbadmin/graphs.json?range=" + given).want(200)
		d.lb.answer("GET "+api.PathReports+"/graphs", []byte("time\r\n"))
		if len(links) != 1 || d.open(attr(links[0], "href")).Body != "time\r\n" {
			t.Errorf("%q: no file", given)
		}
		if !d.fetched(api.PathStats+"?range="+want) || !d.fetched(api.PathReports+"/graphs?format=csv&range="+want) {
			t.Errorf("%q: asked %v, want %s", given, d.lb.calls, want)
		}
	}
}

func TestReportFiles(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAuditor)
	d.lb.answer("GET "+api.PathReports+"/persistence", []byte("as it comes"))
	for ending, kind := range map[string]string{"csv": "text/csv; charset=utf-8", "json": "application/json"} {
		p := d.open("/lbadmin/reports/files/persistence." + ending)
		if p.Status != 200 || p.Body != "as it comes" || p.Header.Get("Content-Type") != kind || p.Header.Get("Content-Disposition") != `attachment; filename="vosbed-persistence.`+ending+`"` {
			t.Errorf("%s: %d %v %q", ending, p.Status, p.Header, p.Body)
		}
		if !d.fetched(api.PathReports + "/persistence?format=" + ending) {
			t.Errorf("%s: asked %v", ending, d.lb.calls)
		}
	}
	for _, bad := range []string{"persistence", "persistence.xls", "other.csv", "%22%0d%0ax.csv", "..%2f..%2fstatus.json", ".csv"} {
		p := d.open("/lbadmin/reports/files/" + bad)
		if p.Status != http.StatusNotFound || p.Header.Get("Content-Disposition") != "" {
			t.Errorf("%s: %d %v", bad, p.Status, p.Header)
		}
	}
}

// TestReportTextsAreNeverMarkup: whatever an object is called.
func TestReportTextsAreNeverMarkup(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAuditor)
	d.lb.answer("GET "+api.PathReports+"/layer4-status", api.Report{
		Notes:   []string{attack},
		Columns: []api.ReportColumn{{Key: "service", Title: attack}, {Key: "server", Title: attack}, {Key: "why", Title: attack, Unit: attack}},
		Rows:    []map[string]any{{"service": attack, "server": nil, "why": attack}, {"service": attack, "server": attack, "why": []any{attack}}},
	})
	p := d.open("/lbadmin/reports/layer4-status").want(200, attack)
	inert(t, "report", p.doc)
	wellFormed(t, p)
}

// TestReportsAreSmall: with 100 VIPs x 10 RIPs every page and file is below 100 kB as it
// is sent, and what a page leaves out is told.
func TestReportsAreSmall(t *testing.T) {
	t.Parallel()
	const most = 100 << 10
	d := sit(t, api.RoleAuditor)
	reported(d.lb, 100, 10)
	paths := []string{"reports/graphs"}
	for _, name := range reports.Names() {
		if name.Name != api.ReportGraphs {
			paths = append(paths, "reports/"+name.Name)
		}
		paths = append(paths, "reports/files/"+name.Name+".json")
	}
	for _, path := range paths {
		w := d.accepting("/lbadmin/"+path, "gzip")
		if w.Code != http.StatusOK || w.Header().Get("Content-Encoding") != "gzip" || w.Body.Len() > most {
			t.Errorf("%s: %d, %q, %d bytes", path, w.Code, w.Header().Get("Content-Encoding"), w.Body.Len())
		}
	}
	reported(d.lb, 200, 10)
	rows := func(p *got) int { return len(all(p.doc, func(n *html.Node) bool { return n.Data == "tr" })) - 1 }
	if n := rows(d.open("/lbadmin/reports/persistence").want(200, "700 more rows: they are in the files.")); n != 1500 {
		t.Errorf("%d rows", n)
	}
}

// TestReportNames: the menu has the reports of the API in their order, by the same names.
func TestReportNames(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAuditor)
	links := all(d.open("/lbadmin/logs").doc, func(n *html.Node) bool { return strings.HasPrefix(attr(n, "href"), "/lbadmin/reports/") })
	var got, want []string
	for _, l := range links {
		got = append(got, attr(l, "href")+" "+text(l))
	}
	for _, name := range reports.Names() {
		want = append(want, "/lbadmin/reports/"+name.Name+" "+name.Title)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the menu has %q, want %q", got, want)
	}
}

// BenchmarkReport is the largest page with 100 VIPs x 10 RIPs: below 100 ms.
func BenchmarkReport(b *testing.B) {
	lb4 := &fakeLB{answers: deployment()}
	reported(lb4, 100, 10)
	for name, answer := range lb4.answers { // the daemon's work is measured there
		if strings.HasPrefix(name, "GET "+api.PathReports) {
			data, err := json.Marshal(answer)
			if err != nil {
				b.Fatal(err)
			}
			lb4.answers[name] = data
		}
	}
	benchmarkPage(b, lb4, "/lbadmin/reports/layer7-status")
}
