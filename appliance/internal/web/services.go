package web

import (
	"net/url"
	"strings"

	"github.com/vosbed/vosbed/appliance/api"
)

// servicesData is the list of the virtual services of a layer.
type servicesData struct {
	Layer    string
	Services []serviceItem
	Admin    bool
	Tag      string
}

// serviceItem is one of them, as text.
type serviceItem struct {
	Name, Addr, Ports, Protocol, Check, Edit, Servers string
	Reals                                             int
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
	for _, s := range all {
		d.Tag = s.Tag
		if s.Fields["layer"] != layer {
			continue
		}
		d.Services = append(d.Services, serviceItem{
			Name: s.Fields["name"], Addr: s.Fields["address"], Ports: s.Fields["ports"],
			Protocol: strings.ToUpper(s.Fields["protocol"]), Check: checkWords(s), Reals: len(s.Servers),
			Edit:    Root + "service?" + url.Values{"name": {s.Fields["name"]}}.Encode(),
			Servers: Root + "l" + layer + "-servers",
		})
	}
	return v.page("services"+layer, "Layer "+layer+" – Virtual Services", d)
}

// checkWords tells a health check in a word and its target.
func checkWords(s api.ServiceDraft) string {
	for _, o := range checkTypes7() {
		if o.Value == checkChoice(s.Fields) {
			return o.Text + " " + s.CheckURL
		}
	}
	return s.Fields["check.type"]
}

// checkTypes7 are the choices of a layer-7 check; their values are "type/protocol".
func checkTypes7() []option {
	return []option{
		{"negotiate/https", "Negotiate HTTPS (GET)"}, {"negotiate/http", "Negotiate HTTP (GET)"}, {"connect/", "Connect to port"},
		{"ping/", "Ping server"}, {"on/", "No checks, always on"}, {"off/", "No checks, always off"},
	}
}

func checkTypes4() []option {
	return []option{
		{"negotiate", "Negotiate"}, {"connect", "Connect to port"}, {"ping", "Ping server"},
		{"on", "No checks, always on"}, {"off", "No checks, always off"},
	}
}

// checkChoice is the value of a check among checkTypes7.
func checkChoice(f api.Fields) string { return f["check.type"] + "/" + f["check.protocol"] }

// serviceForm is the form of guide 10.1.1 and 10.2.1. The health check is set once the
// service is there.
func serviceForm(f api.Fields, checkURL string, isNew bool) editor {
	e := editor{Submit: "Update", Cancel: Root + "l" + f["layer"] + "-services"}
	e.Sections = append(e.Sections, section{Title: "Virtual Service", Inputs: []input{
		{Name: "name", Label: "Label", Value: f["name"], Required: true},
		{Name: "address", Label: "IP Address", Value: f["address"], Required: true},
		{Name: "ports", Label: "Ports", Value: f["ports"], Required: true, Hint: "Single ports and ranges: 8080,8443 or 1935,554,50000-65535"},
	}})
	if f["layer"] == "7" {
		e.Sections = append(e.Sections, section{Title: "Protocol", Inputs: []input{
			{Name: "method", Label: "Layer 7 Protocol", Kind: "select", Value: "proxy", Options: []option{{"proxy", "TCP Mode"}}},
		}})
	} else {
		e.Sections = append(e.Sections,
			section{Title: "Protocol", Inputs: []input{{Name: "protocol", Label: "Protocol", Kind: "select", Value: f["protocol"],
				Options: []option{{"tcp", "TCP"}, {"udp", "UDP"}, {"tcp/udp", "TCP/UDP"}}}}},
			section{Title: "Forwarding", Inputs: []input{{Name: "method", Label: "Forwarding Method", Kind: "select", Value: "dr", Options: []option{{"dr", "Direct Routing"}}}}},
		)
	}
	if !isNew {
		e.Sections = append(e.Sections, checkSection(f, checkURL), checkTimes(f))
	}
	e.Sections = append(e.Sections, moreSection(f))
	if f["layer"] == "7" && !isNew {
		e.Sections = append(e.Sections, limitsSection(f))
	}
	return e
}

