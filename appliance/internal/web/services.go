package web

import (
	"maps"
	"net/http"
	"net/url"

	"github.com/vosbed/vosbed/appliance/api"
)

// servicesData is the list of the virtual services of a layer.
type servicesData struct {
	Layer    string
	Services []serviceItem
	Admin    bool
	Tag      string
}

func (d servicesData) under() string { return "services" + d.Layer }

// serviceItem is one of them, as text.
type serviceItem struct {
	ID, Name, Addr, Ports, Protocol, Check, Edit, Servers string
	Reals                                                 int
}

func servicesOf(layer string) func(*visit) error {
	return func(v *visit) error { return v.services(layer) }
}

func (v *visit) services(layer string) error {
	all, err := v.api.DraftServices(v.ctx())
	if err != nil {
		return err
	}
	d := servicesData{Layer: layer, Admin: v.may(api.RoleAdmin)}
	for i, s := range all {
		d.Tag = s.Tag
		if s.Fields["layer"] != layer {
			continue
		}
		d.Services = append(d.Services, serviceItem{
			ID: rowID(i), Name: s.Fields["name"], Addr: s.Fields["address"], Ports: s.Fields["ports"],
			Protocol: protocolWord(s.Fields), Check: checkWords(s), Reals: len(s.Servers),
			Edit: servicePath(s.Fields["name"]), Servers: serversPath(layer),
		})
	}
	return v.page("services", "Layer "+layer+" – Virtual Services", d)
}

func servicesPath(layer string) string { return Root + "l" + layer + "-services" }

// servicePath is the form of a service; it is the same when the form was sent, so that
// it can be opened again.
func servicePath(name string) string {
	return Root + "service?" + url.Values{"name": {name}}.Encode()
}

// layerOf is the layer of a form, 4 unless it says 7.
func (v *visit) layerOf() string {
	if v.r.FormValue("layer") == "7" {
		return "7"
	}
	return "4"
}

// editor shows a form, with the status of a refusal if there was one.
func (v *visit) editor(title string, e editor, refused formError) error {
	e.place(refused)
	return v.show(refused.status(), "edit", title, e)
}

// posted are the fields that a form sent, by the names of its inputs. A browser sends
// nothing for a box that is not ticked.
func (v *visit) posted(e editor) api.Fields {
	f := api.Fields{}
	for _, s := range e.Sections {
		for _, i := range s.Inputs {
			switch {
			case i.Kind == "hidden":
			case i.Kind == "checkbox" && v.form(i.Name) != "true":
				f[i.Name] = "false"
			case v.r.Form.Has(i.Name):
				f[i.Name] = v.form(i.Name)
			}
		}
	}
	return f
}

// again prepares a refused form for another try. After a conflict it bears the tag of the
// draft as it is now, which the person sees above it: their next try overwrites it
// knowingly.
func (v *visit) again(err error) (refused formError, tag string, ok bool) {
	refused, ok = fieldErrors(err)
	tag = v.form("tag")
	if !ok || refused.Status != http.StatusConflict || tag == "" {
		return refused, tag, ok
	}
	if d, err := v.api.Draft(v.ctx()); err == nil && d.Tag != tag {
		tag = d.Tag
		refused.General = append(refused.General, "Your input is kept below. What others changed is in the Commit changes box: if yours shall hold all the same, click the button once more.")
	}
	return refused, tag, ok
}

func (v *visit) newService() error {
	layer := v.layerOf()
	return v.newServiceForm(api.Fields{"layer": layer, "protocol": "tcp"}, formError{})
}

func (v *visit) newServiceForm(f api.Fields, refused formError) error {
	e := serviceForm(f, "", true)
	e.Action = Root + "service/new?layer=" + f["layer"]
	return v.editor("Layer "+f["layer"]+" – Add a new Virtual Service", e, refused)
}

func (v *visit) addService() error {
	layer := v.layerOf()
	f := v.posted(serviceForm(api.Fields{"layer": layer}, "", true))
	f["layer"] = layer
	if layer == "7" {
		f["protocol"] = "tcp"
	}
	err := v.api.AddService(v.ctx(), "", f)
	if refused, ok := fieldErrors(err); ok {
		return v.newServiceForm(f, refused)
	}
	if err != nil {
		return err
	}
	return v.goTo(servicesPath(layer))
}

func (v *visit) editService() error {
	s, err := v.api.DraftService(v.ctx(), v.r.FormValue("name"))
	if err != nil {
		return err
	}
	return v.serviceEditor(s, s.Fields["name"], formError{})
}

// serviceEditor shows the form of a service that is called was.
func (v *visit) serviceEditor(s api.ServiceDraft, was string, refused formError) error {
	e := serviceForm(s.Fields, s.CheckURL, false)
	e.Action, e.Tag = servicePath(was), s.Tag
	return v.editor("Layer "+s.Fields["layer"]+" – Modify Virtual Service", e, refused)
}

func (v *visit) updateService() error {
	was := v.r.URL.Query().Get("name")
	s, err := v.api.DraftService(v.ctx(), was)
	if err != nil {
		return err
	}
	sent := v.posted(serviceForm(s.Fields, s.CheckURL, false))
	err = v.api.SetService(v.ctx(), v.form("tag"), was, serviceFields(sent, s.Fields))
	if refused, tag, ok := v.again(err); ok {
		s.Tag, s.Fields = tag, maps.Clone(s.Fields)
		maps.Copy(s.Fields, sent)
		setChoice(s.Fields)
		return v.serviceEditor(s, was, refused)
	}
	if err != nil {
		return err
	}
	return v.goTo(servicesPath(s.Fields["layer"]))
}

func (v *visit) deleteService() error {
	if err := v.api.RemoveService(v.ctx(), v.form("tag"), v.form("name")); err != nil {
		return v.refused("This Virtual Service was not deleted", servicesPath(v.layerOf()), err)
	}
	return v.goTo(servicesPath(v.layerOf()))
}
