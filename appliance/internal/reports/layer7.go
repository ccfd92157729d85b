package reports

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/lb"
)

func layer7(t *table, f Facts) {
	t.who()
	t.text("state", "State")
	t.number("sessions", "Sessions", "")
	t.number("session_limit", "Limit", "")
	t.number("sessions_total", "Sessions, total", "")
	t.number("sessions_per_second", "Sessions/s", api.UnitPerSec)
	t.number("bytes_in", "Bytes in", api.UnitBytes)
	t.number("bytes_out", "Bytes out", api.UnitBytes)
	t.number("bytes_in_per_second", "In", api.UnitByteSec)
	t.number("bytes_out_per_second", "Out", api.UnitByteSec)
	t.number("connect_failures", "Connect failures", "")
	t.number("retries", "Retries", "")
	t.text("check", "Check")
	t.text("verdict", "Last verdict")
	t.text("checked_at", "Checked")
	each(f.Status, lb.Layer7, func(svc *lb.ServiceStatus, rip *lb.RealStatus) { t.row(layer7Row(f, svc, rip)) })
	p := f.Status.Proxy
	t.note("All services together: %d sessions of %d that the node's descriptors allow.", p.Sessions, p.Capacity)
	t.none(noLayer7)
}

func layer7Row(f Facts, svc *lb.ServiceStatus, rip *lb.RealStatus) map[string]any {
	row := map[string]any{"service": svc.Name, "state": serving(svc)}
	c, limit := lb.RealCounters{
		In: svc.Counters.In, Out: svc.Counters.Out, Conns: svc.Counters.Conns, ActiveConns: svc.Counters.ActiveConns,
		ConnectFailed: svc.Counters.ConnectFailed, Retried: svc.Counters.Retried,
	}, svc.MaxConns
	if rip != nil {
		row["server"], row["state"] = rip.Name, rip.State.String()
		c, limit = rip.Counters, rip.MaxConns
		checked(row, rip.Health.Last)
	}
	row["sessions"], row["sessions_total"], row["bytes_in"], row["bytes_out"] = c.ActiveConns, c.Conns, c.In.Bytes, c.Out.Bytes
	row["connect_failures"], row["retries"] = c.ConnectFailed, c.Retried
	if limit > 0 {
		row["session_limit"] = limit
	}
	if r, ok := f.Rates[id(svc, rip)]; ok {
		row["sessions_per_second"], row["bytes_in_per_second"], row["bytes_out_per_second"] = r.Now.Conns, r.Now.BytesIn, r.Now.BytesOut
	}
	return row
}

// checked adds what the latest check of a server said.
func checked(row map[string]any, v lb.Verdict) {
	if v.At.IsZero() {
		row["check"] = "not yet"
		return
	}
	row["checked_at"] = v.At.UTC().Format(time.RFC3339)
	row["check"], row["verdict"] = "passed", v.Sent
	if v.Status != 0 {
		row["verdict"] = fmt.Sprintf("HTTP %d", v.Status)
	}
	if !v.OK {
		row["check"], row["verdict"] = "failed", v.Failed
	}
}

// tally is what the entries of a service or server come to.
type tally struct {
	entries       int
	newest, least time.Duration // the shortest and the longest idle time
}

func (t *tally) add(e lb.PersistenceEntry) {
	if t.entries == 0 || e.Idle < t.newest {
		t.newest = e.Idle
	}
	t.least = max(t.least, e.Idle)
	t.entries++
}

func persistence(t *table, f Facts) {
	t.who()
	t.number("entries", "Entries", "")
	t.number("newest_idle_seconds", "Newest, idle for", api.UnitSeconds)
	t.number("oldest_idle_seconds", "Oldest, idle for", api.UnitSeconds)
	tallies := map[lb.RealID]*tally{}
	count := func(id lb.RealID, e lb.PersistenceEntry) {
		if tallies[id] == nil {
			tallies[id] = &tally{}
		}
		tallies[id].add(e)
	}
	for _, e := range f.Entries {
		count(lb.RealID{Service: e.Service}, e)
		count(lb.RealID{Service: e.Service, Real: e.Server}, e)
	}
	add := func(svc *lb.ServiceStatus, rip *lb.RealStatus) {
		at := id(svc, rip)
		t.row(persistenceRow(at, tallies[at]))
		delete(tallies, at)
	}
	each(f.Status, lb.Layer4, add)
	each(f.Status, lb.Layer7, add)
	// What is left belongs to what is not configured any more.
	var left []lb.RealID
	for at := range tallies {
		left = append(left, at)
	}
	slices.SortFunc(left, func(a, b lb.RealID) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Real, b.Real))
	})
	for _, at := range left {
		t.row(persistenceRow(at, tallies[at]))
	}
	t.note("Table of layer 4: %s.", occupancy(f.Status.Dataplane.Entries, f.Status.Dataplane.EntryCapacity))
	t.note("Table of layer 7: %s; made room for others: %d.", occupancy(f.Status.Proxy.Entries, f.Status.Proxy.EntryCapacity), f.Status.Proxy.Evicted)
}

func persistenceRow(at lb.RealID, c *tally) map[string]any {
	row := map[string]any{"service": at.Service, "entries": 0}
	if at.Real != "" {
		row["server"] = at.Real
	}
	if c != nil {
		row["entries"], row["newest_idle_seconds"], row["oldest_idle_seconds"] = c.entries, c.newest.Seconds(), c.least.Seconds()
	}
	return row
}
