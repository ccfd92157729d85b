package api

import (
	"context"
	"net/http"
	"time"
)

// PathClock sets the machine's clock by hand (guide 14.1.1, System Date & Time): POST
// NewClock, answered with ClockSet. It is refused while NTP servers are configured, as they
// would set it back, and while a configuration is on trial.
const PathClock = "/api/v1/system/clock"

// NewClock is the time: 2026-03-04 12:00:00 as clocks in the machine's zone show it, or as
// RFC 3339 has it, 2026-03-04T12:00:00Z.
type NewClock struct {
	Time string `json:"time"`
}

// ClockSet tells what the clock was and is. Hardware says why the clock that goes on while
// the machine is off was not set too, "" = it was.
type ClockSet struct {
	Before   time.Time `json:"before"`
	Now      time.Time `json:"now"`
	Hardware string    `json:"hardware,omitempty"`
}

// SetClock sets the machine's clock.
func (c *Client) SetClock(ctx context.Context, text string) (ClockSet, error) {
	var out ClockSet
	err := c.act(ctx, http.MethodPost, PathClock, NewClock{text}, &out)
	return out, err
}
