package web

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/vosbed/vosbed/appliance/api"
)

// input is one control of a form with its label; templates show it by
// {{template "input" .}}.
type input struct {
	Name, Label string
	Kind        string // text, password, number, select, checkbox, hidden; "" = text
	Value       string
	Options     []option // of a select
	Hint        string   // below the control, in small
	Error       string   // what is wrong with the value
	Required    bool
	Auto        string // autocomplete attribute, "" = off
	Placeholder string
	Form        string // tells apart inputs of one name in several forms of a page
}

// needed refuses a form without a value that names what the form is about.
func needed(name, value string) error {
	if value != "" {
		return nil
	}
	const text = "is missing: it is needed here"
	return &api.ProblemError{Problem: api.Problem{Status: http.StatusUnprocessableEntity, Detail: text, Fields: map[string]string{name: text}}}
}

// option is one choice of a select.
type option struct{ Value, Text string }

// ID is the control's; labels and hints refer to it.
func (i input) ID() string {
	return "f-" + i.Form + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, i.Name)
}

// Describes lists the elements that describe the control, for aria-describedby.
func (i input) Describes() string {
	var ids []string
	if i.Hint != "" {
		ids = append(ids, i.ID()+"-hint")
	}
	if i.Error != "" {
		ids = append(ids, i.ID()+"-error")
	}
	return strings.Join(ids, " ")
}

// Type is that of an input element.
func (i input) Type() string {
	if i.Kind == "" {
		return "text"
	}
	return i.Kind
}

// Autocomplete is never left to a browser's guess.
func (i input) Autocomplete() string {
	if i.Auto == "" {
		return "off"
	}
	return i.Auto
}

// section is a part of a form with a heading; one that is Advanced is folded away at
// first (the guide's "[Advanced +]").
type section struct {
	Title    string
	Advanced bool
	Inputs   []input
}

// Wrong reports whether one of its inputs has an error: a folded section opens then.
func (s section) Wrong() bool {
	for _, i := range s.Inputs {
		if i.Error != "" {
			return true
		}
	}
	return false
}

// editor is a whole form, shown by {{template "editor" .}}.
type editor struct {
	Action   string // where it is posted
	Submit   string // the word on its button: Update
	Cancel   string // where Cancel leads, "" = no such button
	Tag      string // of the draft that the person saw
	Under    string // screen of the menu that it belongs to
	Sections []section
	Errors   formError
}

func (e editor) under() string { return e.Under }

// place puts the messages of a refusal at their inputs; what has no input becomes
// general.
func (e *editor) place(refused formError) {
	e.Errors.General = append(e.Errors.General, refused.General...)
	left := maps.Clone(refused.Fields)
	for s := range e.Sections {
		for i := range e.Sections[s].Inputs {
			in := &e.Sections[s].Inputs[i]
			if text, ok := left[in.Name]; ok && in.Kind != "hidden" {
				in.Error = text
				delete(left, in.Name)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		text := left[name]
		if name != "" {
			text = fmt.Sprintf("%s: %s", name, text)
		}
		e.Errors.General = append(e.Errors.General, text)
	}
}

// status is that of the page that shows it.
func (e formError) status() int {
	if e.Status == 0 {
		return http.StatusOK
	}
	return e.Status
}

// Wrong lists the inputs with an error, for the summary at the top of the form.
func (e editor) Wrong() []input {
	var out []input
	for _, s := range e.Sections {
		for _, i := range s.Inputs {
			if i.Error != "" {
				out = append(out, i)
			}
		}
	}
	return out
}
