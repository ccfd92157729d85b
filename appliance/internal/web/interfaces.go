package web

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/vosbed/vosbed/appliance/api"
)

const (
	interfacesPath = Root + "interfaces"
	interfacePath  = Root + "interface"
	interfacesList = "interfaces"
	interfaceTitle = "Network Interface Configuration"
)

// interfacesData is the list: what the machine has, beside what is configured.
type interfacesData struct {
	Admin    bool
	Tag, Add string
	Rows     []interfaceRow
	Problems []string
}

// interfaceRow is one interface. NIC is nil where the machine has none of that name,
// Configured where it is left alone.
type interfaceRow struct {
	ID, Name, Edit string
	NIC            *api.NIC
	Configured     api.Fields
}

// Off reports whether it is configured to be down.
func (r interfaceRow) Off() bool { return r.Configured["enabled"] == "false" }

// DHCP reports whether it is configured to lease an address.
func (r interfaceRow) DHCP() bool { return r.Configured["dhcp"] == "true" }

// VLAN is of what it is configured to be which VLAN, "" = it is none.
func (r interfaceRow) VLAN() string {
	if r.Configured["vlan.id"] == "" {
		return ""
	}
	return "VLAN " + r.Configured["vlan.id"] + " of " + r.Configured["vlan.link"]
}

// Bond is of what it is configured to be made, "" = it is no bond.
func (r interfaceRow) Bond() string {
	if r.Configured["bond.members"] == "" {
		return ""
	}
	return "bond of " + strings.ReplaceAll(r.Configured["bond.members"], ",", ", ") + ", " + or(r.Configured["bond.mode"], "active-backup")
}

// Made says that it is made of others.
func (r interfaceRow) Made() bool { return r.VLAN() != "" || r.Bond() != "" }

// Wanted are the addresses that are configured.
func (r interfaceRow) Wanted() []string {
	return strings.FieldsFunc(r.Configured["addresses"], func(c rune) bool { return c == ',' || c == ' ' })
}

func (v *visit) interfaces() error {
	part, err := v.api.SystemFields(v.ctx())
	if err != nil {
		return err
	}
	d := interfacesData{Admin: v.may(api.RoleAdmin), Tag: part.Tag, Add: interfacePath}
	facts := v.facts()
	configured := itemsOf(part.Fields, interfacesList)
	for _, name := range interfaceNames(facts, configured) {
		row := interfaceRow{ID: rowID(len(d.Rows)), Name: name, Edit: interfaceForm(name)}
		if i := named(configured, name); i >= 0 {
			row.Configured = configured[i]
		}
		if facts != nil {
			if i := slices.IndexFunc(facts.Interfaces, func(n api.NIC) bool { return n.Name == name }); i >= 0 {
				row.NIC = &facts.Interfaces[i]
			}
		}
		d.Rows = append(d.Rows, row)
	}
	if facts != nil {
		d.Problems = facts.Problems
	}
	return v.page("interfaces", interfaceTitle, d)
}

// interfaceNames are those of the machine, then those that are configured only.
func interfaceNames(facts *api.System, configured []api.Fields) (out []string) {
	if facts != nil {
		for _, n := range facts.Interfaces {
			out = append(out, n.Name)
		}
	}
	for _, f := range configured {
		if !slices.Contains(out, f["name"]) {
			out = append(out, f["name"])
		}
	}
	return out
}

// named finds an item by its name, -1 = there is none.
func named(items []api.Fields, name string) int {
	return slices.IndexFunc(items, func(f api.Fields) bool { return f["name"] == name })
}

// interfaceForm is where an interface is configured.
func interfaceForm(name string) string {
	return interfacePath + "?" + url.Values{"name": {name}}.Encode()
}

