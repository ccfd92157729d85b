package web

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/vosbed/vosbed/appliance/api"
)

const (
	routingPath  = Root + "routing"
	routePath    = Root + "route"
	routesList   = "routes"
	routingTitle = "Routing"
)

// routingData are the routes that are configured, and those that the machine has.
type routingData struct {
	Admin    bool
	Tag, Add string
	Rows     []routeRow
	Present  []api.Route
	Problems []string
}

type routeRow struct {
	ID, Number, Edit           string
	To, Via, Interface, Metric string
}

func (v *visit) routing() error {
	part, err := v.api.SystemFields(v.ctx())
	if err != nil {
		return err
	}
	d := routingData{Admin: v.may(api.RoleAdmin), Tag: part.Tag, Add: routePath}
	for i, f := range itemsOf(part.Fields, routesList) {
		number := strconv.Itoa(i)
		d.Rows = append(d.Rows, routeRow{
			ID: rowID(i), Number: number, Edit: routeForm(number),
			To: f["to"], Via: f["via"], Interface: f["interface"], Metric: f["metric"],
		})
	}
	if facts := v.facts(); facts != nil {
		d.Present, d.Problems = facts.Routes, facts.Problems
	}
	return v.page("routing", routingTitle, d)
}

// routeForm is where a route is changed; routes have no names, so its number tells it, and
// the tag of the draft that it is still the same.
func routeForm(number string) string {
	return routePath + "?" + url.Values{"number": {number}}.Encode()
}

func routeEditor(number string, f api.Fields) editor {
	e := editor{Action: routePath, Submit: "Update", Cancel: routingPath, Under: "routing"}
	title := "New route"
	if number != "" {
		e.Action, title = routeForm(number), "Route"
	}
	e.Sections = []section{{Title: title, Inputs: []input{
		{Name: "to", Label: "Destination", Value: f["to"], Required: true, Hint: "default, or a network such as 10.20.0.0/16"},
		{Name: "via", Label: "Gateway", Value: f["via"], Hint: "The router's address: 192.168.94.1"},
		{Name: "interface", Label: "Interface", Value: f["interface"], Hint: "Blank: the configured one in whose network the gateway is"},
		{Name: "metric", Label: "Metric", Value: f["metric"], Hint: "Of two routes to the same network the lower one counts. Blank: the kernel's own"},
	}}}
	return e
}

// routeAt finds what a form is about. ok is false for a number that no route has.
func (v *visit) routeAt() (number string, n int, items []api.Fields, tag string, err error) {
	part, err := v.api.SystemFields(v.ctx())
	items = itemsOf(part.Fields, routesList)
	number = v.r.FormValue("number")
	n, bad := strconv.Atoi(number)
	if number == "" {
		n = len(items)
	} else if bad != nil || n < 0 || n >= len(items) {
		n = -1
	}
	return number, n, items, part.Tag, err
}

// noRoute says that somebody else has removed it.
func (v *visit) noRoute() error {
	v.fail(http.StatusNotFound, "There is no such route any more.")
	return nil
}

func (v *visit) editRoute() error {
	number, n, items, tag, err := v.routeAt()
	switch {
	case err != nil:
		return err
	case n < 0:
		return v.noRoute()
	case number == "":
		return v.routeEditor("", api.Fields{"to": "default"}, tag, formError{})
	}
	return v.routeEditor(number, items[n], tag, formError{})
}

func (v *visit) routeEditor(number string, f api.Fields, tag string, refused formError) error {
	e := routeEditor(number, f)
	e.Tag = tag
	return v.editor(routingTitle, e, refused)
}

func (v *visit) updateRoute() error {
	number, n, _, _, err := v.routeAt()
	switch {
	case err != nil:
		return err
	case n < 0:
		return v.noRoute()
	}
	f := v.posted(routeEditor(number, nil))
	err = v.setItem(routesList, n, f)
	if refused, tag, ok := v.again(err); ok {
		return v.routeEditor(number, f, tag, refused)
	}
	if err != nil {
		return err
	}
	return v.goTo(routingPath)
}

func (v *visit) removeRoute() error {
	number, n, items, _, err := v.routeAt()
	switch {
	case err != nil:
		return err
	case n < 0 || number == "":
		return v.noRoute()
	}
	if err := v.clearItem(routesList, n, items[n]); err != nil {
		return v.refused("This route was not removed", routingPath, err)
	}
	return v.goTo(routingPath)
}
