package web

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
)

// logsData is the page of the daemon's log.
type logsData struct {
	Level, Search input
	Lines         []api.LogLine
	Stream        string // of the lines to come
}

// logs shows the latest lines of the daemon's log.
func (v *visit) logs() error {
	q := v.r.URL.Query()
	level := q.Get("level")
	if level == "" {
		level = "info"
	}
	all, err := v.api.Logs(v.ctx(), level)
	if err != nil {
		return err
	}
	stream := url.Values{"level": {level}, "text": {q.Get("text")}}
	if len(all) > 0 {
		stream.Set("after", strconv.FormatUint(all[0].ID, 10))
	}
	text := strings.ToLower(q.Get("text"))
	all = slices.DeleteFunc(all, func(l api.LogLine) bool { return !strings.Contains(strings.ToLower(l.Text), text) })
	return v.page("logs", "Load Balancer Log", logsData{
		Level: input{Name: "level", Label: "Level", Kind: "select", Value: level, Options: []option{
			{"info", "Information and above"}, {"warn", "Warnings and errors"}, {"error", "Errors"},
		}},
		Search: input{Name: "text", Label: "Text", Value: q.Get("text")},
		Lines:  all,
		Stream: logsStreamPath + "?" + stream.Encode(),
	})
}

// logsStreamPath is where the page's further lines come from.
const logsStreamPath = Root + "logs/stream"

// logsStream sends the lines to come as rows of the page's table, those of one moment in
// one event, the newest first.
func (v *visit) logsStream() error {
	q := v.r.URL.Query()
	after, err := strconv.ParseUint(or(v.r.Header.Get("Last-Event-ID"), or(q.Get("after"), "0")), 10, 64)
	if err != nil {
		v.fail(http.StatusBadRequest, "The number of the last line is none.")
		return nil
	}
	if !v.live.enter(v.session.ID) {
		v.fail(http.StatusServiceUnavailable, "Too many live pages are open.")
		return nil
	}
	defer v.live.leave(v.session.ID)
	v.w.Header().Set("Content-Type", "text/event-stream")
	_ = http.NewResponseController(v.w).SetReadDeadline(time.Time{}) // nothing more is read
	if err = v.push([]byte(": \n\n")); err != nil {
		return ignoreGone(err)
	}
	err = v.api.FollowLogs(v.ctx(), or(q.Get("level"), "info"), q.Get("text"), after, func(lines []api.LogLine, last uint64) error {
		rows, failed := v.logRows(lines, last)
		return errors.Join(failed, v.push(rows))
	})
	if v.ctx().Err() != nil {
		return nil
	}
	_, ended := v.api.Session(v.ctx())
	if p, ok := asProblem(ended); ok && p.Status == http.StatusUnauthorized {
		err = v.push([]byte("event: bye\ndata: .\n\n"))
	}
	return ignoreGone(err)
}

// push sends a part of a stream, to a reader that is not too slow.
func (v *visit) push(text []byte) error {
	conn := http.NewResponseController(v.w)
	_ = conn.SetWriteDeadline(time.Now().Add(2 * refreshEvery)) // not every connection has one
	_, err := v.w.Write(text)
	return errors.Join(err, conn.Flush())
}

// logRows renders lines as one event.
func (v *visit) logRows(lines []api.LogLine, last uint64) ([]byte, error) {
	slices.Reverse(lines)
	var html, out bytes.Buffer
	if err := v.views.fragment(&html, "logs", "log-rows", frame{Data: lines}); err != nil {
		return nil, err
	}
	fmt.Fprintf(&out, "id: %d\n", last)
	writeEvent(&out, "rows", html.String())
	return out.Bytes(), nil
}

// logsFile is the same as a file, oldest first.
func (v *visit) logsFile() error {
	all, err := v.api.Logs(v.ctx(), "info")
	if err != nil {
		return err
	}
	v.download("text/plain; charset=utf-8", "vosbed-log.txt")
	slices.Reverse(all)
	for _, l := range all {
		if _, err := fmt.Fprintf(v.w, "%s %-5s %s\n", l.At.UTC().Format(time.RFC3339Nano), l.Level, l.Text); err != nil {
			return ignoreGone(err)
		}
	}
	return nil
}
