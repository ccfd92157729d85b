package scenario

import (
	"fmt"
	"maps"
	"slices"
)

// Programs returns the programs of others that a scenario may require, by name,
// with the Debian package each is in.
func Programs() map[string]string {
	return map[string]string{FFprobe: "ffmpeg", FFmpeg: "ffmpeg", "haproxy": "haproxy", Chromium: "chromium"}
}

// Features returns the findings of `vosbed doctor` that a scenario may require.
func Features() []string { return []string{"cpus", "fifo", "nofile", "tcx"} }

func (c *checker) requires() {
	known := append(slices.Sorted(maps.Keys(Programs())), Features()...)
	for i, name := range c.s.Requires {
		if !slices.Contains(known, name) {
			c.failf(fmt.Sprintf("requires[%d]", i), "unknown requirement %q -- %s", name, hint(name, known))
		}
	}
	c.programs(c.s.Steps)
}

// programs sees to it that a scenario says which players and browsers it runs, so that
// a run without them ends before it begins.
func (c *checker) programs(steps []Step) {
	for _, st := range steps {
		switch {
		case st.Play != nil && !slices.Contains(c.s.Requires, st.Play.Player):
			c.failf("requires", "steps run %s -- add it to requires", st.Play.Player)
			return
		case st.Browser != nil && !slices.Contains(c.s.Requires, Chromium):
			c.failf("requires", "steps run %s -- add it to requires", Chromium)
			return
		case st.Parallel != nil:
			c.programs(st.Parallel)
		case st.Trials != nil:
			c.programs(st.Trials.Steps)
		}
	}
}
