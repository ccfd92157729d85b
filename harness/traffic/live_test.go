package traffic

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
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
	f.eventually("an answer of simvos", func(control.Status) bool { return true })
}

// eventually waits until the server's status is as it should be.
func (f *farm) eventually(what string, check func(control.Status) bool) control.Status {
	f.t.Helper()
	s, err := f.until(check)
	if err != nil {
		f.t.Fatalf("not within %s: %s", patience, what)
	}
	return s
}

// until is eventually for goroutines other than the test's.
func (f *farm) until(check func(control.Status) bool) (control.Status, error) {
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	for {
		s, err := f.simvos.Status(ctx)
		if err == nil && check(s) {
			return s, nil
		}
		if !wait(ctx, 20*time.Millisecond) {
			return s, ctx.Err()
		}
	}
}

// patience is how long a test waits for what must come: nobody knows how much time
// this machine has for it.
const patience = time.Minute

// run runs one load in an agent process inside the namespace, until it ends by itself
// or has emitted enough (nil = never).
func (f *farm) run(s Spec, enough func(observe.Record) bool) ([]observe.Record, map[string][]observe.Sample) {
	f.t.Helper()
	spec, err := json.Marshal(s)
	if err != nil {
		f.t.Fatal(err)
	}
	// The agent's standard input stays open until its load has ended.
	in, hold, err := os.Pipe()
	if err != nil {
		f.t.Fatal(err)
	}
	defer hold.Close()
	ctx, cancel := context.WithTimeout(f.t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), agentEnv+"=1")
	var log bytes.Buffer
	cmd.Stdin, cmd.Stderr = in, &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	if err = f.ns.Do(cmd.Start); err != nil {
		f.t.Fatal(err)
	}
	in.Close()
	if _, err = hold.Write(spec); err != nil {
		f.t.Error(err)
	}
	records := f.read(out, func(r observe.Record) {
		if enough != nil && enough(r) {
			hold.Close()
		}
	})
	if err = cmd.Wait(); err != nil {
		f.t.Errorf("%s: %v\n%s", s.Kind, err, log.String())
	}
	return records, samples(f.t, records)
}

// read reads records to the end and shows each of them.
func (f *farm) read(r io.Reader, show func(observe.Record)) []observe.Record {
	f.t.Helper()
	var records []observe.Record
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var rec observe.Record
		if err := json.Unmarshal(lines.Bytes(), &rec); err != nil {
			f.t.Errorf("no record: %v: %s", err, lines.Text())
			continue
		}
		records = append(records, rec)
		show(rec)
	}
	if err := lines.Err(); err != nil {
		f.t.Error(err)
	}
	return records
}

// seen is enough when n Series had something of that value.
func seen(value string, n int) func(observe.Record) bool {
	return func(r observe.Record) bool {
		if s, err := observe.Decode[observe.Series](r); r.Kind == observe.KindSeries && err == nil && s.Values[value] > 0 {
			n--
		}
		return n <= 0
	}
}

// flowing is enough when so many sessions were open at a time and that value has
// added up to a total.
func flowing(sessions int, value string, total float64) func(observe.Record) bool {
	open := false
	return func(r observe.Record) bool {
		if s, err := observe.Decode[observe.Series](r); r.Kind == observe.KindSeries && err == nil {
			open = open || int(s.Values["open"]) == sessions
			total -= s.Values[value]
		}
		return open && total <= 0
	}
}

