package web

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"
)

// helpers are the functions of the templates.
func helpers(f files) template.FuncMap {
	return template.FuncMap{
		"file":    f.Path,
		"utc":     utc,
		"ago":     ago,
		"title":   title,
		"plural":  plural,
		"ms":      milliseconds,
		"shorten": shorten,
		"bytes":   bytesText,
		"rate":    func(v float64) string { return bytesText(v) + "/s" },
		"choice":  func(word string, on bool) choice { return choice{word, on} },
		"comma":   func(s []string) string { return strings.Join(s, ", ") },
	}
}

// choice is one word of several of which one holds now.
type choice struct {
	Word string
	On   bool
}

// utc is a time as the guide shows it (11.2).
func utc(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// ago is how long something is back.
func ago(then, now time.Time) string {
	d := now.Sub(then)
	switch {
	case then.IsZero():
		return "never"
	case d < 2*time.Second:
		return "just now"
	case d < 2*time.Minute:
		return strconv.Itoa(int(d.Seconds())) + " s ago"
	case d < 2*time.Hour:
		return strconv.Itoa(int(d.Minutes())) + " min ago"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + " h ago"
	}
	return strconv.Itoa(int(d.Hours()/24)) + " days ago"
}

// title begins a word with a capital.
func title(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

func milliseconds(v float64) string {
	if v < 10 {
		return fmt.Sprintf("%.1f ms", v)
	}
	return fmt.Sprintf("%.0f ms", v)
}

// shorten cuts a list of ports as the guide does (11.2): 554,1935,..
func shorten(ports string) string {
	const most = 2
	parts := strings.Split(ports, ",")
	if len(parts) <= most {
		return ports
	}
	return strings.Join(parts[:most], ",") + ",.."
}

// bytesText is a number of bytes with three figures and a unit.
func bytesText(v float64) string {
	units := []string{"B", "kB", "MB", "GB", "TB", "PB"}
	i := 0
	for v >= 1000 && i < len(units)-1 {
		v, i = v/1000, i+1
	}
	if v >= 100 || i == 0 {
		return fmt.Sprintf("%.0f %s", v, units[i])
	}
	return fmt.Sprintf("%.3g %s", v, units[i])
}
