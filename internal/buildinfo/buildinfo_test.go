package buildinfo

import (
	"runtime/debug"
	"testing"
)

func TestString(t *testing.T) {
	tests := map[string]struct {
		bi   debug.BuildInfo
		want string
	}{
		"bare": {debug.BuildInfo{GoVersion: "go1.26.8"}, "devel (go1.26.8)"},
		"released": {
			debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Version: "v1.2.0"}},
			"v1.2.0 (go1.26.8)",
		},
		"work tree": {
			debug.BuildInfo{
				GoVersion: "go1.26.8", Main: debug.Module{Version: "(devel)"},
				Settings: []debug.BuildSetting{
					{Key: "vcs.revision", Value: "4be1c0ffee1234567890"},
					{Key: "vcs.modified", Value: "true"},
				},
			},
			"devel (4be1c0ffee12, modified, go1.26.8)",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := from(&tt.bi).String(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestGetNamesTheToolchain(t *testing.T) {
	if Get().Go == "" {
		t.Error("no Go version in the test binary")
	}
}
