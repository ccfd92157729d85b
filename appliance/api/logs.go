package api

import (
	"context"
	"net/url"
	"time"
)

// PathLogs are the latest lines of the daemon's log: GET; query level (debug, info, warn,
// error: that or above).
const PathLogs = "/api/v1/logs"

// LogLine is one of them.
type LogLine struct {
	At    time.Time `json:"at"`
	Level string    `json:"level"`
	Text  string    `json:"text"`
}

// Logs returns the latest lines, newest first.
func (c *Client) Logs(ctx context.Context, level string) ([]LogLine, error) {
	var out []LogLine
	err := c.get(ctx, PathLogs+"?"+url.Values{"level": {level}}.Encode(), &out)
	return out, err
}
