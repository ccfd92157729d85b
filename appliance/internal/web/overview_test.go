package web_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/vosbed/vosbed/appliance/api"
)

// realServer is a real server in a state, as the daemon tells of it.
func realServer(name, addr, state, admin string) api.Server {
	s := api.Server{Name: name, Addr: addr, Weight: 100, State: state, Admin: admin, Why: "because of " + name, Up: state == "serving"}
	s.Counters.Active = 7
	s.Last = &api.Verdict{
		At: noon().Add(-2 * time.Second), OK: s.Up, Target: "https://" + addr + ":8443/admin/status", Sent: "GET /admin/status HTTP/1.1",
		Status: 200, Body: "Healthy", TLS: "TLS 1.3, self-signed", ConnectMS: 0.8, FirstByteMS: 3.2, TotalMS: 12,
	}
	s.History = []api.Verdict{{At: noon().Add(-7 * time.Second), Failed: "no answer within 3s", Target: s.Last.Target}, *s.Last}
	return s
}

// guideStatus is guide 11.2 with one server drained.
func guideStatus() api.Status {
	until := noon().Add(5 * time.Minute)
	drained := realServer("HT2", "192.168.94.116", "draining", "drain")
	drained.Deadline = &until
	return api.Status{
		Node: "lb1", Seat: "primary", Role: "active", At: noon(), Pair: api.Pair{PeerAlive: true},
		Services: []api.Service{
			{Name: "Harmonic_Management", Addr: "192.168.94.100", Ports: "8080,8443", Protocol: "tcp", Layer: "7", Method: "proxy", Counters: api.Counters{Active: 3}, Servers: []api.Server{
				realServer("HM1", "192.168.94.105", "serving", "online"), realServer("HM2", "192.168.94.106", "serving", "online"),
			}},
			{Name: "Harmonic_Traffic", Addr: "192.168.94.110", Ports: "554,1935,50000-65535", Protocol: "tcp/udp", Layer: "4", Method: "dr", Counters: api.Counters{Active: 12}, Servers: []api.Server{
				realServer("HT1", "192.168.94.115", "serving", "online"), drained,
			}},
		},
	}
}

// rows are the cells of the overview's table as a person reads them.
func (g *got) rows() [][]string {
	var out [][]string
	for _, tr := range all(g.doc, func(n *html.Node) bool { return n.Data == "tr" }) {
		var cells []string
		for _, c := range all(tr, func(n *html.Node) bool { return n.Data == "td" || n.Data == "th" }) {
			cells = append(cells, text(c))
		}
		out = append(out, cells)
	}
	return out
}

func TestOverviewIsTheGuides(t *testing.T) {
	d := sit(t, api.RoleOperator)
	d.lb.answer("GET "+api.PathStatus, guideStatus())
	p := d.open("/lbadmin/").want(http.StatusOK, "2026-03-04 12:00:00 UTC", "halts at 2026-03-04 12:05:00 UTC", "passed 2 s ago")
	rows := p.rows()
	for _, want := range []string{
		"STATE VIRTUAL SERVICE IP PORTS CONNS PROTOCOL METHOD MODE REAL SERVERS",
		"✔ Healthy Harmonic_Management 192.168.94.100 8080,8443 3 TCP Layer 7 Proxy 2 of 2 serving",
		"▲ 1 of 2 Harmonic_Traffic 192.168.94.110 554,1935,.. 12 TCPUDP Layer 4 DR 1 of 2 serving",
		"✔ Healthy HM1 192.168.94.105 8080,8443 100 7 Drain Halt",
		"◐ Draining HT2 192.168.94.116 554,1935,.. 100 7 Online Halt",
	} {
		if !slices.ContainsFunc(rows, func(r []string) bool { return strings.HasPrefix(strings.Join(r, " "), want) }) {
			t.Errorf("no row %q in %q", want, rows)
		}
	}
	if !strings.Contains(p.Body, `title="554,1935,50000-65535"`) {
		t.Error("all ports are told nowhere")
	}
}

func TestOverviewOfNothing(t *testing.T) {
	d := sit(t, api.RoleAuditor)
	d.open("/lbadmin/").want(http.StatusOK, "No Virtual Services configured.", "● Standalone").without("Network Bandwidth")
}

func TestWhoMayNotDrainSeesNoButton(t *testing.T) {
	d := sit(t, api.RoleAuditor)
	d.lb.answer("GET "+api.PathStatus, guideStatus())
	p := d.open("/lbadmin/").want(http.StatusOK, "HT1")
	for _, word := range []string{"Drain", "Halt", "Online"} {
		if p.has(word) {
			t.Errorf("an auditor gets the button %s", word)
		}
	}
}