// told is enough when n samples of the metric were emitted.
func told(metric string, n int) func(observe.Record) bool {
	return func(r observe.Record) bool {
		if s, err := observe.Decode[observe.Sample](r); r.Kind == observe.KindSample && err == nil && s.Metric == metric {
			n--
		}
		return n <= 0
	}
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
	all := []string{"udp:60000", "tcp:60001", "http:8080", "https:8443", "status:8080", "statuses:8443", "rtsp:554", "rtmp:1935", "ts:61000", "ts-udp:61001", "bulk:60002"}
	const named = 8 // of them say who they are
	played := func(name string) map[string]float64 {
		return map[string]float64{name + "_survival": 1, name + "_lost": 0, name + "_never": 0, "client_server": 115}
	}
	published := func(name string) map[string]float64 {
		return map[string]float64{name + "_survival": 1, name + "_never": 0}
	}
	tests := []struct {
		name   string
		spec   Spec
		enough func(observe.Record) bool
		want   map[string]float64 // exact values
		some   []string           // values above zero
		none   []string           // metrics that are not emitted
	}{
		{"probe", Spec{Kind: "udp-probe", To: "127.0.0.1:60000", Rate: 500, Count: 1000, Timeout: longestGrace, Sources: addresses(2)}, nil, map[string]float64{"probe_lost": 0, "probe_duplicated": 0, "client_server": 115}, []string{"probe_received", "pacer_late_us"}, []string{metricLate}},
		{"clients", Spec{Kind: "clients", To: "127.0.0.1:1", Services: all, Sources: addresses(5), Rate: 2, Timeout: patience}, told(observe.MetricClientServer, 5*named), map[string]float64{"persistence_moves": 0, "client_failures": 0, "client_server": 115}, []string{"client_answers", metricLate}, nil},
		{"parallel", Spec{Kind: "parallel", To: "127.0.0.1:60001", Sources: addresses(5), Flows: 8, Timeout: patience}, nil, map[string]float64{"parallel_split": 0, "parallel_failed": 0}, nil, nil},
		{"tcp stream", Spec{Kind: "tcp-stream", To: "127.0.0.1:60001", Sources: addresses(3)}, flowing(3, "frames", 150), map[string]float64{"tcp_survival": 1, "tcp_never": 0, "tcp_lost": 0, "tcp_flows": 3}, []string{"tcp_frames", metricLate}, nil},
		{"http closed", Spec{Kind: "http", To: "http://127.0.0.1:8080", Flows: 4, Timeout: patience}, seen("ok", 2), map[string]float64{"http_errors": 0, "http_success": 1, "http_flows": 4}, []string{"rps", "http_latency_us"}, []string{metricLate}},
		{"https close mode", Spec{Kind: "http", To: "127.0.0.1:8443", Flows: 2, Fresh: true, Timeout: patience, Metric: "l7_cps", Labels: map[string]string{"path": "vip"}}, seen("ok", 2), map[string]float64{"http_errors": 0}, []string{"l7_cps"}, nil},
		{"http open", Spec{Kind: "http", To: "127.0.0.1:8080", Rate: 25, Sources: addresses(2), Timeout: patience}, seen("ok", 2), map[string]float64{"http_errors": 0, "http_flows": 2}, []string{"http_ok", metricLate}, nil},
		{"download", Spec{Kind: "bulk", To: "127.0.0.1:60002", Flows: 2}, seen("bytes", 9), map[string]float64{"bulk_failed": 0}, []string{"goodput"}, nil},
		{"upload", Spec{Kind: "bulk", To: "127.0.0.1:60002", Direction: "upload"}, seen("bytes", 9), map[string]float64{"bulk_failed": 0}, []string{"goodput"}, nil},
		{"bounded upload", Spec{Kind: "bulk", To: "127.0.0.1:60002", Direction: "upload", Bytes: 1 << 20}, nil, map[string]float64{"bulk_failed": 0}, []string{"bulk_bytes"}, nil},
		{"https download", Spec{Kind: "bulk", To: "https://127.0.0.1:8443"}, seen("bytes", 9), map[string]float64{"bulk_failed": 0}, []string{"goodput"}, nil},
		{"http upload", Spec{Kind: "bulk", To: "http://127.0.0.1:8080", Direction: "upload"}, seen("bytes", 9), map[string]float64{"bulk_failed": 0}, []string{"goodput"}, nil},
		{"web", Spec{Kind: "web", To: "127.0.0.1:8080", Sources: addresses(2), Rate: 20}, flowing(2, "frames", 40), map[string]float64{"web_survival": 1, "web_never": 0, "web_flows": 2, "client_server": 115}, []string{"web_frames", metricLate}, nil},
		{"web over TLS", Spec{Kind: "web", To: "127.0.0.1:8443", Sources: addresses(2), Rate: 20}, flowing(2, "frames", 40), map[string]float64{"web_survival": 1, "web_never": 0, "client_server": 115}, []string{"web_frames"}, nil},
		{"burn", Spec{Kind: "burn", Flows: 1, Duration: time.Second}, nil, nil, []string{"burn_turns"}, nil},
		{"rtsp over udp", Spec{Kind: "rtsp", To: "127.0.0.1:554", Sources: addresses(3)}, flowing(3, "frames", 300), played("rtsp"), []string{"rtsp_frames"}, []string{metricLate}},
		{"rtsp interleaved", Spec{Kind: "rtsp", To: "127.0.0.1:554", Transport: "tcp", Sources: addresses(2)}, flowing(2, "frames", 200), played("rtsp"), []string{"rtsp_frames"}, nil},
		{"rtsp record", Spec{Kind: "rtsp", To: "127.0.0.1:554", Publish: true, Sources: addresses(2)}, flowing(2, "published", 60), published("rtsp"), []string{"rtsp_published", metricLate}, []string{"rtsp_frames", "rtsp_lost", "rtsp_flows", "rtsp_stall_ms"}},
		{"rtmp", Spec{Kind: "rtmp", To: "127.0.0.1:1935", Sources: addresses(2)}, flowing(2, "frames", 60), played("rtmp"), []string{"rtmp_frames"}, nil},
		{"rtmp publish", Spec{Kind: "rtmp", To: "127.0.0.1:1935", Publish: true}, flowing(1, "published", 30), published("rtmp"), []string{"rtmp_published", metricLate}, []string{"rtmp_frames", "rtmp_stall_ms"}},
		{"ts", Spec{Kind: "ts", To: "127.0.0.1:61000", Sources: addresses(2)}, flowing(2, "frames", 150), played("ts"), []string{"ts_frames"}, nil},
		{"ts over udp", Spec{Kind: "ts", To: "127.0.0.1:61001", Transport: "udp", Sources: addresses(2)}, flowing(2, "frames", 150), played("ts"), []string{"ts_frames"}, nil},
		{"verify", Spec{Kind: "verify", To: "127.0.0.1:1", Services: all, Timeout: patience}, nil, map[string]float64{"reachable": 1}, nil, nil},
		{"verify nothing there", Spec{Kind: "verify", To: "127.0.0.1:1", Services: []string{"tcp:7", "rtsp:8080"}}, nil, map[string]float64{"reachable": 0}, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.spec.Name = tt.name
			if tt.spec.Duration == 0 {
				tt.spec.Duration = patience
			}
			f.t = t
			records, s := f.run(tt.spec, tt.enough)
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
			for _, metric := range tt.none {
				if len(s[metric]) > 0 {
					t.Errorf("there is a %s: %v", metric, s[metric])
				}
			}
			if tt.spec.Kind == "ts" {
				everyFrame(t, records, s)
			}
			if tt.spec.Publish {
				f.landed(tt.spec.Kind, s[tt.spec.Kind+"_published"])
			}
			if t.Failed() {
				t.Log(notes(records))
			}
		})
	}
}

