package api

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// PathEvents is the stream of events: GET. Each is an [Event] in JSON.
const PathEvents = "/api/v1/events"

// Event is something that happened. Kinds are server, service, role, peer, sync,
// configuration, draft, trial, problem, more, and [EventMissed]. IDs rise, also over a
// restart of the daemon.
type Event struct {
	ID      uint64    `json:"id"`
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"`
	Service string    `json:"service,omitempty"`
	Server  string    `json:"server,omitempty"`
	Before  string    `json:"before,omitempty"`
	After   string    `json:"after,omitempty"`
	Text    string    `json:"text"`
}

// FollowEvents calls fn for each event after that ID (0 = from now on) until ctx ends, fn
// fails or the stream ends, which is no error: ask again with the latest ID.
func (c *Client) FollowEvents(ctx context.Context, after uint64, fn func(Event) error) error {
	return c.follow(ctx, PathEvents, after, func(e sentEvent) error {
		var out Event
		if err := json.Unmarshal(e.Data, &out); err != nil {
			return fmt.Errorf("read an event: %w", err)
		}
		out.ID = e.ID
		return fn(out)
	})
}
