package report_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/harness/report"
	"github.com/vosbed/vosbed/harness/scenario"
	"github.com/vosbed/vosbed/harness/topo"
	"github.com/vosbed/vosbed/harness/verdict"
)

var (
	update = flag.Bool("update", false, "rewrite golden files")
	keep   = flag.String("keep", "", "keep the directory of the realistic run here, to look at")
)

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (run with -update to accept):\n%s", name, diff)
	}
}

func smallResult() report.Result {
	return report.Result{
		Scenario: "failover", Verdict: verdict.Broken, Started: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), DurationMS: 61500,
		Expectations: []verdict.Judged{
			{Name: "kill heals in time", Verdict: verdict.Pass, Observed: "318 ms", Limit: "≤ 450", Evidence: "outage_ms{fault=kill}.max: n 10"},
			{
				Name: "freeze heals in time", About: "Every process of the active node is stopped.", Verdict: verdict.Fail, Observed: "512 ms", Limit: "≤ 450",
				Evidence: "outage_ms{fault=freeze}.max: n 10, min 48.12, median 301.5, p99 512, max 512; decided by record 12 <&>",
			},
			{Name: "noisy", Verdict: verdict.Inconclusive, Observed: "1 ms", Limit: "≤ 60", Evidence: "the noise floor is 20"},
			{Name: "missing", Verdict: verdict.Broken, Observed: "nothing", Limit: "= 1", Evidence: "no samples of x"},
		},
		Broken: []string{"lab at 1.000s: oops"},
	}
}

