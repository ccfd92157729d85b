// Package buildinfo tells which build of the programs is running, from what the
// Go linker already wrote into the binary: no generated files, no -ldflags.
package buildinfo

import (
	"fmt"
	"runtime/debug"
)

// Info is the identity of a build. Revision is the commit (shortened to 12
// digits), "" where the build did not happen inside a work tree.
type Info struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"` // of the commit, RFC 3339
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
}

// Get reads the running binary's identity. Version is "devel" for a build that
// carries no module version.
func Get() Info {
	bi, ok := debug.ReadBuildInfo()
	if !ok {
		return Info{Version: "devel"}
	}
	return from(bi)
}

func from(bi *debug.BuildInfo) Info {
	i := Info{Version: bi.Main.Version, Go: bi.GoVersion}
	if i.Version == "" || i.Version == "(devel)" {
		i.Version = "devel"
	}
	for _, s := range bi.Settings {
		switch s.Key {
		case "vcs.revision":
			i.Revision = s.Value[:min(len(s.Value), 12)]
		case "vcs.time":
			i.Time = s.Value
		case "vcs.modified":
			i.Modified = s.Value == "true"
		}
	}
	return i
}

// String returns one line, for example "v1.2.0 (4be1c0ffee12, modified, go1.26.8)".
func (i Info) String() string {
	s := i.Version + " ("
	if i.Revision != "" {
		s += i.Revision + ", "
	}
	if i.Modified {
		s += "modified, "
	}
	return fmt.Sprintf("%s%s)", s, i.Go)
}
