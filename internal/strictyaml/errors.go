package strictyaml

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Error is one mistake and where it stands. Line and Col count from 1.
type Error struct {
	File      string
	Line, Col int
	Path      string // "services[1].ports", "" = the document
	Msg       string // what is wrong
	Hint      string // what to do, may be empty
	Source    string // the text of the line
	Missing   string // the key below Path that is not there, "" = that is not what is wrong
}

// Key is the path of what must be changed: of the missing key where one is.
func (e Error) Key() string {
	if e.Missing == "" {
		return e.Path
	}
	return strings.TrimPrefix(e.Path+"."+e.Missing, ".")
}

// Error returns "file:line:col: path: message: hint".
func (e Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", e.File, e.Line, e.Col)
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Msg)
	if e.Hint != "" {
		b.WriteString(": " + e.Hint)
	}
	return b.String()
}

// Errors is every mistake of one document in the order of its lines.
type Errors []Error

// Error returns one line per mistake.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Render returns the mistakes for a terminal: each with its source line and a
// caret under the place.
func (e Errors) Render() string {
	var b strings.Builder
	for _, one := range e {
		b.WriteString(one.Error() + "\n")
		if one.Source == "" {
			continue
		}
		fmt.Fprintf(&b, "  %s\n  %s^\n", clip(one.Source), pad(one.Source, one.Col))
	}
	return b.String()
}

// Or returns nil for no mistakes, so that it can be returned as an error.
func (e Errors) Or() error {
	if len(e) == 0 {
		return nil
	}
	return e.sorted()
}

// Join merges the mistakes held by errs. An error of another kind is kept as a
// mistake without a place.
func Join(errs ...error) Errors {
	var all Errors
	for _, err := range errs {
		if err == nil {
			continue
		}
		if many, ok := errors.AsType[Errors](err); ok {
			all = append(all, many...)
			continue
		}
		one, ok := errors.AsType[Error](err)
		if !ok {
			one = Error{Msg: err.Error(), Line: 1, Col: 1}
		}
		all = append(all, one)
	}
	return all.sorted()
}

func (e Errors) sorted() Errors {
	e = slices.Clone(e)
	slices.SortStableFunc(e, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return slices.Compact(e)
}

// maxSource bounds a source line in a message, in runes.
const maxSource = 160

func clip(s string) string {
	r := []rune(s)
	if len(r) <= maxSource {
		return s
	}
	return string(r[:maxSource]) + "…"
}

// pad keeps tabs, so that the caret stands under its character.
func pad(source string, col int) string {
	var b strings.Builder
	for i, r := range []rune(source) {
		if i >= min(col-1, maxSource) {
			break
		}
		if r == '\t' {
			b.WriteRune('\t')
			continue
		}
		b.WriteRune(' ')
	}
	return b.String()
}
