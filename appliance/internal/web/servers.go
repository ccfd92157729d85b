package web

import (
	"fmt"
	"net/url"

	"github.com/vosbed/vosbed/appliance/api"
)

// serversData is the list of real servers by virtual service.
type serversData struct {
	Layer    string
	Services []serversOfService
	Admin    bool
	Tag      string
}

func (d serversData) under() string { return "servers" + d.Layer }

type serversOfService struct {
	ID, Name, Addr, Ports, Add string
	Servers                    []serverItem
}

type serverItem struct {
	ID, Name, Addr, Port, Weight, Min, Max, Edit string
}

func serversOf(layer string) func(*visit) error {
	return func(v *visit) error { return v.servers(layer) }
}

func (v *visit) servers(layer string) error {
	all, err := v.api.DraftServices(v.ctx())
	if err != nil {
		return err
	}
	d := serversData{Layer: layer, Admin: v.may(api.RoleAdmin)}
	for i, s := range all {
		d.Tag = s.Tag
		if s.Fields["layer"] != layer {
			continue
		}
		d.Services = append(d.Services, serversOfServiceOf(rowID(i), s))
	}
	return v.page("servers", "Layer "+layer+" – Real Servers", d)
}

func serversOfServiceOf(id string, s api.ServiceDraft) serversOfService {
	name := s.Fields["name"]
	out := serversOfService{
		ID: id, Name: name, Addr: s.Fields["address"], Ports: s.Fields["ports"],
		Add: Root + "real/new?" + url.Values{"service": {name}}.Encode(),
	}
	for i, r := range s.Servers {
		f := r.Fields
		out.Servers = append(out.Servers, serverItem{
			ID: fmt.Sprintf("%s-%d", id, i), Name: f["name"], Addr: f["address"], Port: f["port"], Weight: f["weight"],
			Min: f["min_connections"], Max: f["max_connections"], Edit: serverPath(name, f["name"]),
		})
	}
	return out
}

func serversPath(layer string) string { return Root + "l" + layer + "-servers" }

// serverPath is the form of a real server.
func serverPath(service, name string) string {
	return Root + "real?" + url.Values{"service": {service}, "name": {name}}.Encode()
}

// serverForm is the form of guide 10.1.2 and 10.2.2.
func serverForm(f api.Fields, layer, service string) editor {
	inputs := []input{
		{Name: "name", Label: "Label", Value: f["name"], Required: true},
		{Name: "address", Label: "Real Server IP Address", Value: f["address"], Required: true},
	}
	if layer == "7" {
		inputs = append(inputs, input{Name: "port", Label: "Real Server Port", Value: f["port"], Hint: "blank = the port that the client used"})
	}
	inputs = append(inputs, input{Name: "weight", Label: "Weight", Value: f["weight"], Hint: "0 to 65535; 0: no new clients"})
	if layer == "4" {
		inputs = append(inputs,
			input{Name: "min_connections", Label: "Minimum Connections", Value: f["min_connections"]},
			input{Name: "max_connections", Label: "Maximum Connections", Value: f["max_connections"], Hint: "0: no limit"})
	}
	return editor{Submit: "Update", Under: "servers" + layer, Cancel: serversPath(layer), Sections: []section{{Title: "Real Server of " + service, Inputs: inputs}}}
}

// serverFor is one form of a real server: the service that it is of, with its layer, and
// how the server is called now, "" = it is new.
type serverFor struct{ service, layer, was string }

// serverOf finds what a form is about.
func (v *visit) serverOf() (serverFor, error) {
	q := v.r.URL.Query()
	s, err := v.api.DraftService(v.ctx(), q.Get("service"))
	return serverFor{q.Get("service"), s.Fields["layer"], q.Get("name")}, err
}

// serverEditor shows the form.
func (v *visit) serverEditor(f api.Fields, of serverFor, tag string, refused formError) error {
	e := serverForm(f, of.layer, of.service)
	e.Tag = tag
	title := "Layer " + of.layer + " – Modify Real Server"
	e.Action = serverPath(of.service, of.was)
	if of.was == "" {
		title = "Layer " + of.layer + " – Add a new Real Server"
		e.Action = Root + "real/new?" + url.Values{"service": {of.service}}.Encode()
	}
	return v.editor(title, e, refused)
}

func (v *visit) newServer() error {
	of, err := v.serverOf()
	if err != nil {
		return err
	}
	return v.serverEditor(api.Fields{"weight": "100", "min_connections": "0", "max_connections": "0"}, of, "", formError{})
}

func (v *visit) addServer() error {
	of, err := v.serverOf()
	if err != nil {
		return err
	}
	f := v.posted(serverForm(nil, of.layer, ""))
	err = v.api.AddServer(v.ctx(), "", of.service, f)
	if refused, ok := fieldErrors(err); ok {
		return v.serverEditor(f, of, "", refused)
	}
	if err != nil {
		return err
	}
	return v.goTo(serversPath(of.layer))
}

func (v *visit) editServer() error {
	of, err := v.serverOf()
	if err != nil {
		return err
	}
	r, err := v.api.DraftServer(v.ctx(), of.service, of.was)
	if err != nil {
		return err
	}
	return v.serverEditor(r.Fields, of, r.Tag, formError{})
}

func (v *visit) updateServer() error {
	of, err := v.serverOf()
	if err != nil {
		return err
	}
	f := v.posted(serverForm(nil, of.layer, ""))
	err = v.api.EditServer(v.ctx(), v.form("tag"), of.service, of.was, f)
	if refused, tag, ok := v.again(err); ok {
		return v.serverEditor(f, of, tag, refused)
	}
	if err != nil {
		return err
	}
	return v.goTo(serversPath(of.layer))
}

func (v *visit) deleteServer() error {
	service := v.form("service")
	s, err := v.api.DraftService(v.ctx(), service)
	if err != nil {
		return err
	}
	list := serversPath(s.Fields["layer"])
	if err := v.api.RemoveServer(v.ctx(), v.form("tag"), service, v.form("name")); err != nil {
		return v.refused("This Real Server was not deleted", list, err)
	}
	return v.goTo(list)
}
