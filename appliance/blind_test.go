package appliance

import (
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/lb"
)

func TestBlindness(t *testing.T) {
	start := time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)
	up, down := lb.PingStatus{Up: true}, lb.PingStatus{}
	tests := []struct {
		name  string
		seen  [][]lb.PingStatus // one a second
		blind bool
		since time.Time
	}{
		{"no ping nodes: nothing to tell by", [][]lb.PingStatus{nil, nil}, false, time.Time{}},
		{"one of two answers", [][]lb.PingStatus{{up, down}}, false, time.Time{}},
		{"all silent, since the first silence", [][]lb.PingStatus{{up}, {down}, {down}}, true, start.Add(time.Second)},
		{"one answer ends it", [][]lb.PingStatus{{down}, {up}}, false, time.Time{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b blindness
			for i, pings := range tt.seen {
				b.observe(pings, start.Add(time.Duration(i)*time.Second))
			}
			since, blind := b.now()
			if blind != tt.blind || !since.Equal(tt.since) {
				t.Errorf("blind %v since %v, want %v since %v", blind, since, tt.blind, tt.since)
			}
		})
	}
}
