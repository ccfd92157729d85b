package main

import (
	"context"
	"fmt"
)

// suite is the benchmarks of one package.
type suite struct {
	title, about          string
	pkg, bench, benchtime string
	// repeats says that the benchmark itself repeats and reports its spread.
	repeats bool
	rows    func(values) []row
}

// run runs the suite. Each round is a process of its own, so that a value and the
// floor taken off it were measured seconds apart.
func (s suite) run(ctx context.Context, rounds int) (values, error) {
	v := make(values)
	if s.repeats {
		s.benchtime = fmt.Sprintf("%dx", rounds)
		rounds = 1
	}
	for range rounds {
		if err := goBench(ctx, s, v); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func suites() []suite {
	return []suite{
		{
			title: "Data plane, per packet", pkg: "./appliance/internal/dataplane/ebpf",
			about: "the Direct Routing program under BPF_PROG_TEST_RUN, minus the empty program of the same round",
			bench: "^BenchmarkProgram$", benchtime: "200000x", rows: programRows,
		},
		{
			title: "Data plane, memory", pkg: "./appliance/internal/dataplane/ebpf",
			about: "what one place in the kernel's tables costs, as the kernel accounts it",
			bench: "^BenchmarkMemory$", benchtime: "1x", rows: memoryRows,
		},
		{
			title: "Proxy against direct", pkg: "./appliance/internal/proxy",
			about: "one connection path through the proxy (persistence, limits, counters on) over the same path without it, in turn; " +
				"the plain copy loop is the yardstick",
			bench: "^BenchmarkAgainstDirect$", repeats: true, rows: proxyRows,
		},
		{
			title: "Lab", pkg: "./harness/lab",
			about: "namespaces, links, addresses and sysctls of a topology, without programs",
			bench: "^BenchmarkBringUp$", benchtime: "1x", rows: labRows,
		},
	}
}

// programRows are the costs without the floor of the same round.
func programRows(v values) []row {
	floor := v["Program/floor"]["ns/packet"]
	rows := []row{{Name: "floor: the empty program", Unit: "ns", spread: describe(floor)}}
	for _, c := range []struct{ bench, name string }{
		{"established_v4", "established flow, IPv4"},
		{"established_v4_leased", "established flow, IPv4, with a lease"},
		{"established_v6", "established flow, IPv6"},
		{"no_match", "no virtual service"},
		{"port_not_served", "port outside the service: dropped"},
	} {
		rows = append(rows, row{Name: c.name, Unit: "ns", spread: describe(minus(v["Program/"+c.bench]["ns/packet"], floor))})
	}
	for _, c := range []struct{ bench, name string }{
		{"new_flow_wlc", "new client and flow, least connections"},
		{"new_flow_maglev", "new client and flow, Maglev"},
	} {
		m := v["Program/"+c.bench]
		rows = append(rows, row{
			Name: c.name, Unit: "ns", Remark: "single runs, minus the floor of single runs",
			spread: describe(minus(m["ns/packet"], m["floor-ns/packet"])),
		})
	}
	return rows
}

func memoryRows(v values) []row {
	return []row{
		{Name: "flow", Unit: "B", spread: describe(v["Memory"]["B/flow"])},
		{Name: "persistence entry", Unit: "B", spread: describe(v["Memory"]["B/entry"])},
	}
}

func proxyRows(v values) []row {
	var rows []row
	for _, c := range []struct{ bench, name, aim string }{
		{"goodput-1", "goodput, 1 connection", "≥ 0.6"},
		{"goodput-4", "goodput, 4 connections", "≥ 0.6"},
		{"keepalive-32", "requests/s, 32 connections kept", "≥ 0.45"},
		{"close-16", "connections/s, 16 at a time", "≥ 0.55"},
	} {
		rows = append(rows,
			row{Name: c.name, Unit: "of direct", Remark: "aim " + c.aim, spread: reported(v["AgainstDirect/"+c.bench+"/proxy"])},
			row{Name: c.name + ", plain copy loop", Unit: "of direct", spread: reported(v["AgainstDirect/"+c.bench+"/plain"])})
	}
	return rows
}

// reported is a spread that the benchmark worked out itself.
func reported(m map[string][]float64) spread {
	if len(m["ratio"]) == 0 {
		return spread{}
	}
	return spread{N: int(m[unitIterations][0]), Min: m["ratio-min"][0], Median: m["ratio"][0], Max: m["ratio-max"][0]}
}

func labRows(v values) []row {
	var rows []row
	for _, nodes := range []int{12, 100} {
		each := v[fmt.Sprintf("BringUp/%d", nodes)]["ms/node"]
		all := make([]float64, 0, len(each))
		for _, ms := range each {
			all = append(all, ms*float64(nodes))
		}
		rows = append(rows,
			row{Name: fmt.Sprintf("%d nodes", nodes), Unit: "ms", spread: describe(all)},
			row{Name: fmt.Sprintf("%d nodes, each", nodes), Unit: "ms", Remark: "aim ≤ 3 ms", spread: describe(each)})
	}
	return rows
}
