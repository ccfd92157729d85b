package web

import (
	"net/http"
	"slices"

	"github.com/vosbed/vosbed/appliance/api"
)

// mostEntries is how many entries a page shows.
const mostEntries = 500

type persistenceData struct {
	Admin           bool
	Client, Service input
	Entries         []api.Entry
	Total           int
	Filtered        bool // the search names something: what it found may be cleared at once
	Back            string
}

// persistence lists the clients that are tied to a real server.
func (v *visit) persistence() error {
	q := v.r.URL.Query()
	d := persistenceData{
		Admin:   v.may(api.RoleAdmin),
		Client:  input{Name: "client", Label: "Client IP address", Value: q.Get("client")},
		Service: input{Name: "service", Label: "Virtual service", Value: q.Get("service")},
		Back:    v.r.URL.RequestURI(),
	}
	d.Filtered = d.Client.Value+d.Service.Value != ""
	all, err := v.api.Persistence(v.ctx(), api.Filter{Client: d.Client.Value, Service: d.Service.Value})
	if refused, code, ok := searchError(err); ok {
		at := &d.Client
		if code == http.StatusNotFound { // such a service
			at = &d.Service
		}
		at.Error = refused
	} else if err != nil {
		return err
	}
	d.Total = len(all)
	d.Entries = all[:min(len(all), mostEntries)]
	return v.page("persistence", "Persistence Table", d)
}

// searchError is what is wrong with a search.
func searchError(err error) (text string, status int, ok bool) {
	if p, ok := asProblem(err); ok && slices.Contains([]int{http.StatusBadRequest, http.StatusNotFound, http.StatusUnprocessableEntity}, p.Status) {
		return title(p.Detail) + ".", p.Status, true
	}
	return "", 0, false
}

func (v *visit) clearPersistence() error {
	f := api.Filter{Client: v.form("client"), Service: v.form("service"), Server: v.form("server")}
	if f == (api.Filter{}) { // nobody clears the whole table by a form that lost its fields
		return v.goTo(Root + "persistence")
	}
	if _, err := v.api.ClearPersistence(v.ctx(), f); err != nil {
		return v.refused("Nothing was cleared", v.backTo(local(v.form("back"))), err)
	}
	return v.goTo(v.backTo(local(v.form("back"))))
}
