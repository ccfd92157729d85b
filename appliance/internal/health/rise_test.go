package health

import "testing"

func TestRise(t *testing.T) {
	t.Parallel()
	// Each letter of results is one check: + success, - failure. Each letter of want
	// is the state after it: U up, D down; lower case while the state is changing.
	tests := []struct {
		name          string
		fall, rise    int
		results, want string
	}{
		{"down until the first success", 2, 2, "---+", "DDDU"},
		{"first success at start is enough", 2, 3, "+", "U"},
		{"fall in a row", 3, 2, "+---", "UuuD"},
		{"a success in between starts over", 3, 2, "+--+--", "UuuUuu"},
		{"rise in a row", 2, 3, "+--+++", "UuDddU"},
		{"a failure in between starts over", 2, 2, "+--+-++", "UuDdDdU"},
		{"fall and rise of one", 1, 1, "+-+-", "UDUD"},
		{"flapping below the limits moves nothing", 2, 2, "+-+-+-+", "UuUuUuU"},
		{"steady", 2, 2, "+++", "UUU"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var (
				r    rise
				got  []byte
				last bool
			)
			for _, c := range tt.results {
				changed := r.observe(c == '+', tt.fall, tt.rise)
				if changed != (r.up != last) {
					t.Errorf("after %q: changed = %v, state %v, before %v", got, changed, r.up, last)
				}
				last = r.up
				got = append(got, letter(r))
			}
			if string(got) != tt.want {
				t.Errorf("%s: got %s, want %s", tt.results, got, tt.want)
			}
		})
	}
}

func letter(r rise) byte {
	l := byte('D')
	if r.up {
		l = 'U'
	}
	if r.changing() {
		l |= 0x20
	}
	return l
}
