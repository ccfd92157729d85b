// Package reports makes the reports of the appliance (guide 9.3.1, "View various appliance
// reports & graphs"): tables of what it does, from facts that are handed in. It is pure.
package reports

import (
	"fmt"
	"strconv"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/rates"
	"github.com/vosbed/vosbed/appliance/lb"
)

// Facts are everything that a report follows from; each needs some.
type Facts struct {
	Status  lb.Status
	Rates   map[lb.RealID]rates.Rate
	Entries []lb.PersistenceEntry
	Graphs  api.Stats
}

// kind is one report.
type kind struct {
	name, title string
	build       func(*table, Facts)
}

func kinds() []kind {
	return []kind{
		{api.ReportLayer4, "Layer 4 Status", layer4},
		{api.ReportLayer4Rate, "Layer 4 Traffic Rate", layer4Rate},
		{api.ReportLayer7, "Layer 7 Status", layer7},
		{api.ReportPersistence, "Persistence", persistence},
		{api.ReportGraphs, "Graphs", graphs},
	}
}

// Names lists the reports, in the order of the menu.
func Names() []api.ReportName {
	var out []api.ReportName
	for _, k := range kinds() {
		out = append(out, api.ReportName{Name: k.name, Title: k.title})
	}
	return out
}

// Build makes a report; ok is false if there is none of that name.
func Build(name string, f Facts) (report api.Report, ok bool) {
	for _, k := range kinds() {
		if k.name != name {
			continue
		}
		t := &table{api.Report{
			Name: k.name, Title: k.title, At: f.Status.At,
			Notes: []string{}, Columns: []api.ReportColumn{}, Rows: []map[string]any{},
		}}
		k.build(t, f)
		return t.Report, true
	}
	return api.Report{}, false
}

// table is a report under construction.
type table struct{ api.Report }

func (t *table) note(format string, args ...any) {
	t.Notes = append(t.Notes, fmt.Sprintf(format, args...))
}

func (t *table) text(key, title string) {
	t.Columns = append(t.Columns, api.ReportColumn{Key: key, Title: title})
}

func (t *table) number(key, title, unit string) {
	t.Columns = append(t.Columns, api.ReportColumn{Key: key, Title: title, Unit: unit, Number: true})
}

// row adds one; a column that it leaves out is null.
func (t *table) row(values map[string]any) {
	for _, c := range t.Columns {
		if _, ok := values[c.Key]; !ok {
			values[c.Key] = nil
		}
	}
	t.Rows = append(t.Rows, values)
}

// who are the columns that every table of services begins with.
func (t *table) who() {
	t.text("service", "Virtual service")
	t.text("server", "Real server")
}

// none says so where there is nothing to show.
func (t *table) none(what string) {
	if len(t.Rows) == 0 {
		t.note("%s", what)
	}
}

// each calls fn for the services of a layer and for their servers: rip is nil for the
// service itself.
func each(s lb.Status, layer lb.Layer, fn func(svc *lb.ServiceStatus, rip *lb.RealStatus)) {
	for i := range s.Services {
		svc := &s.Services[i]
		if svc.Layer != layer {
			continue
		}
		fn(svc, nil)
		for j := range svc.Reals {
			fn(svc, &svc.Reals[j])
		}
	}
}

// byNobody is what direct routing keeps from the balancer.
const byNobody = "Direct routing: real servers answer clients past the load balancer (guide 7.1), so only what clients send is counted here."

// noLayer4 and noLayer7 are the notes of an empty table.
const (
	noLayer4 = "No layer 4 virtual service is configured."
	noLayer7 = "No layer 7 virtual service is configured."
)

// serving counts the servers that take new clients.
func serving(svc *lb.ServiceStatus) string {
	n := 0
	for i := range svc.Reals {
		if svc.Reals[i].State.TakesNewClients() {
			n++
		}
	}
	return fmt.Sprintf("%d of %d serving", n, len(svc.Reals))
}

func id(svc *lb.ServiceStatus, rip *lb.RealStatus) lb.RealID {
	if rip == nil {
		return lb.RealID{Service: svc.Name}
	}
	return lb.RealID{Service: svc.Name, Real: rip.Name}
}

