package drive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/vosbed/vosbed/harness/browser"
)

// act is how one kind of action is done.
type act func(*session, context.Context, browser.Action) error

func acts() map[string]act {
	return map[string]act{
		browser.Open:  (*session).open,
		browser.Click: (*session).click,
		browser.Fill:  (*session).fill,
		browser.Shows: (*session).shows,
		browser.Menu:  (*session).menu,
		browser.See:   (*session).see,
		browser.Gone:  (*session).gone,
		browser.Row:   (*session).row,
	}
}

// open goes to a path of the appliance.
func (s *session) open(ctx context.Context, a browser.Action) error {
	url := s.base + a.Open
	return s.patient(ctx, a.Patience(), func(ctx context.Context) error {
		var went struct {
			Failed string `json:"errorText"`
		}
		if err := s.t.Call(ctx, "Page.navigate", object{"url": url}, &went); err != nil {
			return err
		}
		if went.Failed != "" {
			return fmt.Errorf("%s does not open: %s", url, went.Failed)
		}
		return s.busy.settle(ctx)
	})
}

// click presses what has that name.
func (s *session) click(ctx context.Context, a browser.Action) error {
	return s.press(ctx, a, wanted{sort: pressed(), name: a.Click, near: a.Near})
}

// press waits until there is exactly one such thing that can be pressed, and does so.
func (s *session) press(ctx context.Context, a browser.Action, w wanted) error {
	return s.patient(ctx, a.Patience(), func(ctx context.Context) error {
		el, err := s.find(ctx, w)
		if err != nil {
			return err
		}
		return s.hit(ctx, w, el)
	})
}

