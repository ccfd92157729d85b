package traffic

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/internal/netns"
	"github.com/vosbed/vosbed/internal/testenv"
	"github.com/vosbed/vosbed/simvos/control"
)

// agentEnv makes this test binary an agent, as `vosbed agent` is one.
const agentEnv = "VOSBED_TEST_AGENT"

func TestMain(m *testing.M) {
	if os.Getenv(agentEnv) == "" {
		m.Run() // its code is the exit code when TestMain returns
		return
	}
	if err := Main(context.Background(), os.Stdin, os.Stdout); err != nil {
		panic(err) // the only way to fail without os.Exit
	}
}

// farm is a namespace with one real simvos on loopback.
type farm struct {
	t      *testing.T
	ns     *netns.NS
	simvos *control.Client
}

// newFarm starts simvos as server 115.
//
//	agent 127.0.0.x --- lo --- simvos 127.0.0.1 (all ports of the guide)
func newFarm(t *testing.T) *farm {
	t.Helper()
	ns := testenv.NewNS(t)
	err := ns.Do(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "simvos")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "github.com/vosbed/vosbed/cmd/simvos").CombinedOutput(); err != nil {
		t.Fatalf("build simvos: %v\n%s", err, out)
	}
	socket := filepath.Join(dir, "control")
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), binary, "run", "--name", "HT1", "--id", "115", "--rip", "127.0.0.1", "--control", socket)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := ns.Do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	f := &farm{t, ns, control.NewClient(socket)}
	f.await()
	return f
}

// await waits until simvos listens.
func (f *farm) await() {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := f.simvos.Status(ctx); err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			f.t.Fatal("simvos does not answer")
		}
	}
}

// run runs one load in an agent process inside the namespace.
func (f *farm) run(s Spec) ([]observe.Record, map[string][]observe.Sample) {
	f.t.Helper()
	spec, err := json.Marshal(s)
	if err != nil {
		f.t.Fatal(err)
	}
	// The agent's standard input stays open until its load has ended.
	r, w, err := os.Pipe()
	if err != nil {
		f.t.Fatal(err)
	}
	defer w.Close()
	ctx, cancel := context.WithTimeout(f.t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), agentEnv+"=1")
	var out, log bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = r, &out, &log
	if err = f.ns.Do(cmd.Start); err != nil {
		f.t.Fatal(err)
	}
	r.Close()
	if _, err = w.Write(spec); err != nil {
		f.t.Error(err)
	}
	if err = cmd.Wait(); err != nil {
		f.t.Errorf("%s: %v\n%s", s.Kind, err, log.String())
	}
	records, err := observe.Read(&out)
	if err != nil {
		f.t.Fatal(err)
	}
	return records, samples(f.t, records)
}

func addresses(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("127.0.1.%d", i+1)
	}
	return out
}

