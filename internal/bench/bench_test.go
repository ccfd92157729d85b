package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const output = `goos: linux
cpu: some
BenchmarkProgram/floor-2         	  200000	      2785 ns/op	        34.00 ns/packet
BenchmarkProgram/new_flow-2      	  200000	     63684 ns/op	       148.5 floor-ns/packet	      2661 ns/packet
BenchmarkBuild/nodes=12          	  1	     5 ns/op	       1 ms/up
PASS
ok  	some/package	26.528s
`

func TestParse(t *testing.T) {
	got := make(values)
	for range 2 {
		if err := parse(output, got); err != nil {
			t.Fatal(err)
		}
	}
	want := values{
		"Program/floor":    {"iterations": {200000, 200000}, "ns/op": {2785, 2785}, "ns/packet": {34, 34}},
		"Program/new_flow": {"iterations": {200000, 200000}, "ns/op": {63684, 63684}, "floor-ns/packet": {148.5, 148.5}, "ns/packet": {2661, 2661}},
		"Build/nodes=12":   {"iterations": {1, 1}, "ns/op": {5, 5}, "ms/up": {1, 1}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"much", "NaN", "+Inf"} {
		if err := parse("BenchmarkX 1 "+bad+" ns/op\n", got); err == nil {
			t.Errorf("%s was taken for a measurement", bad)
		}
	}
}

func TestFloorIsTakenOffRoundByRound(t *testing.T) {
	v := values{
		"Program/floor":           {"ns/packet": {30, 40, 35}},
		"Program/established_v4":  {"ns/packet": {130, 160, 145}},
		"Program/new_flow_maglev": {"ns/packet": {1000, 900}, "floor-ns/packet": {100, 150}},
	}
	got := map[string]spread{}
	for _, r := range programRows(v) {
		got[r.Name] = r.spread
	}
	for name, want := range map[string]spread{
		"established flow, IPv4":      {3, 100, 110, 120},
		"new client and flow, Maglev": {2, 750, 825, 900},
		"established flow, IPv6":      {},
	} {
		if got[name] != want {
			t.Errorf("%s: %+v, want %+v", name, got[name], want)
		}
	}
}

func TestRatiosKeepTheSpreadOfTheirBenchmark(t *testing.T) {
	v := make(values)
	if err := parse("BenchmarkAgainstDirect/goodput-1/proxy-2 6 0 ns/op 0.6 ratio 0.5 ratio-min 0.7 ratio-max\n", v); err != nil {
		t.Fatal(err)
	}
	if got, want := proxyRows(v)[0].spread, (spread{6, 0.5, 0.6, 0.7}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestReport(t *testing.T) {
	r := report{
		Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Took: "1m0s", Rounds: 2,
		Machine: host{Kernel: "6.6.0", CPU: "some CPU", CPUs: 2, Go: "go1.26", LoadBefore: "0.10", LoadAfter: "2.00", BusyPercent: 51.4},
		Note:    "Nobody else was here.",
		Sections: []section{{Title: "Packets", About: "what they cost", Rows: []row{
			{Name: "one", Unit: "ns", Remark: "aim ≤ 2", spread: spread{2, 1.234, 99.94, 12345.6}}, {Name: "none", Unit: "ns"},
		}}},
	}
	var page, text strings.Builder
	if err := writeMarkdown(&page, r); err != nil {
		t.Fatal(err)
	}
	if err := writeText(&text, r); err != nil {
		t.Fatal(err)
	}
	want := `# Benchmarks of 2026-01-02 03:04 UTC

Made by ` + "`make bench`" + ` in 1m0s, 2 rounds each: minimum, median and maximum of the rounds.

- machine: Linux 6.6.0, 2 CPUs (some CPU), go1.26
- noise: load average 0.10 before and 2.00 after, 51 % of CPU time busy, 0.0 % stolen

Nobody else was here.

## Packets

What they cost.

| | min | median | max | unit | |
|---|---:|---:|---:|---|---|
| one | 1.23 | 99.9 | 12346 | ns | aim ≤ 2 |
| none | — | — | — | ns |  |
`
	if diff := cmp.Diff(want, page.String()); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(text.String(), "\nPackets        min    median       max\n  one        1.23      99.9     12346  ns         aim ≤ 2\n") {
		t.Errorf("no aligned value in\n%s", text.String())
	}
	if err := r.complete(); err == nil || !strings.Contains(err.Error(), "Packets: none") {
		t.Errorf("what is missing is not named: %v", err)
	}
}
