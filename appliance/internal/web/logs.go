package web

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
)

// logsData is the page of the daemon's log.
type logsData struct {
	Level, Search input
	Lines         []api.LogLine
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
	text := strings.ToLower(q.Get("text"))
	all = slices.DeleteFunc(all, func(l api.LogLine) bool { return !strings.Contains(strings.ToLower(l.Text), text) })
	return v.page("logs", "Load Balancer Log", logsData{
		Level: input{Name: "level", Label: "Level", Kind: "select", Value: level, Options: []option{
			{"info", "Information and above"}, {"warn", "Warnings and errors"}, {"error", "Errors"},
		}},
		Search: input{Name: "text", Label: "Text", Value: q.Get("text")},
		Lines:  all,
	})
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
