package web

import (
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

type serversOfService struct {
	Name, Addr, Ports, Add string
	Servers                []serverItem
}

type serverItem struct {
	Name, Addr, Port, Weight, Min, Max, Edit string
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
	for _, s := range all {
		d.Tag = s.Tag
		if s.Fields["layer"] != layer {
			continue
		}
		name := s.Fields["name"]
		one := serversOfService{Name: name, Addr: s.Fields["address"], Ports: s.Fields["ports"], Add: Root + "real/new?" + url.Values{"service": {name}}.Encode()}
		for _, r := range s.Servers {
			f := r.Fields
			one.Servers = append(one.Servers, serverItem{
				f["name"], f["address"], f["port"], f["weight"], f["min_connections"], f["max_connections"],
				Root + "real?" + url.Values{"service": {name}, "name": {f["name"]}}.Encode(),
			})
		}
		d.Services = append(d.Services, one)
	}
	return v.page("servers"+layer, "Layer "+layer+" – Real Servers", d)
}

// serverForm is the form of guide 10.1.2 and 10.2.2.
func serverForm(f api.Fields, layer string) editor {
	e := editor{Submit: "Update", Cancel: Root + "l" + layer + "-servers"}
	inputs := []input{
		{Name: "name", Label: "Label", Value: f["name"], Required: true},
		{Name: "address", Label: "Real Server IP Address", Value: f["address"], Required: true},
	}
	if layer == "7" {
		inputs = append(inputs, input{Name: "port", Label: "Real Server Port", Value: f["port"], Hint: "Blank: the port that the client used"})
	}
	inputs = append(inputs, input{Name: "weight", Label: "Weight", Value: or(f["weight"], "100")})
	if layer == "4" {
		inputs = append(inputs,
			input{Name: "min_connections", Label: "Minimum Connections", Value: or(f["min_connections"], "0")},
			input{Name: "max_connections", Label: "Maximum Connections", Value: or(f["max_connections"], "0"), Hint: "0: no limit"})
	}
	e.Sections = []section{{Title: "Real Server", Inputs: inputs}}
	return e
}

// serverEditor shows the form; was is "" for a new real server.
func (v *visit) serverEditor(f api.Fields, layer, was string, refused formError) error {
	service := v.r.FormValue("service")
	e := serverForm(f, layer)
	title := "Layer " + layer + " – Add a new Real Server"
	e.Action = Root + "real/new"
	if was != "" {
		title = "Layer " + layer + " – Modify Real Server"
		e.Action = Root + "real"
	}
	e.Tag = v.r.FormValue("tag")
	e.Sections[0].Title = "Real Server of " + service
	e.Sections[0].Inputs = append(e.Sections[0].Inputs,
		input{Name: "service", Kind: "hidden", Value: service}, input{Name: "was", Kind: "hidden", Value: was})
	e.place(refused)
	return v.editor(title, e, refused)
}

// service returns the virtual service that a form is about.
func (v *visit) service() (api.ServiceDraft, string, error) {
	s, err := v.api.DraftService(v.ctx(), v.r.FormValue("service"))
	return s, s.Fields["layer"], err
}

func (v *visit) newServer() error {
	_, layer, err := v.service()
	if err != nil {
		return err
	}
	return v.serverEditor(api.Fields{}, layer, "", formError{})
}

func (v *visit) addServer() error {
	_, layer, err := v.service()
	if err != nil {
		return err
	}
	f := v.posted(serverForm(nil, layer))
	err = v.api.AddServer(v.ctx(), "", v.form("service"), f)
	if refused, ok := fieldErrors(err); ok {
		return v.serverEditor(f, layer, "", refused)
	}
	if err != nil {
		return err
	}
	return v.goTo(Root + "l" + layer + "-servers")
}

func (v *visit) editServer() error {
	_, layer, err := v.service()
	if err != nil {
		return err
	}
	name := v.r.FormValue("name")
	r, err := v.api.DraftServer(v.ctx(), v.r.FormValue("service"), name)
	if err != nil {
		return err
	}
	v.r.Form.Set("tag", r.Tag)
	return v.serverEditor(r.Fields, layer, name, formError{})
}

func (v *visit) updateServer() error {
	_, layer, err := v.service()
	if err != nil {
		return err
	}
	was, f := v.form("was"), v.posted(serverForm(nil, layer))
	err = v.api.EditServer(v.ctx(), v.form("tag"), v.form("service"), was, f)
	if refused, ok := fieldErrors(err); ok {
		return v.serverEditor(f, layer, was, refused)
	}
	if err != nil {
		return err
	}
	return v.goTo(Root + "l" + layer + "-servers")
}

func (v *visit) deleteServer() error {
	_, layer, err := v.service()
	if err != nil {
		return err
	}
	if err := v.api.RemoveServer(v.ctx(), v.form("tag"), v.form("service"), v.form("name")); err != nil {
		return err
	}
	return v.goTo(Root + "l" + layer + "-servers")
}