// everyFrame checks that a load saw the frames of the programme one by one, and not
// only now and then: at 25 a second, few of them after a stall. What a busy machine
// delivers late comes all the same, and then at once.
func everyFrame(t *testing.T, records []observe.Record, s map[string][]observe.Sample) {
	t.Helper()
	if len(s[observe.MetricClientServer]) == 0 {
		return // said already
	}
	var begin time.Duration
	for _, r := range records {
		if sample, err := observe.Decode[observe.Sample](r); err == nil && sample.Metric == observe.MetricClientServer {
			begin = max(begin, r.T)
		}
	}
	seconds := (records[len(records)-1].T - begin).Seconds()
	flows, frames := value(t, s, "ts_flows"), value(t, s, "ts_frames")
	if want := seconds * flows * frameRate; frames < want/2 || frames > want*1.5+2*flows*frameRate {
		t.Errorf("%v frames in %.2f s of %v flows, want about %.0f", frames, seconds, flows, want)
	}
	if stalls := float64(len(s["ts_stall_ms"])); stalls > frames/4 {
		t.Errorf("%v stalls in %v frames", stalls, frames)
	}
}

// landed compares what publishers wrote with what the server took, which is all but
// what was under way when they were cut off.
func (f *farm) landed(kind string, published []observe.Sample) {
	f.t.Helper()
	proto := map[string]string{"rtsp": control.ProtoRTSPRecord, "rtmp": control.ProtoRTMPRecord}[kind]
	s := f.eventually("the end of the sessions", func(s control.Status) bool {
		return s.Protocols[proto].Sessions > 0 && s.Protocols[proto].Active == 0
	})
	sent := 0.0
	for _, p := range published {
		sent += p.Value
	}
	const cut = 10 // a flow; RTMP has a header more
	got, flows := s.Protocols[proto], float64(len(published))
	if n := float64(got.ReceivedPackets); n < sent-cut*flows || n > sent+flows || got.Lost+got.Stray > 0 {
		f.t.Errorf("%v packets published, the server has %+v", sent, got)
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
	const cut = 500 * time.Millisecond
	done := make(chan error, 1)
	go func() { done <- f.cut(cut) }()
	_, s := f.run(Spec{Name: "s", Kind: "tcp-stream", To: "127.0.0.1:60001", Sources: addresses(2), Duration: patience}, told("tcp_recovered_ms", 2))
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := value(t, s, "tcp_survival"); got != 0 {
		t.Errorf("survival %v, want 0", got)
	}
	if len(s["tcp_died"]) != 2 || len(s["tcp_recovered_ms"]) != 2 {
		t.Errorf("%d deaths, %d recoveries, want 2 of each", len(s["tcp_died"]), len(s["tcp_recovered_ms"]))
	}
	long := 0
	for _, stall := range s["tcp_stall_ms"] {
		if stall.Value >= (cut-50*time.Millisecond).Seconds()*1000 {
			long++
		}
	}
	if long < 2 {
		t.Errorf("stalls %v, want two of %s or more", s["tcp_stall_ms"], cut)
	}
}

// cut makes the server refuse for so long, once two clients have sessions that work.
func (f *farm) cut(d time.Duration) error {
	_, err := f.until(func(s control.Status) bool {
		for _, client := range addresses(2) {
			if c := s.Client(netip.MustParseAddr(client), control.ServiceProbeTCP); c.Active != 1 || c.SentPackets < 5 {
				return false
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	ctx := f.t.Context()
	if err := f.simvos.SetFault(ctx, control.Fault{Kind: control.Refuse}); err != nil {
		return err
	}
	wait(ctx, d)
	return f.simvos.ClearFaults(ctx)
}
