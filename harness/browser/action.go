// Package browser is what a person does in a web browser, in a person's words:
// visible text and the names of fields, buttons and links, never anything of the
// page's source. It is the language of the testbed's browser steps and of the lines
// that the lab and the driver exchange.
package browser

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kinds of actions, by their key.
const (
	Open  = "open"
	Click = "click"
	Fill  = "fill"
	Shows = "shows"
	Menu  = "menu"
	See   = "see"
	Gone  = "gone"
	Row   = "row"
	Axe   = "axe"
)

// Patience is how long an action waits for what it looks for, unless Within is
// written; MaxPatience is the most that may be written.
const (
	Patience    = 10 * time.Second
	MaxPatience = 2 * time.Minute
)

// Action is one thing that a person does or sees. One key besides Near and Within is
// written.
type Action struct {
	Open string `yaml:"open,omitempty" json:"open,omitempty"` // a path, such as /lbadmin/
	// Click presses the button or follows the link of that name.
	Click string `yaml:"click,omitempty" json:"click,omitempty"`
	// Fill writes into fields, by their labels and in this order: text, the text of an
	// option, or true and false for what can be ticked.
	Fill Fields `yaml:"fill,omitempty" json:"fill,omitempty"`
	// Shows says what fields hold already.
	Shows Fields `yaml:"shows,omitempty" json:"shows,omitempty"`
	// Menu opens menus one inside the other and follows the last entry.
	Menu []string `yaml:"menu,omitempty" json:"menu,omitempty"`
	See  string   `yaml:"see,omitempty" json:"see,omitempty"`   // a text that becomes visible
	Gone string   `yaml:"gone,omitempty" json:"gone,omitempty"` // a text that disappears
	// Row is a table row that has these cells, in this order, perhaps among others.
	Row Cells `yaml:"row,omitempty" json:"row,omitempty"`
	// Axe examines the page by the rules of WCAG 2.2, levels A and AA. What it finds is
	// a sample, [MetricViolations]: an expectation judges it.
	Axe bool `yaml:"axe,omitempty" json:"axe,omitempty"`

	// Near chooses the one in the same table row, list item, section or article as this
	// text, or in the section of this name.
	Near string `yaml:"near,omitempty" json:"near,omitempty"`
	// Within is how long it may take until what is looked for is there.
	Within time.Duration `yaml:"within,omitempty" json:"within,omitempty"`
}

// Samples of a browser step.
const (
	// MetricViolations counts what axe found on a page; label page is its path.
	MetricViolations = "axe_violations"
	// MetricTime is how long the actions of a step took, in milliseconds; label step.
	MetricTime = "browser_ms"
)

// Kinds returns the keys that are written, in a fixed order.
func (a Action) Kinds() []string {
	present := []struct {
		name string
		is   bool
	}{
		{Open, a.Open != ""},
		{Click, a.Click != ""},
		{Fill, a.Fill != nil},
		{Shows, a.Shows != nil},
		{Menu, a.Menu != nil},
		{See, a.See != ""},
		{Gone, a.Gone != ""},
		{Row, a.Row != nil},
		{Axe, a.Axe},
	}
	var out []string
	for _, p := range present {
		if p.is {
			out = append(out, p.name)
		}
	}
	return out
}

// Kind returns the action's key, "" when none or several are written.
func (a Action) Kind() string {
	if kinds := a.Kinds(); len(kinds) == 1 {
		return kinds[0]
	}
	return ""
}

// Patience is how long the action waits for what it looks for.
func (a Action) Patience() time.Duration { return cmp.Or(a.Within, Patience) }

// Words says what is done. Values are left out: a password is one.
func (a Action) Words() string {
	near := ""
	if a.Near != "" {
		near = " near " + Quote(a.Near)
	}
	switch a.Kind() {
	case Open:
		return "open " + a.Open
	case Click:
		return "click " + Quote(a.Click) + near
	case Fill:
		return "fill " + strings.Join(a.Fill.Labels(), ", ") + near
	case Shows:
		return "read " + strings.Join(a.Shows.Labels(), ", ") + near
	case Menu:
		return "menu " + strings.Join(a.Menu, " > ")
	case See:
		return "see " + Quote(a.See)
	case Gone:
		return "no longer see " + Quote(a.Gone)
	case Row:
		return "see the row " + strings.Join(a.Row, " | ")
	case Axe:
		return "examine the page with axe"
	}
	return "nothing"
}

// Quote puts a text of a page between the marks that messages use.
func Quote(text string) string { return "“" + text + "”" }

// Check says what cannot be meant, nil if nothing.
func (a Action) Check() error {
	kinds := a.Kinds()
	switch {
	case len(kinds) != 1:
		return fmt.Errorf("an action does exactly one thing, this one %v", kinds)
	case a.Near != "" && !slices.Contains([]string{Click, Fill, Shows}, kinds[0]):
		return fmt.Errorf("only click, fill and shows can be near a text, not %s", kinds[0])
	case a.Within < 0 || a.Within > MaxPatience:
		return fmt.Errorf("at most %s", MaxPatience)
	case a.Open != "" && !strings.HasPrefix(a.Open, "/"):
		return fmt.Errorf("open wants a path that begins with /, not %q", a.Open)
	}
	return nil
}