// checkSection is the section Health Checks in the words of each layer.
func checkSection(f api.Fields, checkURL string) section {
	s := section{Title: "Health Checks"}
	port := input{Name: "check.port", Label: "Check Port", Value: f["check.port"], Hint: "Blank: chosen by the protocol. Checks " + checkURL}
	request := input{Name: "check.request", Label: "Request to Send", Value: f["check.request"]}
	value := f["check.expect.value"]
	if f["layer"] == "7" {
		s.Inputs = []input{
			{Name: "check", Label: "Health Checks", Kind: "select", Value: checkChoice(f), Options: checkTypes7()},
			request,
			{Name: "check.expect.match", Label: "Response Expected", Kind: "select", Value: or(f["check.expect.match"], "equals"),
				Options: []option{{"equals", "Equals"}, {"contains", "Contains"}, {"any", "Any answer"}}},
			{Name: "check.expect.value", Label: "Response Expected Value", Value: value},
			port,
		}
		return s
	}
	s.Inputs = []input{
		{Name: "check.type", Label: "Check Type", Kind: "select", Value: f["check.type"], Options: checkTypes4()},
		{Name: "check.protocol", Label: "Check Protocol", Kind: "select", Value: or(f["check.protocol"], "https"), Options: []option{{"https", "HTTPS"}, {"http", "HTTP"}}},
		port, request,
		{Name: "check.expect.value", Label: "Response Expected", Value: value},
	}
	return s
}

// checkTimes are the settings of a check that are seldom changed.
func checkTimes(f api.Fields) section {
	s := section{Title: "Health Check Times", Advanced: true, Inputs: []input{
		{Name: "check.interval", Label: "Check Interval", Value: f["check.interval"], Hint: "5s, 500ms"},
		{Name: "check.timeout", Label: "Check Timeout", Value: f["check.timeout"]},
		{Name: "check.fall", Label: "Failures to go down", Value: f["check.fall"]},
		{Name: "check.rise", Label: "Successes to come up", Value: f["check.rise"]},
	}}
	if f["check.type"] == "negotiate" {
		s.Inputs = append(s.Inputs,
			input{Name: "check.host", Label: "Host Header", Value: f["check.host"], Hint: "Blank: the server's address"},
			input{Name: "check.expect.status", Label: "HTTP Status", Value: f["check.expect.status"], Hint: "200, or several with commas"})
	}
	return s
}

// moreSection are scheduler and persistence.
func moreSection(f api.Fields) section {
	schedulers := []option{{"wlc", "Weighted least connections"}, {"maglev", "Source hash (Maglev)"}}
	if f["layer"] == "7" {
		schedulers = []option{{"wlc", "Weighted least connections"}, {"rr", "Weighted round robin"}}
	}
	return section{Title: "Scheduling and Persistence", Advanced: true, Inputs: []input{
		{Name: "scheduler", Label: "Balance Mode", Kind: "select", Value: or(f["scheduler"], "wlc"), Options: schedulers},
		{Name: "persistence.kind", Label: "Persistence Mode", Kind: "select", Value: or(f["persistence.kind"], "source-ip"), Options: []option{{"source-ip", "Source IP"}, {"none", "None"}}},
		{Name: "persistence.timeout", Label: "Persistence Timeout", Value: f["persistence.timeout"], Hint: "5m, 30m; blank: the usual one of the layer"},
		{Name: "interface", Label: "Interface", Value: f["interface"], Hint: "Blank: the one whose network holds the IP address"},
	}}
}

