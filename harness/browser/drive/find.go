package drive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vosbed/vosbed/harness/browser"
)

// sort is a sort of things that a person uses.
type sort struct {
	word  string // for messages
	roles []string
}

func pressed() sort {
	return sort{"button or link", []string{
		"button", "link", "menuitem", "menuitemcheckbox", "menuitemradio", "tab", "switch", "checkbox", "radio", "treeitem",
		"DisclosureTriangle", "DisclosureTriangleGrouped", "popUpButton", "toggleButton",
	}}
}

func filled() sort {
	return sort{"field", []string{
		"textbox", "searchbox", "spinbutton", "combobox", "listbox", "checkbox", "switch", "radio", "slider", "Date", "DateTime", "InputTime",
		"textField", "textFieldWithComboBox", "comboBoxSelect", "comboBoxMenuButton", "comboBoxGrouping", "ColorWell",
	}}
}

// element is one that was found.
type element struct {
	handle handle
	name   string
	seen   description
}

// description is what page.js says of an element.
type description struct {
	Texts    []string `json:"texts"`
	Near     int      `json:"near"`
	Disabled bool     `json:"disabled"`
	Readonly bool     `json:"readonly"`
	Href     string   `json:"href"`
	Nav      bool     `json:"nav"`
	Tag      string   `json:"tag"`
	Type     string   `json:"type"`
	Value    string   `json:"value"`
	Checked  bool     `json:"checked"`
	Options  []string `json:"options"`
}

// wanted is what is looked for.
type wanted struct {
	sort
	name string
	near string
	menu bool    // among the menus only
	in   *handle // preferably beside this
}

func (w wanted) String() string {
	text := w.word + " " + browser.Quote(w.name)
	if w.near != "" {
		text += " near " + browser.Quote(w.near)
	}
	return text
}

// poll is the time between two looks at a page.
const poll = 100 * time.Millisecond

// patient repeats a look at the page until it succeeds or the time is up. What the
// last look met is the error: while a page changes, a look may fail for that.
func (s *session) patient(ctx context.Context, within time.Duration, look func(context.Context) error) error {
	end := time.NewTimer(within)
	defer end.Stop()
	for {
		err := look(ctx)
		if err == nil || errors.Is(err, errFinal) {
			return err
		}
		next := time.NewTimer(poll)
		select {
		case <-next.C:
		case <-end.C:
			next.Stop()
			return err
		case <-ctx.Done():
			next.Stop()
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// errFinal marks what no patience mends.
var errFinal = errors.New("it is of no use to wait")

// find looks once for exactly one element.
func (s *session) find(ctx context.Context, w wanted) (element, error) {
	all, err := s.offers(ctx, w.roles)
	if err != nil {
		return element{}, err
	}
	w.name = squeeze(w.name)
	world, err := s.enter(ctx)
	if err != nil {
		return element{}, err
	}
	var found []element
	for _, n := range all {
		if !mentions(n.Name.text(), w.name) {
			continue
		}
		el := element{name: n.Name.text()}
		if el.handle, err = s.resolve(ctx, world, n); err != nil {
			return element{}, err
		}
		if err = s.askOf(ctx, el.handle, &el.seen, "describe", w.near); err != nil {
			return element{}, err
		}
		if w.meant(el) && (!w.menu || el.seen.Nav) {
			found = append(found, el)
		}
	}
	return s.one(ctx, w, found, all)
}

// meant tells whether an element may be the wanted one. A name may say itself what the
// element is near: “Modify HM1”.
func (w wanted) meant(el element) bool {
	return el.called(w.name) || w.near != "" && el.called(w.name+" "+squeeze(w.near))
}

// called tells whether a person would call the element so: by its name, or by the
// text on it.
func (e element) called(name string) bool {
	return e.name == name || strings.TrimRight(e.name, " *:") == name || slices.Contains(e.seen.Texts, name)
}

// one chooses among what was found, or says why it cannot.
func (s *session) one(ctx context.Context, w wanted, found []element, all []node) (element, error) {
	if len(found) == 0 {
		var names []string
		for _, n := range all {
			names = append(names, n.Name.text())
		}
		return element{}, fmt.Errorf("no %s %s; %s", w.word, browser.Quote(w.name), among(w.name, names))
	}
	if w.near != "" {
		if found = nearest(found); len(found) == 0 {
			return element{}, fmt.Errorf("no %s: no such text in the same row, list item or section", w)
		}
	}
	if w.in != nil {
		beside, err := s.beside(ctx, *w.in, found)
		if err != nil {
			return element{}, err
		}
		if len(beside) > 0 {
			found = beside
		}
	}
	if len(found) > 1 && !sameLink(found) {
		hint := "; say near which text"
		if w.near != "" {
			hint = ""
		}
		return element{}, fmt.Errorf("%d times: %s%s", len(found), w, hint)
	}
	return found[0], nil
}

// beside keeps what lies in the same list item as another element.
func (s *session) beside(ctx context.Context, other handle, found []element) ([]element, error) {
	var out []element
	for _, el := range found {
		in := false
		if err := s.askOf(ctx, el.handle, &in, "inside", other); err != nil {
			return nil, err
		}
		if in {
			out = append(out, el)
		}
	}
	return out, nil
}

// nearest keeps what shares the innermost container with the text.
func nearest(found []element) []element {
	deepest := 0
	for _, el := range found {
		deepest = max(deepest, el.seen.Near)
	}
	return slices.DeleteFunc(found, func(el element) bool { return el.seen.Near == 0 || el.seen.Near < deepest })
}

// sameLink tells whether all are links to the same place: any of them will do.
func sameLink(found []element) bool {
	for _, el := range found {
		if el.seen.Href == "" || el.seen.Href != found[0].seen.Href {
			return false
		}
	}
	return true
}
