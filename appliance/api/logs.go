package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"
)

// PathLogStream is the log as it is written, a stream: GET; query level as of PathLogs,
// text (that occurs in a line). Each event is an array of lines, the oldest first.
const PathLogStream = "/api/v1/logs/stream"

// PathLogs are the latest lines of the daemon's log: GET; query level (debug, info, warn,
// error: that or above).
const PathLogs = "/api/v1/logs"

// LogLine is one of them. IDs rise by one from the start of the daemon.
type LogLine struct {
	ID    uint64    `json:"id"`
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

// FollowLogs calls fn for lines of a level or above in which a text occurs, in batches, the
// oldest first, after that ID (0 = from now on). It ends as [Client.FollowEvents] does.
func (c *Client) FollowLogs(ctx context.Context, level, text string, after uint64, fn func(lines []LogLine, last uint64) error) error {
	path := PathLogStream + "?" + url.Values{"level": {level}, "text": {text}}.Encode()
	return c.follow(ctx, path, after, func(e sentEvent) error {
		var lines []LogLine
		if e.Name == EventMissed {
			return nil
		}
		if err := json.Unmarshal(e.Data, &lines); err != nil {
			return fmt.Errorf("read lines of the log: %w", err)
		}
		return fn(lines, e.ID)
	})
}