func TestJUnit(t *testing.T) {
	var b bytes.Buffer
	if err := report.JUnit(&b, smallResult()); err != nil {
		t.Fatal(err)
	}
	golden(t, "junit.xml", b.Bytes())
	var back struct {
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Errors   int        `xml:"errors,attr"`
		Cases    []struct{} `xml:"testcase"`
	}
	if err := xml.Unmarshal(b.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if back.Tests != 5 || len(back.Cases) != 5 || back.Failures != 1 || back.Errors != 2 {
		t.Errorf("read back %+v", back)
	}
}

func TestSummary(t *testing.T) {
	var plain, coloured bytes.Buffer
	if err := report.Summary(&plain, smallResult(), false); err != nil {
		t.Fatal(err)
	}
	golden(t, "summary.txt", plain.Bytes())
	if err := report.Summary(&coloured, smallResult(), true); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(plain.String(), "\x1b") || !strings.Contains(coloured.String(), "\x1b[32m✔\x1b[0m") {
		t.Error("colour where none was asked, or none where it was")
	}
}

// run is a realistic history: four kinds of faults, a probe, two appliances.
type run struct {
	t  *testing.T
	rs []observe.Record
}

func (r *run) add(at time.Duration, k observe.Kind, node, name string, v any) {
	r.t.Helper()
	rec, err := observe.New(at, k, name, v)
	if err != nil {
		r.t.Fatal(err)
	}
	rec.Node = node
	r.rs = append(r.rs, rec)
}

func (r *run) status(at time.Duration, node, role, ht1 string) {
	server := func(name, state string) map[string]any { return map[string]any{"name": name, "state": state} }
	r.add(at, observe.KindStatus, node, "", map[string]any{"role": role, "problems": []string{}, "services": []any{
		map[string]any{"name": "Mgmt", "servers": []any{server("HM1", "serving"), server("HM2", "serving")}},
		map[string]any{"name": "Traffic", "servers": []any{server("HT1", ht1), server("HT2", "serving")}},
	}})
}

func realistic(t *testing.T) []observe.Record {
	t.Helper()
	const s, ms = time.Second, time.Millisecond
	r := &run{t: t}
	r.add(0, observe.KindRun, "", "", observe.Run{Scenario: "failover", Started: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), Seed: 42, Kernel: "6.18.44", CPUs: 2, Version: "v0.1.0"})
	r.add(0, observe.KindStep, "", "warm", observe.Span{What: "let all services settle for 5s"})
	r.add(5*s, observe.KindStep, "", "warm", observe.Span{What: "let all services settle for 5s", End: true})
	at, end := 6*s, 90*s
	roles := [2]string{"active", "passive"}
	type silence struct{ from, to time.Duration }
	var holes []silence
	for i, kind := range []string{"kill", "freeze", "cut", "blackhole", "kill", "freeze", "cut", "kill", "blackhole", "kill"} {
		active := i % 2
		node, other := []string{"lb1", "lb2"}[active], []string{"lb1", "lb2"}[1-active]
		r.add(at-500*ms, observe.KindStep, "", kind, observe.Span{What: "trial " + string(rune('1'+i%9)) + ": " + kind + " the active appliance"})
		r.add(at, observe.KindFault, "", kind, observe.Fault{Kind: kind, Target: node, Role: "active"})
		outage := time.Duration(280+37*((i*7)%5)) * ms
		holes = append(holes, silence{at - ms, at + outage})
		r.add(at+outage, observe.KindGap, "clients", "probe", observe.Gap{Flow: 0, From: at - ms, To: at + outage, Outage: outage, Lost: int(outage / ms), Before: 115, After: 115})
		r.add(at+outage, observe.KindFrame, other, "", observe.Frame{VIP: "192.168.94.110", Node: other, Sort: "garp"})
		r.add(at+4*s, observe.KindHeal, "", kind, observe.Fault{Kind: kind, Target: node})
		r.add(at+5*s, observe.KindStep, "", kind, observe.Span{End: true})
		roles[active], roles[1-active] = "passive", "active"
		for tick := time.Duration(0); tick < 8*s; tick += s {
			if tick >= 4*s || tick == 0 {
				r.status(at+tick+outage, node, "passive", "serving")
			}
			ht1 := "serving"
			if i == 4 && tick > 1*s && tick < 5*s {
				ht1 = "down"
			}
			r.status(at+tick+outage, other, "active", ht1)
		}
		at += 8 * s
	}
	for k := range int(end / (100 * ms)) {
		now := time.Duration(k+1) * 100 * ms
		received, hole := 400.0, 1.5+float64(k%7)/5
		for _, h := range holes {
			if now > h.from && now-100*ms < h.to {
				received, hole = 400*float64(max(0, now-h.to))/float64(100*ms), 100
			}
		}
		v := map[string]float64{"sent": 400, "received": min(received, 400), "hole_ms": hole}
		if received > 0 {
			v["p99_us"] = 180 + float64((k*37)%60)
			if received < 400 {
				v["p99_us"] = 2500
			}
		}
		r.add(now, observe.KindSeries, "clients", "probe", observe.Series{Interval: 100 * ms, Values: v})
	}
	for i, ratio := range []float64{0.81, 0.79, 0.84, 0.8, 0.82} {
		pair := string(rune('1' + i))
		for path, v := range map[string]float64{"direct": 9000, "vip": 9000 * ratio} {
			r.add(end, observe.KindSample, "", "bulk", observe.Sample{Metric: "dr_goodput", Value: v, Unit: "Mbit/s", Labels: map[string]string{"path": path, "pair": pair}})
		}
	}
	for c := range 40 {
		r.add(s, observe.KindSample, "", "people", observe.Sample{Metric: "client_server", Value: float64(115 + c%2), Labels: map[string]string{"client": string(rune('a' + c)), "service": "udp:60000"}})
	}
	return r.rs
}

