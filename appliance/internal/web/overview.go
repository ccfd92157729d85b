package web

import (
	"cmp"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
)

// checkPath is the page of one health check.
const checkPath = Root + "check"

// fewServices is how many virtual services are shown with their real servers unfolded.
const fewServices = 10

func overviewScreens() []screen {
	return []screen{{name: "overview", path: Root, title: "System Overview", role: api.RoleAuditor, show: (*visit).overview}}
}

func overviewRoutes() []route {
	return []route{
		{method: http.MethodPost, path: Root + "server", serve: (*visit).setServer},
		{method: http.MethodGet, path: checkPath, serve: (*visit).checkPage},
		{method: http.MethodGet, path: Root + "events", serve: (*visit).events, background: true},
		{method: http.MethodGet, path: Root + "graphs.json", serve: (*visit).graphsData, background: true},
	}
}

// overviewData is what the screen shows, without the graphs.
type overviewData struct {
	At        time.Time
	Columns   []column
	Services  []serviceRow
	Conflicts []api.Conflict
	Problems  []string
	Facts     [][2]string
	Operator  bool
	Session   api.Session
	Ranges    []rangeLink
	Graphs    []graph
}

func (d overviewData) drawn() bool { return len(d.Graphs) > 0 }

// column is one heading that sorts.
type column struct {
	Text, Link, Sort string // Sort is the value of aria-sort
	Number           bool
}

// serviceRow is one virtual service as guide 11.2 shows it.
type serviceRow struct {
	api.Service
	Protocol, LayerText, ModeText string
	Health                        badge
	Open                          bool
	Serving                       int
	Fold                          string // link that shows or hides the real servers, "" = they are always shown
	Rows                          []serverRow
	Operator                      bool
}

// serverRow is one real server of it.
type serverRow struct {
	api.Server
	Service, Ports, CheckLink string
	Health                    badge
	Checked                   string
	Operator                  bool
}

// badge says how something is: by an icon, a word and a colour.
type badge struct{ Kind, Icon, Word string }

func (v *visit) overview() error {
	st, err := v.status()
	if err != nil {
		return err
	}
	d := overviewOf(st, v.r.URL.Query(), v.may(api.RoleOperator))
	d.Graphs, d.Ranges = v.graphs()
	return v.page("overview", "System Overview", d)
}

// overviewOf builds the screen from a status; the query says how it is sorted.
func overviewOf(st api.Status, q url.Values, operator bool) overviewData {
	d := overviewData{
		At: st.At, Conflicts: st.Conflicts, Problems: st.Problems, Operator: operator,
		Facts: facts(st),
	}
	for _, svc := range st.Services {
		row := serviceRowOf(svc, st.At, operator)
		row.Open = true
		if len(st.Services) > fewServices {
			row.Open = slices.Contains(q["open"], svc.Name)
			row.Fold = foldLink(q, svc.Name, row.Open)
		}
		d.Services = append(d.Services, row)
	}
	d.Columns = sorted(d.Services, q)
	return d
}

// foldLink is the page with the real servers of one more service shown, or of one less.
func foldLink(q url.Values, name string, open bool) string {
	q = overviewQuery(q)
	if open {
		q["open"] = slices.DeleteFunc(q["open"], func(o string) bool { return o == name })
	} else {
		q.Add("open", name)
	}
	return (&url.URL{Path: Root, RawQuery: q.Encode()}).String()
}

func serviceRowOf(svc api.Service, at time.Time, operator bool) serviceRow {
	row := serviceRow{
		Service: svc, Operator: operator,
		Protocol:  strings.ToUpper(strings.ReplaceAll(svc.Protocol, "/", "")),
		LayerText: "Layer " + svc.Layer,
		ModeText:  map[string]string{"dr": "DR", "proxy": "Proxy"}[svc.Method],
	}
	for _, r := range svc.Servers {
		if r.State == "serving" {
			row.Serving++
		}
		row.Rows = append(row.Rows, serverRowOf(svc, r, at, operator))
	}
	row.Health = serviceBadge(svc, row.Serving)
	return row
}

// serviceBadge tells what the servers of a service come to. Without any that takes
// clients it tells apart those that failed from those that a person took out.
func serviceBadge(svc api.Service, serving int) badge {
	out := func(state string) bool {
		return !slices.ContainsFunc(svc.Servers, func(r api.Server) bool { return r.State != state && r.State != "halted" })
	}
	switch {
	case svc.Fallback:
		return badge{"bad", "⚑", "Fallback"}
	case serving > 0 && serving == len(svc.Servers):
		return stateBadge("serving")
	case serving > 0:
		return badge{"warn", "▲", fmt.Sprintf("%d of %d", serving, len(svc.Servers))}
	case len(svc.Servers) > 0 && out("halted"):
		return stateBadge("halted")
	case len(svc.Servers) > 0 && out("draining"):
		return stateBadge("draining")
	}
	return badge{"bad", "✖", "No server"}
}

func serverRowOf(svc api.Service, r api.Server, at time.Time, operator bool) serverRow {
	row := serverRow{Server: r, Service: svc.Name, Ports: svc.Ports, Operator: operator, Health: stateBadge(r.State)}
	if r.Port != 0 {
		row.Ports = fmt.Sprint(r.Port)
	}
	row.CheckLink = checkPath + "?" + url.Values{"service": {svc.Name}, "server": {r.Name}}.Encode()
	if r.Last != nil {
		row.Checked = ago(r.Last.At, at)
	}
	return row
}

