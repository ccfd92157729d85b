package system

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	t.Parallel()
	london, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Skip(err)
	}
	built := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"2026-07-04T12:00:00Z":      "2026-07-04T12:00:00Z",
		"2026-07-04T12:00:00+02:00": "2026-07-04T10:00:00Z",
		"2026-07-04 12:00:00":       "2026-07-04T11:00:00Z", // summer time
		"2026-12-04T12:00:05":       "2026-12-04T12:00:05Z",
		"2026-12-04 12:00":          "2026-12-04T12:00:00Z",
		"2026-12-04T12:00":          "2026-12-04T12:00:00Z",
		"2099-12-31T23:59:59Z":      "2099-12-31T23:59:59Z",
		"2025-12-31 23:59:59":       "before 2026-01-01T00:00:00Z",
		"2100-01-01T00:00:00Z":      "not before 2100-01-01T00:00:00Z",
		"9999-12-31T23:59:59Z":      "look at the year",
		"0001-01-01 00:00":          "look at the year",
		"noon":                      "as clocks in Europe/London show it",
		"":                          "is no time",
		"2026-02-30 12:00":          "is no time",
	} {
		at, err := ParseTime(text, london, built)
		got := at.Format(time.RFC3339)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) || err == nil && got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
	if _, err := ParseTime("2019-12-31T23:59:59Z", time.UTC, time.Time{}); err == nil {
		t.Error("a time before 2020 is taken where nobody knows when the program was made")
	}
}

// TestSetClock: the machine's clock is set, and then the one that goes on while it is off.
func TestSetClock(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	var soft, hard time.Time
	var softErr, hardErr error
	a := New(Options{
		State:   t.TempDir() + "/system.json",
		SetTime: func(at time.Time) error { soft = at; return softErr }, SetHardware: func(at time.Time) error { hard = at; return hardErr },
	})
	if why, err := a.SetClock(at); why != "" || err != nil || !soft.Equal(at) || !hard.Equal(at) {
		t.Errorf("%q, %v: %s, %s", why, err, soft, hard)
	}
	hardErr = errors.New("no hardware clock")
	if why, err := a.SetClock(at); why != "no hardware clock" || err != nil {
		t.Errorf("%q, %v", why, err)
	}
	softErr, hard = errors.New("not permitted"), time.Time{}
	if _, err := a.SetClock(at); err == nil || !hard.IsZero() {
		t.Errorf("%v, and the hardware clock is %s", err, hard)
	}
	if r := rtcTime(at); r.Year != 126 || r.Mon != 2 || r.Mday != 4 || r.Hour != 12 {
		t.Errorf("%+v", r)
	}
}