// limitsSection are those of a layer-7 service.
func limitsSection(f api.Fields) section {
	return section{Title: "Limits and Timeouts", Advanced: true, Inputs: []input{
		{Name: "proxy.max_connections", Label: "Maximum Connections", Value: f["proxy.max_connections"], Hint: "0: as many as the machine can hold"},
		{Name: "proxy.connect_timeout", Label: "Connect Timeout", Value: f["proxy.connect_timeout"]},
		{Name: "proxy.idle_timeout", Label: "Idle Timeout", Value: f["proxy.idle_timeout"]},
		{Name: "proxy.retries", Label: "Retries", Value: f["proxy.retries"]},
	}}
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// layerOf is the layer of a form, 4 unless it says 7.
func (v *visit) layerOf() string {
	if v.r.FormValue("layer") == "7" {
		return "7"
	}
	return "4"
}

func (v *visit) newService() error {
	f := api.Fields{"layer": v.layerOf(), "protocol": "tcp"}
	return v.serviceEditor(f, "", true, formError{})
}

// serviceEditor shows the form; refused is what was wrong with the last try.
func (v *visit) serviceEditor(f api.Fields, checkURL string, isNew bool, refused formError) error {
	e := serviceForm(f, checkURL, isNew)
	name := v.r.FormValue("was")
	title := "Layer " + f["layer"] + " – Add a new Virtual Service"
	e.Action = Root + "service/new?layer=" + f["layer"]
	if !isNew {
		title = "Layer " + f["layer"] + " – Modify Virtual Service"
		e.Action = Root + "service"
		e.Sections[0].Inputs = append(e.Sections[0].Inputs, input{Name: "was", Kind: "hidden", Value: name})
	}
	e.Tag = v.r.FormValue("tag")
	e.place(refused)
	return v.editor(title, e, refused)
}

// editor shows a form, with the status of a refusal if there was one.
func (v *visit) editor(title string, e editor, refused formError) error {
	status := 200
	if len(refused.Fields)+len(refused.General) > 0 {
		status = 422
	}
	return v.show(status, "edit", title, e)
}

// posted are the fields that a form sent, by the names of its inputs.
func (v *visit) posted(e editor) api.Fields {
	f := api.Fields{}
	for _, s := range e.Sections {
		for _, i := range s.Inputs {
			if i.Kind == "hidden" || !v.r.PostForm.Has(i.Name) {
				continue
			}
			f[i.Name] = v.form(i.Name)
		}
	}
	return f
}

// serviceFields turns what the form of a service sent into settings.
func serviceFields(f api.Fields, layer string) api.Fields {
	if choice, ok := f["check"]; ok {
		delete(f, "check")
		f["check.type"], f["check.protocol"], _ = strings.Cut(choice, "/")
	}
	switch kind := f["check.type"]; kind {
	case "", "negotiate":
	default: // these send no request, and only connect uses a port
		for _, key := range []string{"check.protocol", "check.request", "check.expect.match", "check.expect.value", "check.expect.status", "check.host"} {
			f[key] = ""
		}
		if kind != "connect" {
			f["check.port"] = ""
		}
	}
	if f["check.type"] == "negotiate" {
		if f["check.expect.value"] == "" {
			f["check.expect.match"] = "any"
		} else if layer == "4" || f["check.expect.match"] == "any" {
			f["check.expect.match"] = "equals"
		}
	}
	return f
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
		return v.serviceEditor(f, "", true, refused)
	}
	if err != nil {
		return err
	}
	return v.goTo(Root + "l" + layer + "-services")
}

func (v *visit) editService() error {
	name := v.r.FormValue("name")
	s, err := v.api.DraftService(v.ctx(), name)
	if err != nil {
		return err
	}
	v.r.Form.Set("was", name)
	v.r.Form.Set("tag", s.Tag)
	return v.serviceEditor(s.Fields, s.CheckURL, false, formError{})
}

func (v *visit) updateService() error {
	was := v.form("was")
	s, err := v.api.DraftService(v.ctx(), was)
	if err != nil {
		return err
	}
	layer := s.Fields["layer"]
	sent := v.posted(serviceForm(s.Fields, s.CheckURL, false))
	err = v.api.SetService(v.ctx(), v.form("tag"), was, serviceFields(clone(sent), layer))
	if refused, ok := fieldErrors(err); ok {
		shown := clone(s.Fields)
		for k, text := range sent {
			shown[k] = text
		}
		if choice, ok := sent["check"]; ok {
			shown["check.type"], shown["check.protocol"], _ = strings.Cut(choice, "/")
		}
		return v.serviceEditor(shown, s.CheckURL, false, refused)
	}
	if err != nil {
		return err
	}
	return v.goTo(Root + "l" + layer + "-services")
}

func clone(f api.Fields) api.Fields {
	out := api.Fields{}
	for k, v := range f {
		out[k] = v
	}
	return out
}

func (v *visit) deleteService() error {
	if err := v.api.RemoveService(v.ctx(), v.form("tag"), v.form("name")); err != nil {
		return err
	}
	return v.goTo(Root + "l" + v.layerOf() + "-services")
}