// interfaceEditor is the form of one interface; without a name it asks for one.
func interfaceEditor(name string, f api.Fields) editor {
	e := editor{Action: interfacePath, Submit: "Update", Cancel: interfacesPath, Under: "interfaces"}
	s := section{Title: "New interface"}
	if name != "" {
		e.Action, s.Title = interfaceForm(name), "Interface "+name
	} else {
		s.Inputs = append(s.Inputs, input{Name: "name", Label: "Interface", Value: f["name"], Required: true, Hint: "As the machine calls it: eth0. A VLAN or bond gets this name: eth0.100, bond0"})
	}
	if name == "" || f["vlan.id"] != "" || f["vlan.link"] != "" {
		s.Inputs = append(s.Inputs,
			input{Name: "vlan.link", Label: "VLAN of", Value: f["vlan.link"], Hint: "Only for a VLAN: the interface that carries it, such as eth0, which must be enabled"},
			input{Name: "vlan.id", Label: "VLAN ID", Value: f["vlan.id"], Hint: "1 to 4094. Blank: no VLAN"},
		)
	}
	if name == "" || f["bond.members"] != "" || f["bond.mode"] != "" {
		s.Inputs = append(s.Inputs,
			input{Name: "bond.members", Label: "Bond of", Value: f["bond.members"], Hint: "Only for a bond: up to 8 network cards that are used for nothing else, with commas: eth2,eth3"},
			input{Name: "bond.mode", Label: "Bond Mode", Kind: "select", Value: f["bond.mode"], Options: bondModes(), Hint: "All but active-backup need an aggregate at the switch"},
		)
	}
	s.Inputs = append(s.Inputs,
		input{Name: "dhcp", Label: "DHCP", Kind: "checkbox", Value: or(f["dhcp"], "false"), Hint: "Lease an IPv4 address, a default gateway and name servers. The WebUI is there only where Security > Service Socket Addresses says so"},
		input{Name: "addresses", Label: "IP Addresses", Value: f["addresses"], Hint: "With the length of the network's prefix, with commas: 192.168.94.101/24. Addresses that others gave the interface stay"},
		input{Name: "mtu", Label: "MTU", Value: f["mtu"], Hint: "576 to 65535 bytes, from 1280 with IPv6. Blank: the interface's own, of a VLAN that of what carries it, of a bond 1500"},
		input{Name: "enabled", Label: "Enabled", Kind: "checkbox", Value: or(f["enabled"], "true"), Hint: "Off: the link is taken down, and what others gave it is lost"},
	)
	e.Sections = []section{s}
	return e
}

// bondModes are the choices of a form.
func bondModes() []option {
	return []option{
		{"", "as usual: active-backup"},
		{"active-backup", "active-backup: one member works, the others stand by"},
		{"802.3ad", "802.3ad: all members work, with LACP at the switch"},
		{"balance-xor", "balance-xor: all members work, with a fixed aggregate at the switch"},
	}
}

// interfaceAt finds what a form is about, and the number that a new one gets.
func (v *visit) interfaceAt() (name string, item api.Fields, n int, tag string, err error) {
	part, err := v.api.SystemFields(v.ctx())
	items := itemsOf(part.Fields, interfacesList)
	name = v.r.URL.Query().Get("name")
	if n = named(items, name); n >= 0 && name != "" {
		return name, items[n], n, part.Tag, err
	}
	return name, nil, len(items), part.Tag, err
}

func (v *visit) editInterface() error {
	name, item, _, tag, err := v.interfaceAt()
	if err != nil {
		return err
	}
	return v.interfaceEditor(name, item, tag, formError{})
}

func (v *visit) interfaceEditor(name string, f api.Fields, tag string, refused formError) error {
	e := interfaceEditor(name, f)
	e.Tag = tag
	return v.editor(interfaceTitle, e, refused)
}

func (v *visit) updateInterface() error {
	name, item, n, _, err := v.interfaceAt()
	if err != nil {
		return err
	}
	f := v.posted(interfaceEditor(name, item))
	if name != "" {
		f["name"] = name
	}
	err = v.setItem(interfacesList, n, f)
	if refused, tag, ok := v.again(err); ok {
		return v.interfaceEditor(name, f, tag, nameless(refused, name))
	}
	if err != nil {
		return err
	}
	return v.goTo(interfacesPath)
}

// nameless tells a mistake of a name that the form does not show above it.
func nameless(refused formError, name string) formError {
	text, wrong := refused.Fields["name"]
	if !wrong || name == "" {
		return refused
	}
	refused.Fields = maps.Clone(refused.Fields)
	delete(refused.Fields, "name")
	refused.General = append(refused.General, name+": "+text)
	return refused
}

// removeInterface leaves an interface to the machine again.
func (v *visit) removeInterface() error {
	part, err := v.api.SystemFields(v.ctx())
	if err != nil {
		return err
	}
	items := itemsOf(part.Fields, interfacesList)
	n := named(items, v.form("name"))
	if n < 0 {
		v.fail(http.StatusNotFound, "This interface is not configured.")
		return nil
	}
	if err := v.clearItem(interfacesList, n, items[n]); err != nil {
		return v.refused("This interface was not removed", interfacesPath, err)
	}
	return v.goTo(interfacesPath)
}
