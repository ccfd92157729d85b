package web

import (
	"fmt"
	"maps"
	"strings"

	"github.com/vosbed/vosbed/appliance/api"
)

// settingsScreen is a page of Local Configuration that is one form, beside what the
// machine is now.
type settingsScreen struct {
	name, path, title string
	form              func(api.Fields) []section // of the settings below system
}

// settingsData is its page. Facts are nil where the daemon cannot read the machine.
type settingsData struct {
	Admin bool
	Form  editor
	Facts *api.System
	// HardwareUnset says that the clock was set, but not the one that goes on while the
	// machine is off.
	HardwareUnset bool
}

func (s settingsScreen) show(v *visit) error {
	part, err := v.api.SystemFields(v.ctx())
	if err != nil {
		return err
	}
	return s.page(v, part.Fields, part.Tag, formError{})
}

func (s settingsScreen) page(v *visit, f api.Fields, tag string, refused formError) error {
	d := settingsData{Admin: v.may(api.RoleAdmin), Facts: v.facts(), HardwareUnset: v.r.URL.Query().Has(hardwareUnset)}
	d.Form = editor{Action: s.path, Submit: "Update", Tag: tag, Sections: s.form(f)}
	d.Form.place(refused)
	return v.show(refused.status(), s.name, s.title, d)
}

// update puts the form into the pending changes.
func (s settingsScreen) update(v *visit) error {
	f := v.posted(editor{Sections: s.form(nil)})
	err := v.api.SetSystem(v.ctx(), v.form("tag"), f)
	if refused, tag, ok := v.again(err); ok && v.may(api.RoleAdmin) { // others have no form to show it in
		return s.page(v, f, tag, refused)
	}
	if err != nil {
		return err
	}
	return v.goTo(s.path)
}

// facts are the machine's; what is configured is worth showing without them.
func (v *visit) facts() *api.System {
	f, err := v.api.System(v.ctx())
	if err != nil {
		v.opts.Logger.WarnContext(v.ctx(), "the machine cannot be shown", "err", err)
		return nil
	}
	return &f
}

// itemOf is a key of an item of a list: interfaces[0].name.
func itemOf(list string, n int, key string) string { return fmt.Sprintf("%s[%d].%s", list, n, key) }

// itemsOf are the items of a list, by their keys below it.
func itemsOf(f api.Fields, list string) []api.Fields {
	var out []api.Fields
	for n := 0; ; n++ {
		prefix := itemOf(list, n, "")
		one := api.Fields{}
		for key, text := range f {
			if own, ok := strings.CutPrefix(key, prefix); ok {
				one[own] = text
			}
		}
		if len(one) == 0 {
			return out
		}
		out = append(out, one)
	}
}

// setItem changes item n of a list in the draft. A refusal comes back at the item's keys.
func (v *visit) setItem(list string, n int, f api.Fields) error {
	full := api.Fields{}
	for key, text := range f {
		full[itemOf(list, n, key)] = text
	}
	err := v.api.SetSystem(v.ctx(), v.form("tag"), full)
	if p, ok := asProblem(err); ok && len(p.Fields) > 0 {
		own := map[string]string{}
		for key, text := range p.Fields {
			own[strings.TrimPrefix(key, itemOf(list, n, ""))] = text
		}
		p.Fields = own
		return &api.ProblemError{Problem: p}
	}
	return err
}

// clearItem removes item n of a list from the draft: an item without any value is none.
func (v *visit) clearItem(list string, n int, item api.Fields) error {
	gone := maps.Clone(item)
	for key := range gone {
		gone[key] = ""
	}
	return v.setItem(list, n, gone)
}