// TestLoadsAgainstSimVOS drives every kind of load against a real server.
func TestLoadsAgainstSimVOS(t *testing.T) {
	f := newFarm(t)
	const d = 1200 * time.Millisecond
	all := []string{"udp:60000", "tcp:60001", "http:8080", "https:8443", "status:8080", "statuses:8443", "rtsp:554", "rtmp:1935", "ts:61000", "bulk:60002"}
	tests := []struct {
		name string
		spec Spec
		want map[string]float64 // exact values
		some []string           // values above zero
	}{
		{"probe", Spec{Kind: "udp-probe", To: "127.0.0.1:60000", Rate: 500, Sources: addresses(2)}, map[string]float64{"probe_lost": 0, "probe_duplicated": 0, "client_server": 115}, []string{"probe_received", "pacer_late_us"}},
		{"clients", Spec{Kind: "clients", To: "127.0.0.1:1", Services: all, Sources: addresses(5), Rate: 2}, map[string]float64{"persistence_moves": 0, "client_failures": 0, "client_server": 115}, []string{"client_answers"}},
		{"parallel", Spec{Kind: "parallel", To: "127.0.0.1:60001", Sources: addresses(5), Flows: 8}, map[string]float64{"parallel_split": 0, "parallel_failed": 0}, nil},
		{"tcp stream", Spec{Kind: "tcp-stream", To: "127.0.0.1:60001", Sources: addresses(3), Flows: 3}, map[string]float64{"tcp_survival": 1, "tcp_never": 0, "tcp_lost": 0, "tcp_flows": 3}, []string{"tcp_frames"}},
		{"http closed", Spec{Kind: "http", To: "http://127.0.0.1:8080", Flows: 4}, map[string]float64{"http_errors": 0, "http_success": 1}, []string{"rps", "http_latency_us"}},
		{"https close mode", Spec{Kind: "http", To: "127.0.0.1:8443", Flows: 2, Fresh: true, Metric: "l7_cps", Labels: map[string]string{"path": "vip"}}, map[string]float64{"http_errors": 0}, []string{"l7_cps"}},
		{"http open", Spec{Kind: "http", To: "127.0.0.1:8080", Rate: 50}, map[string]float64{"http_errors": 0}, []string{"http_ok"}},
		{"download", Spec{Kind: "bulk", To: "127.0.0.1:60002", Flows: 2}, map[string]float64{"bulk_failed": 0}, []string{"goodput"}},
		{"upload", Spec{Kind: "bulk", To: "127.0.0.1:60002", Direction: "upload"}, map[string]float64{"bulk_failed": 0}, []string{"goodput"}},
		{"bounded upload", Spec{Kind: "bulk", To: "127.0.0.1:60002", Direction: "upload", Bytes: 1 << 20}, map[string]float64{"bulk_failed": 0}, []string{"bulk_bytes"}},
		{"https download", Spec{Kind: "bulk", To: "https://127.0.0.1:8443"}, map[string]float64{"bulk_failed": 0}, []string{"goodput"}},
		{"http upload", Spec{Kind: "bulk", To: "http://127.0.0.1:8080", Direction: "upload"}, map[string]float64{"bulk_failed": 0}, []string{"goodput"}},
		{"web", Spec{Kind: "web", To: "127.0.0.1:8080", Sources: addresses(2), Rate: 20}, map[string]float64{"web_survival": 1, "web_never": 0, "web_flows": 2, "client_server": 115}, []string{"web_frames"}},
		{"web over TLS", Spec{Kind: "web", To: "127.0.0.1:8443", Sources: addresses(2), Rate: 20}, map[string]float64{"web_survival": 1, "web_never": 0, "client_server": 115}, []string{"web_frames"}},
		{"burn", Spec{Kind: "burn", Flows: 1}, nil, []string{"burn_turns"}},
		{"rtsp over udp", Spec{Kind: "rtsp", To: "127.0.0.1:554", Sources: addresses(3)}, map[string]float64{"rtsp_survival": 1, "rtsp_lost": 0, "rtsp_never": 0, "client_server": 115}, []string{"rtsp_frames"}},
		{"rtsp interleaved", Spec{Kind: "rtsp", To: "127.0.0.1:554", Transport: "tcp", Sources: addresses(2)}, map[string]float64{"rtsp_survival": 1, "rtsp_lost": 0, "rtsp_never": 0, "client_server": 115}, nil},
		{"rtsp record", Spec{Kind: "rtsp", To: "127.0.0.1:554", Publish: true, Sources: addresses(2)}, map[string]float64{"rtsp_survival": 1, "rtsp_never": 0}, []string{"rtsp_published"}},
		{"rtmp", Spec{Kind: "rtmp", To: "127.0.0.1:1935", Sources: addresses(2)}, map[string]float64{"rtmp_survival": 1, "rtmp_never": 0, "client_server": 115}, nil},
		{"rtmp publish", Spec{Kind: "rtmp", To: "127.0.0.1:1935", Publish: true}, map[string]float64{"rtmp_survival": 1, "rtmp_never": 0}, nil},
		{"ts", Spec{Kind: "ts", To: "127.0.0.1:61000", Sources: addresses(2)}, map[string]float64{"ts_survival": 1, "ts_lost": 0, "ts_never": 0, "client_server": 115}, nil},
		{"verify", Spec{Duration: 10 * time.Second, Kind: "verify", To: "127.0.0.1:1", Services: all}, map[string]float64{"reachable": 1}, nil},
		{"verify nothing there", Spec{Duration: 10 * time.Second, Kind: "verify", To: "127.0.0.1:1", Services: []string{"tcp:7", "rtsp:8080"}}, map[string]float64{"reachable": 0}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.spec.Name, tt.spec.Duration = tt.name, max(tt.spec.Duration, d)
			f.t = t
			records, s := f.run(tt.spec)
			for metric, want := range tt.want {
				if len(s[metric]) == 0 {
					t.Errorf("no %s", metric)
				}
				for _, got := range s[metric] {
					if got.Value != want {
						t.Errorf("%s %v = %v, want %v", metric, got.Labels, got.Value, want)
					}
				}
			}
			for _, metric := range tt.some {
				if value(t, s, metric) <= 0 {
					t.Errorf("%s is %v", metric, value(t, s, metric))
				}
			}
			if t.Failed() {
				t.Log(notes(records))
			}
		})
	}
}

// notes lists the notes and samples of a load.
func notes(records []observe.Record) string {
	var b strings.Builder
	for _, r := range records {
		if r.Kind != observe.KindSeries {
			fmt.Fprintf(&b, "%v %s %s\n", r.T, r.Kind, r.Value)
		}
	}
	return b.String()
}

// TestStreamsNoticeAFault cuts the services for a while: streams must report the
// deaths, the stalls and the recovery.
func TestStreamsNoticeAFault(t *testing.T) {
	f := newFarm(t)
	fault := control.Fault{Kind: control.Refuse}
	cut := make(chan error, 1)
	go func() {
		ctx := t.Context()
		if !wait(ctx, 800*time.Millisecond) {
			cut <- ctx.Err()
			return
		}
		if err := f.simvos.SetFault(ctx, fault); err != nil {
			cut <- err
			return
		}
		wait(ctx, 500*time.Millisecond)
		cut <- f.simvos.ClearFaults(ctx)
	}()
	_, s := f.run(Spec{Name: "s", Kind: "tcp-stream", To: "127.0.0.1:60001", Flows: 2, Sources: addresses(2), Duration: 3 * time.Second})
	if err := <-cut; err != nil {
		t.Fatal(err)
	}
	if got := value(t, s, "tcp_survival"); got != 0 {
		t.Errorf("survival %v, want 0", got)
	}
	if len(s["tcp_died"]) != 2 || len(s["tcp_recovered_ms"]) != 2 {
		t.Errorf("%d deaths, %d recoveries, want 2 of each", len(s["tcp_died"]), len(s["tcp_recovered_ms"]))
	}
	for _, stall := range s["tcp_stall_ms"] {
		if stall.Value < 200 {
			continue // a hiccup of the machine
		}
		if stall.Value < 400 || stall.Value > 2500 {
			t.Errorf("stall of %v ms, want about 500 to 700", stall.Value)
		}
	}
}