func drawing() topo.Drawing {
	return topo.Drawing{
		Columns: 4, Rows: 5,
		Boxes: []topo.Box{
			{Name: "clients", Kind: topo.KindClients, Lines: []string{"10.9.0.2", "10.9.64.0/22"}, X: 2, Y: 0.5},
			{Name: "router", Kind: topo.KindRouter, Lines: []string{"10.9.0.1", "192.168.94.1"}, X: 2, Y: 1.5},
			{Name: "service", Kind: "switch", X: 2, Y: 2.5},
			{Name: "lb1", Kind: topo.KindAppliance, Lines: []string{"192.168.94.101"}, X: 1, Y: 3.5},
			{Name: "lb2", Kind: topo.KindAppliance, Lines: []string{"192.168.94.102"}, X: 3, Y: 3.5},
			{Name: "HM1", Kind: topo.KindSimVOS, Lines: []string{"192.168.94.105"}, X: 0.5, Y: 4.5},
			{Name: "HM2", Kind: topo.KindSimVOS, Lines: []string{"192.168.94.106"}, X: 1.5, Y: 4.5},
			{Name: "HT1", Kind: topo.KindSimVOS, Lines: []string{"192.168.94.115"}, X: 2.5, Y: 4.5},
			{Name: "HT2", Kind: topo.KindSimVOS, Lines: []string{"192.168.94.116"}, X: 3.5, Y: 4.5},
		},
		Wires: []topo.Wire{
			{From: "clients", To: "router"},
			{From: "router", To: "service"},
			{From: "lb1", To: "service"},
			{From: "lb2", To: "service"},
			{From: "lb1", To: "lb2"},
			{From: "HM1", To: "service"},
			{From: "HM2", To: "service"},
			{From: "HT1", To: "service"},
			{From: "HT2", To: "service"},
		},
	}
}

// runDir writes a run directory as the harness does.
func runDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if *keep != "" {
		dir = *keep
	}
	history := realistic(t)
	file, err := os.Create(filepath.Join(dir, report.FileHistory))
	if err != nil {
		t.Fatal(err)
	}
	w := observe.NewWriter(file, 0)
	for _, r := range history {
		if err = w.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	if err = file.Close(); err != nil {
		t.Fatal(err)
	}
	result := verdict.Judge([]scenario.Expectation{
		{Name: "a killed appliance is replaced in time", About: "Every process of the active node dies at once.", Metric: "outage_ms{fault=kill}.max", Max: new(float64(450)), Floor: "noise_floor_ms.p99", AtLeast: 4},
		{Name: "a frozen appliance is replaced in time", Metric: "outage_ms{fault=freeze}.max", Max: new(float64(450)), Floor: "noise_floor_ms.p99"},
		{Name: "a black hole is noticed in time", Metric: "outage_ms{fault=blackhole}.max", Max: new(float64(300))},
		{Name: "clients keep their server", Metric: "persistence_ratio", Equals: new(float64(1))},
		{Name: "direct routing is fast", Metric: "dr_goodput_ratio", Min: new(0.75), AtLeast: 5},
		{Name: "HT1 is taken out", Eventually: `server("Traffic/HT1").state == "down"`, From: "kill", Within: 60 * time.Second},
		{Name: "RTSP sessions live on", Metric: "rtsp_survival{fault=kill}.min", Min: new(float64(1))},
	}, history)
	if err = report.WriteResult(dir, result); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(drawing())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{report.FileTopology: b, report.FileScenario: []byte("scenario: failover\nsteps: [] # <script>\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestWrite(t *testing.T) {
	dir := runDir(t)
	if err := report.Write(dir); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, report.FileHTML))
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	for _, want := range []string{
		"<h1>failover</h1>", "a killed appliance is replaced in time", "Outage per trial", "noise floor", "192.168.94.110"[:11],
		"trial 1: ", "HT1", "Anatomy of the outages", "first flow back", "dr_goodput: 10 distributions",
		// Each fault has a limit of its own; cut has none.
		`class="limittext"`, ">450</text>", ">300</text>", "<td class=\"num\">–</td>", "Replies: probe, per second", "Latency p99: probe", "relative to direct", "&lt;script&gt;", `id="topology"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, bad := range []string{"http://", "https://", "<script", "<link", "NaN", "Inf", "ZgotmplZ"} {
		if strings.Contains(text, bad) {
			t.Errorf("the page has %q: it must work offline", bad)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, report.FileJUnit)); err != nil {
		t.Error(err)
	}
}

func TestWriteWithLittle(t *testing.T) {
	dir := t.TempDir()
	if err := report.Write(dir); err == nil {
		t.Error("a directory without a result was reported")
	}
	if err := os.WriteFile(filepath.Join(dir, report.FileHistory), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := report.WriteResult(dir, verdict.Judge(nil, nil)); err != nil {
		t.Fatal(err)
	}
	if err := report.Write(dir); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, report.FileHTML))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "The lab failed") {
		t.Error("the page does not say that the lab failed")
	}
}
