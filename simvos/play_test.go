package simvos_test

import (
	"bytes"
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/internal/testenv"
)

// tool runs a program in the client's namespace and returns what it printed.
func (l *lab) tool(t testing.TB, limit time.Duration, name string, args ...string) string {
	t.Helper()
	path := testenv.RequireTool(t, name)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	must(t, l.client.Do(cmd.Start))
	if err := cmd.Wait(); err != nil {
		t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out.String())
	}
	return out.String()
}

// ffprobe probes a URL and checks that its video is the node's.
func (l *lab) ffprobe(t testing.TB, url string, args ...string) string {
	t.Helper()
	fixed := []string{"-hide_banner", "-v", "error", "-show_entries", "stream=codec_name,profile,width,height,r_frame_rate:program_tags=service_name"}
	out := l.tool(t, 20*time.Second, "ffprobe", append(append(fixed, args...), url)...)
	for _, want := range []string{"codec_name=h264", "profile=Constrained Baseline", "width=128", "height=64", "r_frame_rate=25/1"} {
		if !strings.Contains(out, want) {
			t.Errorf("ffprobe %s: no %s in\n%s", url, want, out)
		}
	}
	return out
}

func TestTransportStreamForFFprobe(t *testing.T) {
	l := newLab(t, nil)
	for _, url := range []string{
		"tcp://192.168.94.110:61000",
		"http://192.168.94.110:8080/live.ts",
		"http://[fd00:94::110]:8080/live.ts",
	} {
		t.Run(url, func(t *testing.T) {
			out := l.ffprobe(t, url)
			for _, want := range []string{"codec_name=klv", "service_name=simvos-HT1"} {
				if !strings.Contains(out, want) {
					t.Errorf("no %s in\n%s", want, out)
				}
			}
		})
	}
}