func stateBadge(state string) badge {
	switch state {
	case "serving":
		return badge{"good", "✔", "Healthy"}
	case "draining":
		return badge{"info", "◐", "Draining"}
	case "halted":
		return badge{"info", "■", "Halted"}
	}
	return badge{"bad", "✖", "Down"}
}

// key is one way to sort.
type key struct {
	name, text string
	number     bool
	less       func(a, b serviceRow) int
}

func keys() []key {
	text := func(f func(serviceRow) string) func(a, b serviceRow) int {
		return func(a, b serviceRow) int { return strings.Compare(f(a), f(b)) }
	}
	return []key{
		{"name", "VIRTUAL SERVICE", false, text(func(r serviceRow) string { return r.Name })},
		{"ip", "IP", false, byAddress},
		{"ports", "PORTS", false, text(func(r serviceRow) string { return r.Ports })},
		{"conns", "CONNS", true, func(a, b serviceRow) int { return cmp.Compare(a.Counters.Active, b.Counters.Active) }},
		{"protocol", "PROTOCOL", false, text(func(r serviceRow) string { return r.Protocol })},
		{"method", "METHOD", false, text(func(r serviceRow) string { return r.LayerText })},
		{"mode", "MODE", false, text(func(r serviceRow) string { return r.ModeText })},
	}
}

// byAddress puts 10.0.0.9 before 10.0.0.10.
func byAddress(a, b serviceRow) int {
	x, errX := netip.ParseAddr(a.Addr)
	y, errY := netip.ParseAddr(b.Addr)
	if errX != nil || errY != nil {
		return strings.Compare(a.Addr, b.Addr)
	}
	return x.Compare(y)
}

// sorted sorts the rows as the query says and returns the headings, whose links turn the
// order of their column around.
func sorted(rows []serviceRow, q url.Values) []column {
	by, down := q.Get("sort"), q.Get("order") == "down"
	var out []column
	for _, k := range keys() {
		link := overviewQuery(q)
		link.Set("sort", k.name)
		link.Del("order")
		c := column{Text: k.text, Number: k.number, Sort: "none"}
		if k.name == by {
			c.Sort = "ascending"
			if down {
				c.Sort = "descending"
			} else {
				link.Set("order", "down")
			}
			slices.SortStableFunc(rows, func(a, b serviceRow) int {
				if down {
					return k.less(b, a)
				}
				return k.less(a, b)
			})
		}
		c.Link = Root + "?" + link.Encode()
		out = append(out, c)
	}
	return out
}

// facts are what the engines say of themselves.
func facts(st api.Status) [][2]string {
	out := [][2]string{
		{"Layer 4", fmt.Sprintf("%s (%s)", st.Dataplane.Engine, st.Dataplane.Why)},
		{"Flows", fmt.Sprintf("%d of %d", st.Dataplane.Flows, st.Dataplane.FlowCapacity)},
		{"Layer 7 sessions", fmt.Sprintf("%d of %d", st.Proxy.Sessions, st.Proxy.Capacity)},
		{"Persistence entries", fmt.Sprintf("%d at layer 4, %d at layer 7", st.Dataplane.Entries, st.Proxy.Entries)},
	}
	var dropped []string
	for reason, n := range st.Dataplane.Drops {
		if n.Packets > 0 && !api.DropsNothing(reason) {
			dropped = append(dropped, fmt.Sprintf("%s %d", strings.ReplaceAll(reason, "_", " "), n.Packets))
		}
	}
	slices.Sort(dropped)
	if len(dropped) > 0 {
		out = append(out, [2]string{"Dropped packets", strings.Join(dropped, ", ")})
	}
	return out
}

// setServer drains, halts or brings a real server online.
func (v *visit) setServer() error {
	want := api.ServerState{State: v.form("state"), Deadline: v.form("deadline")}
	if want.State != "drain" {
		want.Deadline = ""
	}
	if err := v.api.SetServer(v.ctx(), v.form("service"), v.form("server"), want); err != nil {
		return err
	}
	return v.goTo(local(v.form("back")))
}

// checkData is the page of one health check.
type checkData struct {
	Service, Server string
	Row             serverRow
	Last            *api.Verdict
	History         []api.Verdict
	Now             time.Time
}

// checkPage shows what a health check sent, what came back and what failed.
func (v *visit) checkPage() error {
	st, err := v.status()
	if err != nil {
		return err
	}
	q := v.r.URL.Query()
	for _, svc := range st.Services {
		for _, r := range svc.Servers {
			if svc.Name != q.Get("service") || r.Name != q.Get("server") {
				continue
			}
			d := checkData{Service: svc.Name, Server: r.Name, Row: serverRowOf(svc, r, st.At, v.may(api.RoleOperator)), Last: r.Last, Now: st.At}
			d.History = slices.Clone(r.History)
			slices.SortFunc(d.History, func(a, b api.Verdict) int { return b.At.Compare(a.At) })
			return v.page("check", "Health check of "+r.Name, d)
		}
	}
	v.fail(http.StatusNotFound, "There is no such real server in the running configuration.")
	return nil
}
