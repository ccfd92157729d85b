package appliance

import (
	"slices"
	"testing"
	"time"
)

func TestDefence(t *testing.T) {
	tests := []struct {
		name   string
		claims []int // seen once a second
		want   []int // seconds in which the owner announces
	}{
		{"nobody claims", []int{0, 0, 0}, nil},
		{"at once, and when it has ended", []int{0, 1, 1, 0, 0}, []int{1, 3}},
		{"every ten seconds while it goes on", slices.Repeat([]int{2}, 22), []int{0, 10, 20}},
		{"an end is announced however recent the last", []int{1, 0, 1, 0}, []int{0, 1, 3}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var (
				d   defence
				got []int
			)
			start := time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)
			for i, n := range tt.claims {
				if d.due(n, start.Add(time.Duration(i)*time.Second)) {
					got = append(got, i)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("announced in %v, want %v", got, tt.want)
			}
		})
	}
}
