package main

import (
	"context"
	"testing"
	"time"
)

func TestWhatARunCountsAs(t *testing.T) {
	for _, tt := range []struct {
		name     string
		end      ended
		required bool
		want     string
	}{
		{"pass", ended{0, true}, true, "pass"},
		{"failed verdict", ended{1, true}, false, "fail"},
		{"mistake", ended{2, false}, false, "fail"},
		{"no lab where it is required", ended{3, false}, true, "fail"},
		{"no lab", ended{3, false}, false, "skip"},
		{"broken: the product may have done it", ended{3, true}, false, "fail"},
		{"broken in CI", ended{3, true}, true, "fail"},
		{"inconclusive", ended{4, true}, true, "skip"},
		{"killed", ended{-1, false}, false, "fail"},
	} {
		if got := tt.end.action(tt.required); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestAHangEnds(t *testing.T) {
	for name, script := range map[string]string{
		"asked to stop":      "exec sleep 60",
		"deaf to the asking": "trap '' INT; exec sleep 60",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		begin := time.Now()
		if got := execute(ctx, 200*time.Millisecond, "/bin/sh", "-c", script); got != -1 {
			t.Errorf("%s: status %d, want that of a killed program", name, got)
		}
		if d := time.Since(begin); d > 30*time.Second {
			t.Errorf("%s: took %s", name, d)
		}
		cancel()
	}
}