// hit clicks with the mouse, where a person would: in the middle of what is visible.
func (s *session) hit(ctx context.Context, w wanted, el element) error {
	if el.seen.Disabled {
		return fmt.Errorf("%s is disabled", w)
	}
	at := object{"objectId": string(el.handle)}
	if err := s.t.Call(ctx, "DOM.scrollIntoViewIfNeeded", at, nil); err != nil {
		return fmt.Errorf("%s cannot be seen: %w", w, err)
	}
	var shape struct {
		Quads [][]float64 `json:"quads"`
	}
	if err := s.t.Call(ctx, "DOM.getContentQuads", at, &shape); err != nil || len(shape.Quads) == 0 {
		return errors.Join(fmt.Errorf("%s cannot be seen", w), err)
	}
	q := shape.Quads[0]
	x, y := (q[0]+q[4])/2, (q[1]+q[5])/2
	var over string
	if err := s.askOf(ctx, el.handle, &over, "covered", x, y); err != nil {
		return err
	}
	if over != "" {
		return fmt.Errorf("%s is covered by %s", w, browser.Quote(over))
	}
	for _, kind := range []string{"mouseMoved", "mousePressed", "mouseReleased"} {
		ev := object{"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}
		if kind == "mouseMoved" {
			ev["button"], ev["clickCount"] = "none", 0
		}
		if err := s.t.Call(ctx, "Input.dispatchMouseEvent", ev, nil); err != nil {
			return fmt.Errorf("%w: %w", errFinal, err)
		}
	}
	return s.calm(ctx)
}

// calm lets the page begin what an action has set off, and waits until it is done.
func (s *session) calm(ctx context.Context) error {
	// What was asked of a page that is left meanwhile has no answer.
	_ = s.ask(ctx, nil, "soon")
	s.busy.touch()
	return s.busy.settle(ctx)
}

// fill writes into fields, one after the other.
func (s *session) fill(ctx context.Context, a browser.Action) error {
	for _, f := range a.Fill {
		w := wanted{sort: filled(), name: f.Label, near: a.Near}
		err := s.patient(ctx, a.Patience(), func(ctx context.Context) error {
			el, err := s.find(ctx, w)
			if err != nil {
				return err
			}
			return s.write(ctx, w, el, f.Value)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// write makes a field hold a value.
func (s *session) write(ctx context.Context, w wanted, el element, value string) error {
	switch d := el.seen; {
	case d.Disabled:
		return fmt.Errorf("%s is disabled", w)
	case d.Readonly:
		return fmt.Errorf("%s can only be read", w)
	case d.Tag == "SELECT":
		return s.choose(ctx, w, el, value)
	case ticked(d):
		want, err := strconv.ParseBool(value)
		if err != nil {
			return fmt.Errorf("%w: %s is ticked or not: write true or false, not %q", errFinal, w, value)
		}
		if d.Checked == want {
			return nil
		}
		return s.hit(ctx, w, el)
	}
	if err := s.askOf(ctx, el.handle, nil, "take"); err != nil {
		return err
	}
	if err := s.typeText(ctx, value); err != nil {
		return err
	}
	if err := s.askOf(ctx, el.handle, nil, "leave"); err != nil {
		return err
	}
	return s.calm(ctx)
}

// ticked tells fields that are ticked from those that hold text.
func ticked(d description) bool {
	return d.Type == "checkbox" || d.Type == "radio" || d.Tag == "BUTTON"
}

// typeText replaces what is marked.
func (s *session) typeText(ctx context.Context, text string) error {
	if text != "" {
		return s.t.Call(ctx, "Input.insertText", object{"text": text}, nil)
	}
	for _, kind := range []string{"rawKeyDown", "keyUp"} {
		key := object{"type": kind, "key": "Delete", "code": "Delete", "windowsVirtualKeyCode": 46}
		if err := s.t.Call(ctx, "Input.dispatchKeyEvent", key, nil); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) choose(ctx context.Context, w wanted, el element, option string) error {
	var done bool
	if err := s.askOf(ctx, el.handle, &done, "choose", squeeze(option)); err != nil {
		return err
	}
	if !done {
		return fmt.Errorf("no option %s in %s; %s", browser.Quote(option), w, among(squeeze(option), el.seen.Options))
	}
	return s.calm(ctx)
}

// shows waits until fields hold what they should.
func (s *session) shows(ctx context.Context, a browser.Action) error {
	for _, f := range a.Shows {
		w := wanted{sort: filled(), name: f.Label, near: a.Near}
		err := s.patient(ctx, a.Patience(), func(ctx context.Context) error {
			el, err := s.find(ctx, w)
			if err != nil {
				return err
			}
			holds := squeeze(el.seen.Value)
			if ticked(el.seen) {
				holds = strconv.FormatBool(el.seen.Checked)
			}
			if want := squeeze(f.Value); holds != want {
				return fmt.Errorf("%s holds %s, not %s", w, browser.Quote(holds), browser.Quote(want))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// menu opens the menus on the way, unless they are open, and follows the last entry.
// While a page changes it begins again at the top.
func (s *session) menu(ctx context.Context, a browser.Action) error {
	return s.patient(ctx, a.Patience(), func(ctx context.Context) error {
		last := wanted{sort: pressed(), name: a.Menu[len(a.Menu)-1], menu: true}
		for i, name := range a.Menu[:len(a.Menu)-1] {
			w := wanted{sort: pressed(), name: name, menu: true, in: last.in}
			el, err := s.find(ctx, w)
			if err != nil {
				return err
			}
			last.in = &el.handle
			next := wanted{sort: pressed(), name: a.Menu[i+1], menu: true, in: last.in}
			if err := s.unfold(ctx, w, el, next); err != nil {
				return err
			}
		}
		el, err := s.find(ctx, last)
		if err != nil {
			return err
		}
		return s.hit(ctx, last, el)
	})
}

// unfoldTime is how long a menu may take to show what is in it.
const unfoldTime = time.Second

// unfold opens a menu unless what is wanted of it shows already.
func (s *session) unfold(ctx context.Context, menu wanted, el element, next wanted) error {
	shown := func(ctx context.Context) error {
		_, err := s.find(ctx, next)
		return err
	}
	if shown(ctx) == nil {
		return nil
	}
	if err := s.hit(ctx, menu, el); err != nil {
		return err
	}
	return s.patient(ctx, unfoldTime, shown)
}

// cut is how much of a page a message shows.
const cut = 200

// content is what a page says.
type content struct {
	Title   string `json:"title"`
	Path    string `json:"path"`
	Written string `json:"written"`
	Drawn   string `json:"drawn"`
}

// see waits until a text is visible.
func (s *session) see(ctx context.Context, a browser.Action) error {
	want := squeeze(a.See)
	return s.patient(ctx, a.Patience(), func(ctx context.Context) error {
		var c content
		if err := s.ask(ctx, &c, "pageText"); err != nil {
			return err
		}
		if c.has(want) {
			return nil
		}
		return fmt.Errorf("no text %s on %s; %s", browser.Quote(want), c.place(), c.instead(want))
	})
}

func (c content) has(text string) bool {
	return containsText(c.Written, text) || containsText(c.Drawn, text)
}

func (c content) place() string { return "the page " + browser.Quote(c.Title) + " (" + c.Path + ")" }

// instead says what is there in place of a text.
func (c content) instead(want string) string {
	written, folded := []rune(c.Written), []rune(fold(c.Written))
	if len(written) == len(folded) {
		if i := indexRunes(folded, []rune(fold(want))); i >= 0 {
			there := string(written[i : i+len([]rune(fold(want)))])
			return "there is " + browser.Quote(there) + ": " + slip(want, there)
		}
	}
	return "it begins: " + shorten(c.Written, cut)
}

// gone waits until a text is no longer visible.
func (s *session) gone(ctx context.Context, a browser.Action) error {
	want := squeeze(a.Gone)
	return s.patient(ctx, a.Patience(), func(ctx context.Context) error {
		var c content
		if err := s.ask(ctx, &c, "pageText"); err != nil {
			return err
		}
		if !c.has(want) {
			return nil
		}
		return fmt.Errorf("the text %s is still on %s", browser.Quote(want), c.place())
	})
}

// row waits for a table row with these cells.
func (s *session) row(ctx context.Context, a browser.Action) error {
	var want []string
	for _, cell := range a.Row {
		want = append(want, squeeze(cell))
	}
	return s.patient(ctx, a.Patience(), func(ctx context.Context) error {
		var rows [][][]string
		if err := s.ask(ctx, &rows, "rows"); err != nil {
			return err
		}
		return inRows(want, rows)
	})
}

// inRows looks for the wanted cells, in their order, in one row. Each cell has several
// names, of which the first is all its text; two of them may be those of one cell.
func inRows(want []string, rows [][][]string) error {
	best, most := "", -1
	for _, row := range rows {
		n := 0
		for _, cell := range row {
			for first := n; n < len(want) && slices.Contains(cell, want[n]) && !slices.Contains(want[first:n], want[n]); {
				n++
			}
		}
		if n == len(want) {
			return nil
		}
		if n > most {
			best, most = rowText(row), n
		}
	}
	text := "no row " + browser.Quote(join(want))
	if most < 0 {
		return errors.New(text + "; there is no table")
	}
	return fmt.Errorf("%s; most like it is %s: it lacks %s", text, browser.Quote(best), browser.Quote(want[most]))
}