func TestStateOfAService(t *testing.T) {
	serving, down := realServer("A", "10.0.0.1", "serving", "online"), realServer("B", "10.0.0.2", "down", "online")
	draining, halted := realServer("C", "10.0.0.3", "draining", "drain"), realServer("D", "10.0.0.4", "halted", "halt")
	for want, servers := range map[string][]api.Server{
		"✔ Healthy":   {serving, serving},
		"▲ 1 of 2":    {serving, halted},
		"✖ No server": {down, halted},
		"◐ Draining":  {draining, halted},
		"■ Halted":    {halted, halted},
	} {
		d := sit(t, api.RoleAuditor)
		d.lb.answer("GET "+api.PathStatus, api.Status{Role: "active", Services: []api.Service{{Name: "VIP", Servers: servers}, {Name: "None"}}})
		rows := d.open("/lbadmin/").rows()
		if rows[1][0] != want {
			t.Errorf("the service is %q, want %q", rows[1][0], want)
		}
		if last := rows[len(rows)-2]; last[0] != "✖ No server" { // without any
			t.Errorf("a service without servers is %q", last)
		}
	}
}

func TestDrainHaltOnline(t *testing.T) {
	d := sit(t, api.RoleAdmin)
	d.send("/lbadmin/server", url.Values{"service": {"V/1"}, "server": {"R 1"}, "state": {"drain"}, "deadline": {"5m"}, "back": {"/lbadmin/?sort=ip"}}).leadsTo("/lbadmin/?sort=ip")
	d.send("/lbadmin/server", url.Values{"service": {"V"}, "server": {"R"}, "state": {"halt"}, "deadline": {"5m"}, "back": {"//evil.example/"}}).leadsTo("/lbadmin/")
	var got []string
	for _, c := range d.lb.changes() {
		got = append(got, c.Method+" "+c.Path+" "+c.Body)
	}
	want := []string{`PUT /api/v1/services/V%2F1/servers/R%201/state {"state":"drain","deadline":"5m"}`, `PUT /api/v1/services/V/servers/R/state {"state":"halt"}`}
	if !slices.Equal(got, want) {
		t.Errorf("the daemon got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// many is a status of n services with m servers each.
func many(n, m int) api.Status {
	st := api.Status{Node: "lb1", Seat: "primary", Role: "active", At: noon()}
	for i := range n {
		svc := api.Service{Name: fmt.Sprintf("VIP_%03d", i), Addr: fmt.Sprintf("10.0.0.%d", n-i), Ports: "8080,8443,9000-9100", Protocol: "tcp", Layer: "7", Method: "proxy"}
		svc.Counters.Active = uint64(i * 37 % 101)
		for j := range m {
			state := []string{"serving", "down", "draining"}[(i+j)%3]
			svc.Servers = append(svc.Servers, realServer(fmt.Sprintf("R%03d_%d", i, j), fmt.Sprintf("10.1.%d.%d", i, j), state, "online"))
		}
		st.Services = append(st.Services, svc)
	}
	return st
}

func TestManyServicesAreFolded(t *testing.T) {
	d := sit(t, api.RoleAuditor)
	d.lb.answer("GET "+api.PathStatus, many(12, 2))
	d.open("/lbadmin/").want(http.StatusOK, "VIP_011").without("R003_0")
	p := d.open("/lbadmin/?open=VIP_003&open=VIP_004&sort=ip&order=down&x=y").want(http.StatusOK, "R003_0", "R004_1").without("R005_0")
	links := all(p.doc, func(n *html.Node) bool { return attr(n, "aria-expanded") == "true" })
	if len(links) != 2 || attr(links[0], "href") != "/lbadmin/?open=VIP_004&order=down&sort=ip" {
		t.Errorf("what folds it again leads to %q", attr(links[0], "href"))
	}
}

func TestSorting(t *testing.T) {
	d := sit(t, api.RoleAuditor)
	d.lb.answer("GET "+api.PathStatus, many(12, 0))
	for query, want := range map[string]string{
		"": "VIP_000", "?sort=name": "VIP_000", "?sort=name&order=down": "VIP_011",
		"?sort=ip": "VIP_011", "?sort=ip&order=down": "VIP_000", "?sort=conns": "VIP_000", "?sort=nonsense": "VIP_000",
	} {
		p := d.open("/lbadmin/" + query)
		if first := p.rows()[1][1]; first != want {
			t.Errorf("%q begins with %q, want %q", query, first, want)
		}
		sorted := all(p.doc, func(n *html.Node) bool { return attr(n, "aria-sort") != "" && attr(n, "aria-sort") != "none" })
		if (len(sorted) == 1) != (query != "" && query != "?sort=nonsense") {
			t.Errorf("%q: %d columns say that they are sorted", query, len(sorted))
		}
	}
}

func TestProblemsComeWithTheirFix(t *testing.T) {
	d := sit(t, api.RoleAuditor)
	st := guideStatus()
	st.Problems = []string{"port 8443 is taken"}
	st.Conflicts = []api.Conflict{{VIP: "192.168.94.110", MAC: "02:00:00:00:00:15", Count: 3, Fix: "set arp_ignore=1 on HT1"}}
	st.Pair.PeerAlive = false
	d.lb.answer("GET "+api.PathStatus, st)
	d.open("/lbadmin/").want(http.StatusOK, "port 8443 is taken", "is also claimed by 02:00:00:00:00:15", "set arp_ignore=1 on HT1", "✖ Link lost")
	d.open("/lbadmin/l7-services").want(http.StatusOK, "1 problem on this node")
}

func TestCheckIsReadable(t *testing.T) {
	d := sit(t, api.RoleAuditor)
	d.lb.answer("GET "+api.PathStatus, guideStatus())
	d.open("/lbadmin/check?service=Harmonic_Management&server=HM1").want(http.StatusOK,
		"✔ passed", "https://192.168.94.105:8443/admin/status", "GET /admin/status HTTP/1.1", "Healthy", "TLS 1.3, self-signed",
		"connected after 0.8 ms, first byte after 3.2 ms, 12 ms in all", "no answer within 3s", "because of HM1")
	d.open("/lbadmin/check?service=Harmonic_Management&server=HT1").want(http.StatusNotFound)
}

// wave are the samples of a day, of which one is missing.
func wave() api.Stats {
	st := api.Stats{From: noon().Add(-24 * time.Hour), Step: time.Hour}
	for _, name := range []string{api.SeriesRX, api.SeriesTX, api.SeriesLoad1, api.SeriesLoad5, api.SeriesLoad15, api.SeriesMemory} {
		low, mid, high, total := 100e3, 1.2e6, 2.5e6, 9e9
		s := api.Series{Name: name, Min: &low, Avg: &mid, Max: &high, Total: &total}
		for i := range 24 {
			v := float64(i) * 1e5
			s.Values = append(s.Values, &v)
		}
		s.Values[5] = nil
		st.Serie = append(st.Serie, s)
	}
	return st
}

func TestGraphs(t *testing.T) {
	d := sit(t, api.RoleAuditor)
	d.lb.answer("GET "+api.PathStats, wave())
	d.lb.answer("GET "+api.PathStatus, guideStatus())
	p := d.open("/lbadmin/").want(http.StatusOK, "Network Bandwidth", "System Load Average", "Memory Usage",
		"RX 100 kB/s Min, 1.2 MB/s Avg, 9 GB Total", "1m average", "Used 100 kB Min, 1.2 MB Avg, 2.5 MB Max", "2026-03-04 11:00:00 UTC")
	for _, path := range all(p.doc, func(n *html.Node) bool { return n.Data == "path" }) {
		if line := attr(path, "d"); strings.Count(line, "M") != 2 || strings.Contains(line, "NaN") {
			t.Errorf("a line with one gap is drawn as %q", line)
		}
	}
	d.open("/lbadmin/?range=week&sort=ip").want(http.StatusOK, "1 week ✔")
	if p := d.open("/lbadmin/?range=week&sort=ip"); !strings.Contains(p.Body, "range=day&amp;sort=ip#graphs") || !strings.Contains(p.Body, "range=week&amp;sort=name") {
		t.Error("a link forgets what else was chosen")
	}
	if !d.lb.asked(http.MethodGet, api.PathStats+"?range=168h0m0s") {
		t.Error("the daemon was not asked for a week")
	}
}

// TestGraphsOfNothing: what was never measured is no error.
func TestGraphsOfNothing(t *testing.T) {
	d := sit(t, api.RoleAuditor)
	d.lb.answer("GET "+api.PathStats, api.Stats{From: noon(), Step: time.Second, Serie: []api.Series{{Name: api.SeriesRX}, {Name: api.SeriesTX, Values: []*float64{nil}}}})
	d.open("/lbadmin/").want(http.StatusOK, "RX – Min, – Avg, – Total")
	d.lb.answer("GET "+api.PathStats, api.Problem{Status: http.StatusInternalServerError})
	d.open("/lbadmin/").want(http.StatusOK).without("Network Bandwidth")
}

func TestWhatIsNotThere(t *testing.T) {
	d := sit(t, api.RoleAuditor)
	d.open("/lbadmin/nothing").want(http.StatusNotFound, "There is no such page.")
	if p := d.open("/lbadmin"); p.Header.Get("Location") != "/lbadmin/" {
		t.Errorf("without its slash: status %d to %q", p.Status, p.Header.Get("Location"))
	}
	d.open("/").leadsTo("/lbadmin/")
	d.send("/lbadmin/check", url.Values{}).want(http.StatusMethodNotAllowed)
}
