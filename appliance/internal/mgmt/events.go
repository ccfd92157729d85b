package mgmt

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/accounts"
	"github.com/vosbed/vosbed/appliance/internal/events"
	"github.com/vosbed/vosbed/appliance/internal/feed"
	"github.com/vosbed/vosbed/appliance/internal/logbook"
)

// Logs are the latest lines of the daemon's log, newest first, and those to come.
type Logs interface {
	Lines(least slog.Level) []feed.Item[logbook.Line]
	Feed() *feed.Feed[logbook.Line]
}

// telling is what happens.
func (s *Server) telling() []route {
	const read = accounts.Auditor
	return []route{
		{method: http.MethodGet, path: api.PathEvents, handle: s.getEvents, least: read},
		{method: http.MethodGet, path: api.PathLogs, handle: s.getLogs, least: read},
		{method: http.MethodGet, path: api.PathLogStream, handle: s.getLogStream, least: read},
	}
}

// getEvents streams what happens to the appliance.
func (s *Server) getEvents(w http.ResponseWriter, r *http.Request) {
	follow(s, w, r, stream[events.Event]{
		feed: s.opts.Backend.Events,
		say: func(to *bytes.Buffer, items []feed.Item[events.Event]) {
			for _, i := range items {
				writeEvent(to, i.ID, "", eventOf(i))
			}
		},
		missed: func(to *bytes.Buffer) {
			writeEvent(to, 0, "", api.Event{At: s.opts.Now().UTC(), Kind: api.EventMissed, Text: "events before this were not kept: read the status"})
		},
	})
}

func eventOf(i feed.Item[events.Event]) api.Event {
	e := i.Value
	return api.Event{ID: i.ID, At: e.At, Kind: e.Kind, Service: e.Service, Server: e.Server, Before: e.Before, After: e.After, Text: e.Text}
}

// getLogs answers the latest lines of a level or above.
func (s *Server) getLogs(w http.ResponseWriter, r *http.Request) {
	least, err := levelOf(r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	reply(w, each(s.opts.Backend.Logs.Lines(least), lineOf))
}

func levelOf(r *http.Request) (slog.Level, error) {
	least := slog.LevelInfo
	text := r.URL.Query().Get("level")
	if text != "" && least.UnmarshalText([]byte(text)) != nil {
		return least, &formatError{http.StatusBadRequest, fmt.Sprintf("query: level %q: use debug, info, warn or error", text)}
	}
	return least, nil
}

func lineOf(i feed.Item[logbook.Line]) api.LogLine {
	return api.LogLine{ID: i.ID, At: i.Value.At, Level: strings.ToLower(i.Value.Level.String()), Text: i.Value.Text}
}

// getLogStream streams lines as they are written, those of one moment in one event.
func (s *Server) getLogStream(w http.ResponseWriter, r *http.Request) {
	least, err := levelOf(r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	text := strings.ToLower(r.URL.Query().Get("text"))
	follow(s, w, r, stream[logbook.Line]{
		feed: s.opts.Backend.Logs.Feed(),
		say: func(to *bytes.Buffer, items []feed.Item[logbook.Line]) {
			var lines []api.LogLine
			for _, i := range items {
				if i.Value.Level >= least && strings.Contains(strings.ToLower(i.Value.Text), text) {
					lines = append(lines, lineOf(i))
				}
			}
			if len(lines) > 0 {
				writeEvent(to, items[len(items)-1].ID, "", lines)
			}
		},
		missed: func(to *bytes.Buffer) { writeEvent(to, 0, api.EventMissed, []api.LogLine{}) },
	})
}
