package draft

import (
	"testing"

	"github.com/vosbed/vosbed/appliance/lb"
)

// TestRescue: changes that were in force become pending ones to what is in force now,
// unless they clash with that, or something is pending.
func TestRescue(t *testing.T) {
	for _, c := range []struct {
		name       string
		mine, then func(*lb.Config) error
		pending    bool
		want       string // pending
		ok         bool
	}{
		{"elsewhere", add("c"), add("d"), false, "c added by overtaken", true},
		{"the same object", put("a", "eth1"), put("a", "eth2"), false, "", false},
		{"the same change", add("c"), add("c"), false, "", true},
		{"something pending", add("c"), add("d"), true, "e added by anna", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, "a", "b")
			base, mine := clone(w.now), clone(w.now)
			must(t, c.mine(&mine))
			w.change(c.then)
			s := w.open()
			if c.pending {
				must(t, s.Edit(t.Context(), "", "anna", add("e")))
			}
			n, ok := s.Rescue("overtaken", base, mine)
			if got := texts(s.State()); got != c.want || ok != c.ok || (n > 0) != (ok && c.want != "") {
				t.Errorf("pending %q, %d changes, %v", got, n, ok)
			}
			if got := texts(w.open().State()); got != c.want {
				t.Errorf("after a restart %q is pending", got)
			}
		})
	}
}
