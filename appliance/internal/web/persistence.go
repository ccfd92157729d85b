package web

import "github.com/vosbed/vosbed/appliance/api"

// mostEntries is how many entries a page shows.
const mostEntries = 500

type persistenceData struct {
	Admin           bool
	Client, Service input
	Entries         []api.Entry
	Total           int
	Wrong           string
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
	all, err := v.api.Persistence(v.ctx(), api.Filter{Client: d.Client.Value, Service: d.Service.Value})
	if refused, ok := searchError(err); ok {
		d.Wrong = refused
	} else if err != nil {
		return err
	}
	d.Total = len(all)
	d.Entries = all[:min(len(all), mostEntries)]
	return v.page("persistence", "Persistence Table", d)
}

// searchError is what is wrong with a search.
func searchError(err error) (string, bool) {
	if p, ok := asProblem(err); ok && (p.Status == 400 || p.Status == 404) {
		return title(p.Detail) + ".", true
	}
	return "", false
}

func (v *visit) clearPersistence() error {
	f := api.Filter{Client: v.form("client"), Service: v.form("service"), Server: v.form("server")}
	if _, err := v.api.ClearPersistence(v.ctx(), f); err != nil {
		return err
	}
	return v.goTo(local(v.form("back")))
}