func layer4(t *table, f Facts) {
	t.who()
	for _, c := range [][2]string{{"address", "IP"}, {"ports", "Ports"}, {"protocol", "Protocol"}, {"method", "Method"}, {"state", "State"}, {"why", "Why"}} {
		t.text(c[0], c[1])
	}
	t.number("weight", "Weight", "")
	t.number("active_connections", "Active connections", "")
	t.number("connections", "Connections", "")
	t.number("packets_in", "Packets in", "")
	t.number("bytes_in", "Bytes in", api.UnitBytes)
	each(f.Status, lb.Layer4, func(svc *lb.ServiceStatus, rip *lb.RealStatus) {
		if rip == nil {
			t.row(map[string]any{
				"service": svc.Name, "address": svc.Addr.String(), "ports": svc.Ports.String(), "protocol": svc.Protocols.String(), "method": svc.Method.String(),
				"state": serving(svc), "active_connections": svc.Counters.ActiveConns, "connections": svc.Counters.Conns,
				"packets_in": svc.Counters.In.Packets, "bytes_in": svc.Counters.In.Bytes,
			})
			return
		}
		t.row(map[string]any{
			"service": svc.Name, "server": rip.Name, "address": rip.Addr.String(), "state": rip.State.String(), "why": rip.Why, "weight": rip.Weight,
			"active_connections": rip.Counters.ActiveConns, "connections": rip.Counters.Conns,
			"packets_in": rip.Counters.In.Packets, "bytes_in": rip.Counters.In.Bytes,
		})
	})
	t.note("%s", byNobody)
	d := f.Status.Dataplane
	t.note("Flow table: %s.", occupancy(d.Flows, d.FlowCapacity))
	t.none(noLayer4)
}

// occupancy is how full a table is.
func occupancy(used, capacity uint64) string {
	if capacity == 0 {
		return fmt.Sprintf("%d entries", used)
	}
	return fmt.Sprintf("%d of %d entries (%s %%)", used, capacity, strconv.FormatFloat(percent(used, capacity), 'f', 1, 64))
}

func percent(used, capacity uint64) float64 { return 100 * float64(used) / float64(capacity) }

func layer4Rate(t *table, f Facts) {
	t.who()
	for _, c := range []struct{ key, title, unit string }{
		{"connections_per_second", "Connections/s", api.UnitPerSec}, {"packets_in_per_second", "Packets/s in", api.UnitPerSec}, {"bytes_in_per_second", "Bytes/s in", api.UnitByteSec},
	} {
		t.number(c.key, c.title+", now", c.unit)
		t.number(c.key+"_avg", c.title+", avg", c.unit)
		t.number(c.key+"_max", c.title+", max", c.unit)
	}
	each(f.Status, lb.Layer4, func(svc *lb.ServiceStatus, rip *lb.RealStatus) {
		row := map[string]any{"service": svc.Name}
		if rip != nil {
			row["server"] = rip.Name
		}
		if r, ok := f.Rates[id(svc, rip)]; ok {
			for end, flow := range map[string]rates.Flow{"": r.Now, "_avg": r.Avg, "_max": r.Max} {
				row["connections_per_second"+end] = flow.Conns
				row["packets_in_per_second"+end] = flow.PacketsIn
				row["bytes_in_per_second"+end] = flow.BytesIn
			}
		}
		t.row(row)
	})
	t.note("Now is of the latest 5 seconds or more; average and maximum are of the latest minute.")
	t.note("%s", byNobody)
	t.none(noLayer4)
}

// graphs are the samples behind the graphs, a row each.
func graphs(t *table, f Facts) {
	t.text("time", "Time (UTC)")
	units := map[string]string{api.SeriesRX: api.UnitByteSec, api.SeriesTX: api.UnitByteSec, api.SeriesMemory: api.UnitBytes}
	n := 0
	for _, s := range f.Graphs.Serie {
		t.number(s.Name, s.Name, units[s.Name])
		n = max(n, len(s.Values))
	}
	for i := range n {
		row, known := map[string]any{"time": f.Graphs.From.Add(f.Graphs.Step * time.Duration(i)).UTC().Format(time.RFC3339)}, false
		for _, s := range f.Graphs.Serie {
			if i < len(s.Values) && s.Values[i] != nil {
				row[s.Name], known = *s.Values[i], true
			}
		}
		if known {
			t.row(row)
		}
	}
	t.note("Averages of %s each.", f.Graphs.Step)
	t.none("Nothing is measured yet.")
}
