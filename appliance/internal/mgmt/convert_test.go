package mgmt

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/vosbed/vosbed/appliance/lb"
)

var update = flag.Bool("update", false, "write the golden files")

// sample is a status with every field in use.
func sample() lb.Status {
	v6 := netip.MustParseAddr("2001:db8::110")
	vip := netip.MustParseAddr("192.168.94.110")
	bad := lb.Verdict{
		At: epoch, Target: "https://192.168.94.115:8443/admin/status", Sent: "GET /admin/status", Status: 200,
		Body: "Sick", Failed: `body is "Sick", expected "Healthy"`, TLS: "TLS 1.3", Connect: time.Millisecond,
		FirstByte: 2 * time.Millisecond, Total: 2500 * time.Microsecond, ViaVIP: true,
	}
	return lb.Status{
		Node: "lb1", Seat: lb.Primary, Revision: "r1", At: epoch,
		Pair: lb.PairStatus{
			Role: lb.Active, Since: epoch, Term: 4, Reason: "the peer is dead", PeerAlive: true, PeerRole: lb.Passive,
			InSync: true, Lag: 3 * time.Millisecond, LeaseHeld: true, RealTimeNo: "no CAP_SYS_NICE",
			Paths: []lb.PathStatus{{Name: "service", Up: true, LastSeen: 80 * time.Millisecond, Rejected: 2}},
			Pings: []lb.PingStatus{{Addr: netip.MustParseAddr("192.168.94.1"), Up: true}},
		},
		Dataplane: lb.DataplaneStatus{
			Engine: "tcx", Why: "veth", Drops: map[string]lb.Counter{"port_not_served": {Packets: 7, Bytes: 700}, "flow_lost": {Packets: 3, Bytes: 180}},
			Flows: 5, FlowCapacity: 100, Entries: 3, EntryCapacity: 50,
		},
		Proxy: lb.ProxyStatus{
			Sessions: 2, Capacity: 9000, Refused: map[string]uint64{"no_server": 4, "fd_budget": 0},
			Entries: 12, EntryCapacity: 1000, Evicted: 1,
		},
		Services: []lb.ServiceStatus{{
			Name: "Harmonic_Traffic", Addr: vip, Ports: lb.PortSet{{First: 554, Last: 554}, {First: 50000, Last: 65535}},
			Protocols: lb.TCPUDP, Layer: lb.Layer4, Method: lb.DR,
			Counters: lb.ServiceCounters{In: lb.Counter{Packets: 10, Bytes: 1000}, Conns: 6, ActiveConns: 2},
			Reals: []lb.RealStatus{
				{
					Name: "HT1", Addr: netip.MustParseAddr("192.168.94.115"), Weight: 100, State: lb.Draining, Why: "drained by operator",
					Admin: lb.Drain, Deadline: epoch.Add(time.Minute), MAC: "02:00:00:00:00:73",
					Health:   lb.Health{Since: epoch, Last: bad, History: []lb.Verdict{bad}},
					Counters: lb.RealCounters{In: lb.Counter{Packets: 4, Bytes: 400}, Conns: 3, ActiveConns: 1},
				},
				{Name: "HT 2/x", Addr: netip.MustParseAddr("192.168.94.116"), State: lb.Serving, Health: lb.Health{Up: true, Since: epoch}},
			},
		}},
		Conflicts: []lb.ARPConflict{
			{VIP: vip, MAC: "02:00:00:00:00:73", Server: "HT1", Last: epoch, Count: 9},
			{VIP: v6, MAC: "02:00:00:00:00:74", Server: "HT2", Last: epoch, Count: 1},
			{VIP: vip, MAC: "02:00:00:00:00:99", Last: epoch, Count: 2},
		},
		Problems: []string{"the disk is full: make room"},
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Error(diff)
	}
}

func TestStatusOf(t *testing.T) {
	for name, s := range map[string]lb.Status{"status.json": sample(), "empty.json": {}} {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(StatusOf(s)); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(b.String(), ": null") {
			t.Errorf("%s: a list is null", name)
		}
		golden(t, name, b.Bytes())
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(newCollector(&fake{status: sample()}))
	w := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).
		ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody))
	if w.Code != http.StatusOK {
		t.Fatal(w.Body)
	}
	// The one value that differs between builds.
	text := regexp.MustCompile(`(?m)^vosbed_build_info\{.*\} 1$`).ReplaceAll(w.Body.Bytes(), []byte("vosbed_build_info 1"))
	golden(t, "metrics.txt", text)
}
