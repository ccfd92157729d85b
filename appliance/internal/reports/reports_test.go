package reports

import (
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/rates"
	"github.com/vosbed/vosbed/appliance/lb"
)

var update = flag.Bool("update", false, "write testdata anew")

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// facts are those of a small node with a service of each layer.
func facts() Facts {
	one, two := 1.5, 2.5
	addr := netip.MustParseAddr
	flow := func(n float64) rates.Flow {
		return rates.Flow{Conns: n, PacketsIn: 10 * n, BytesIn: 1000 * n, PacketsOut: n, BytesOut: 2 * n}
	}
	rate := rates.Rate{Now: flow(1.5), Avg: flow(1), Max: flow(3)}
	return Facts{
		Status: lb.Status{
			At:        noon,
			Dataplane: lb.DataplaneStatus{Flows: 5, FlowCapacity: 200, Entries: 3, EntryCapacity: 50},
			Proxy:     lb.ProxyStatus{Sessions: 4, Capacity: 9000, Entries: 2, EntryCapacity: 100, Evicted: 1},
			Services: []lb.ServiceStatus{
				{
					Name: "=Traffic", Addr: addr("192.168.94.110"), Ports: lb.PortSet{{First: 554, Last: 554}}, Protocols: lb.TCPUDP, Layer: lb.Layer4, Method: lb.DR,
					Counters: lb.ServiceCounters{In: lb.Counter{Packets: 10, Bytes: 1000}, Conns: 6, ActiveConns: 2},
					Reals: []lb.RealStatus{
						{Name: "HT1", Addr: addr("192.168.94.115"), Weight: 100, State: lb.Serving, Why: "healthy", Counters: lb.RealCounters{In: lb.Counter{Packets: 4, Bytes: 400}, Conns: 3, ActiveConns: 1}},
						{Name: "HT2", Addr: addr("192.168.94.116"), Weight: 50, State: lb.Down, Why: "status 503, want 200"},
					},
				},
				{
					Name: "Management", Addr: addr("192.168.94.100"), Ports: lb.PortSet{{First: 8443, Last: 8443}}, Protocols: lb.TCP, Layer: lb.Layer7, Method: lb.Proxy, MaxConns: 500,
					Counters: lb.ServiceCounters{In: lb.Counter{Bytes: 10}, Out: lb.Counter{Bytes: 20}, Conns: 9, ActiveConns: 4, ConnectFailed: 3, Retried: 2},
					Reals: []lb.RealStatus{
						{Name: "HM1", State: lb.Serving, MaxConns: 40, Health: lb.Health{Last: lb.Verdict{At: noon, OK: true, Status: 200}}, Counters: lb.RealCounters{Conns: 9, ActiveConns: 4, ConnectFailed: 3, Retried: 2}},
						{Name: "HM2", State: lb.Down, Health: lb.Health{Last: lb.Verdict{At: noon, Failed: "connection refused"}}},
						{Name: "HM3", State: lb.Serving, Health: lb.Health{Last: lb.Verdict{At: noon, OK: true, Sent: "connect"}}},
						{Name: "HM4", State: lb.Unchecked},
					},
				},
			},
		},
		Rates: map[lb.RealID]rates.Rate{
			{Service: "=Traffic"}: rate, {Service: "=Traffic", Real: "HT1"}: rate, {Service: "Management"}: rate, {Service: "Management", Real: "HM1"}: rate,
		},
		Entries: []lb.PersistenceEntry{
			{Service: "=Traffic", Client: addr("10.0.0.1"), Server: "HT1", Idle: 3 * time.Second},
			{Service: "=Traffic", Client: addr("10.0.0.2"), Server: "HT1", Idle: time.Second},
			{Service: "=Traffic", Client: addr("10.0.0.3"), Server: "gone", Idle: 9 * time.Second},
			{Service: "Management", Client: addr("10.0.0.1"), Server: "HM1"},
		},
		Graphs: api.Stats{From: noon, Step: time.Minute, Serie: []api.Series{
			{Name: api.SeriesRX, Values: []*float64{&one, nil, nil}}, {Name: api.SeriesLoad1, Values: []*float64{&two, nil, &one}},
		}},
	}
}

// TestReports holds each report against testdata.
func TestReports(t *testing.T) {
	t.Parallel()
	for _, n := range Names() {
		r, ok := Build(n.Name, facts())
		if !ok || r.Name != n.Name || r.Title != n.Title {
			t.Fatalf("%s: %v %q", n.Name, ok, r.Title)
		}
		whole(t, r)
		got, err := json.MarshalIndent(r, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		file := "testdata/" + n.Name + ".json"
		if *update {
			if err = os.WriteFile(file, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s: %s", n.Name, diff)
		}
	}
	if _, ok := Build("x", facts()); ok {
		t.Error("there is a report x")
	}
}

// whole fails the test unless every row has a value or null for each column, of the kind
// that the column says, and nothing else.
func whole(t *testing.T, r api.Report) {
	t.Helper()
	keys := map[string]bool{}
	for _, c := range r.Columns {
		if keys[c.Key] {
			t.Errorf("%s: two columns have the key %s", r.Name, c.Key)
		}
		keys[c.Key] = true
	}
	for _, row := range r.Rows {
		if len(row) != len(r.Columns) {
			t.Errorf("%s: %d values for %d columns: %v", r.Name, len(row), len(r.Columns), row)
		}
		for _, c := range r.Columns {
			v, ok := row[c.Key]
			_, text := v.(string)
			if !ok || v != nil && text == c.Number {
				t.Errorf("%s: %s is %T", r.Name, c.Key, v)
			}
		}
	}
}

// TestNothing: an empty node has reports, which say that there is nothing.
func TestNothing(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		api.ReportLayer4: noLayer4, api.ReportLayer4Rate: noLayer4, api.ReportLayer7: noLayer7, api.ReportPersistence: "Table of layer 4: 0 entries.", api.ReportGraphs: "Nothing is measured yet.",
	} {
		r, _ := Build(name, Facts{})
		if r.Rows == nil || len(r.Rows) > 0 || !strings.Contains(strings.Join(r.Notes, "\n"), want) {
			t.Errorf("%s: %d rows, notes %q", name, len(r.Rows), r.Notes)
		}
	}
}
