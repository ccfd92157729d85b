// Package logbook keeps the latest lines of the log in memory, so that people can read
// them in the WebUI whatever becomes of standard error. Its size is fixed.
package logbook

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/vosbed/vosbed/appliance/internal/feed"
)

const (
	// size is how many lines are kept.
	size = 2000
	// longest is the greatest length of a line's text in bytes.
	longest = 2048
)

// Line is one line of the log. Text is the message with its attributes, key=value.
type Line struct {
	At    time.Time
	Level slog.Level
	Text  string
}

// Book is a handler that keeps lines and hands them on.
type Book struct {
	next  slog.Handler
	pages *feed.Feed[Line] // that all loggers of a book share
	attrs []slog.Attr      // of a logger made by With, already with their groups' names
	group string           // "a.b." in front of the keys to come
}

// New returns a book before another handler.
func New(next slog.Handler) *Book { return &Book{next: next, pages: feed.New[Line](size, 1)} }

// Enabled asks the next handler: what it does not want is not kept either.
func (b *Book) Enabled(ctx context.Context, l slog.Level) bool { return b.next.Enabled(ctx, l) }

// Handle keeps the record and hands it on.
func (b *Book) Handle(ctx context.Context, r slog.Record) error {
	var text strings.Builder
	text.WriteString(r.Message)
	for _, a := range b.attrs {
		write(&text, "", a)
	}
	r.Attrs(func(a slog.Attr) bool {
		write(&text, b.group, a)
		return text.Len() < longest
	})
	b.pages.Add(Line{r.Time, r.Level, clip(text.String())})
	return b.next.Handle(ctx, r)
}

func write(to *strings.Builder, group string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		for _, inner := range v.Group() {
			write(to, group+a.Key+".", inner)
		}
		return
	}
	to.WriteString(" " + group + a.Key + "=" + v.String())
}

// clip bounds a text and keeps it on one line: nothing that somebody else has written looks
// like a line of its own, or tells a terminal what to do.
func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return ' '
		}
		return r
	}, s)
	if len(s) <= longest {
		return s
	}
	return strings.ToValidUTF8(s[:longest], "") + "…"
}

// WithAttrs returns the handler of a logger that adds attributes.
func (b *Book) WithAttrs(attrs []slog.Attr) slog.Handler {
	twin := *b
	twin.next = b.next.WithAttrs(attrs)
	twin.attrs = slices.Clone(b.attrs)
	for _, a := range attrs {
		a.Key = b.group + a.Key
		twin.attrs = append(twin.attrs, a)
	}
	return &twin
}

// WithGroup returns the handler of a logger whose attributes are in a group.
func (b *Book) WithGroup(name string) slog.Handler {
	twin := *b
	twin.next = b.next.WithGroup(name)
	twin.group = b.group + name + "."
	return &twin
}

// Lines returns what is kept of a level or above, newest first, with its numbers.
func (b *Book) Lines(least slog.Level) []feed.Item[Line] {
	all := b.pages.All()
	slices.Reverse(all)
	return slices.DeleteFunc(all, func(l feed.Item[Line]) bool { return l.Value.Level < least })
}

// Feed is what followers of the log read.
func (b *Book) Feed() *feed.Feed[Line] { return b.pages }
