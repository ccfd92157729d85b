package web_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/appliance/api"
)

// small is a node with one virtual service, one of whose servers is down.
func small() api.Status {
	ok := api.Verdict{At: noon().Add(-time.Second), OK: true, Target: "https://192.168.94.115:8443/admin/status", Status: 200}
	failed := api.Verdict{At: noon().Add(-2 * time.Second), Failed: "status 503, want 200", Status: 503}
	return api.Status{
		Node: "lb1", Seat: "primary", Role: "active", At: noon(), Pair: api.Pair{PeerAlive: true},
		Dataplane: api.Dataplane{Engine: "xdp", Why: "as configured", Drops: map[string]api.Counter{"no_server": {Packets: 2}, "table_full": {Packets: 9}}},
		Services: []api.Service{{
			Name: "Harmonic_Traffic", Addr: "192.168.94.110", Ports: "554,1935,50000-65535", Protocol: "tcp/udp", Layer: "4", Method: "dr",
			Servers: []api.Server{
				{Name: "HT1", Addr: "192.168.94.115", Weight: 100, State: "serving", Admin: "online", Up: true, Why: "healthy", Last: &ok},
				{Name: "HT2", Addr: "192.168.94.116", Weight: 100, State: "down", Admin: "online", Why: "status 503, want 200", Last: &failed},
			},
		}},
	}
}

// TestScreensGolden holds screens as they are sent.
func TestScreensGolden(t *testing.T) {
	for _, name := range []string{"tokens", "logs"} {
		d := sit(t, api.RoleAdmin)
		d.lb.answer("GET "+api.PathStatus, small())
		d.lb.answer("GET "+api.PathLogs, []api.LogLine{{ID: 7, At: noon(), Level: "warn", Text: "the disk is nearly full"}})
		golden(t, name, d.open("/lbadmin/"+name).want(200))
	}
}

// TestOverviewGolden holds the System Overview as it is sent.
func TestOverviewGolden(t *testing.T) {
	d := sit(t, api.RoleOperator)
	d.lb.answer("GET "+api.PathStatus, small())
	golden(t, "overview", d.open("/lbadmin/").want(200))
}

// golden holds the main part of a page against testdata/NAME.golden.html.
// UPDATE_GOLDEN=1 writes the file anew.
func golden(t *testing.T, name string, p *got) {
	t.Helper()
	_, page, _ := strings.Cut(p.Body, "<main")
	page, _, _ = strings.Cut(page, "</main>")
	var lines []string
	for line := range strings.Lines(page) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	got := "<main " + strings.Join(lines, "\n") + "\n</main>\n"
	file := filepath.Join("testdata", name+".golden.html")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("the page is not as the file has it (-file +page):\n%s", diff)
	}
}
