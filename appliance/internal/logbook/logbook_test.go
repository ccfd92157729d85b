package logbook

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/vosbed/vosbed/appliance/internal/feed"
)

func texts(lines []feed.Item[Line]) string {
	var out []string
	for _, l := range lines {
		out = append(out, l.Value.Level.String()+" "+l.Value.Text)
	}
	return strings.Join(out, "|")
}

func TestLinesAreKeptAndHandedOn(t *testing.T) {
	var next strings.Builder
	b := New(slog.NewTextHandler(&next, nil))
	log := slog.New(b)
	log.Info("one", "a", 1)
	log.With("b", "x").WithGroup("g").With("c", 2).Warn("two", "d", 3, slog.Group("h", "e", 4))
	log.Debug("not wanted")
	if got := texts(b.Lines(slog.LevelInfo)); got != "WARN two b=x g.c=2 g.d=3 g.h.e=4|INFO one a=1" {
		t.Errorf("kept: %s", got)
	}
	if got := texts(b.Lines(slog.LevelWarn)); strings.Contains(got, "one") {
		t.Errorf("warnings: %s", got)
	}
	if !strings.Contains(next.String(), "msg=two b=x g.c=2 g.d=3 g.h.e=4") {
		t.Errorf("handed on: %s", next.String())
	}
}

func TestTheBookIsBounded(t *testing.T) {
	var sink strings.Builder
	b := New(slog.NewTextHandler(&sink, nil))
	log := slog.New(b)
	for i := range size + 5 {
		log.Info("line", "n", i)
	}
	lines := b.Lines(slog.LevelInfo)
	if len(lines) != size || lines[0].Value.Text != fmt.Sprintf("line n=%d", size+4) || lines[size-1].Value.Text != "line n=5" {
		t.Errorf("%d lines from %s to %s", len(lines), lines[len(lines)-1].Value.Text, lines[0].Value.Text)
	}
	log.Info("a\nb\x1b[31m\u009b31m\u2028\u202e", "long", strings.Repeat("é", longest))
	if got := b.Lines(slog.LevelInfo)[0].Value.Text; strings.ContainsAny(got, "\n\x1b\u009b\u2028\u202e") || len(got) > longest+4 {
		t.Errorf("a line of %d bytes: %.40q", len(got), got)
	}
}

func TestLoggersShareTheBook(t *testing.T) {
	var next strings.Builder
	b := New(slog.NewTextHandler(&next, nil))
	var wg sync.WaitGroup
	for i := range 4 {
		log := slog.New(b).With("logger", i)
		wg.Go(func() {
			for range 100 {
				log.Info("x")
			}
		})
	}
	wg.Wait()
	if got := len(b.Lines(slog.LevelInfo)); got != 400 {
		t.Errorf("%d lines", got)
	}
}
