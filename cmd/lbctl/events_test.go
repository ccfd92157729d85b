package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/appliance/api"
)

// follows runs a command that follows streams of a daemon: each answer is one stream, and
// after the last one Ctrl-C is pressed. It returns what was printed and what was asked.
func follows(t *testing.T, answers []string, args ...string) (out string, asked []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RequestURI()+" "+r.Header.Get("Last-Event-ID"))
		if len(asked) > len(answers) {
			cancel()
			return
		}
		w.Header().Set("Content-Type", api.ContentStream)
		_, _ = io.WriteString(w, answers[len(asked)-1])
	}))
	ln, err := new(net.ListenConfig).Listen(ctx, "unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	srv.Listener = ln
	srv.Start()
	defer srv.Close()
	var text, errs bytes.Buffer
	a := &app{out: &text, err: &errs}
	if code := a.run(ctx, append([]string{"--socket", ln.Addr().String()}, args...)); code != exitOK || errs.Len() > 0 {
		t.Errorf("exit %d: %s", code, errs.String())
	}
	return text.String(), asked
}

func TestEvents(t *testing.T) {
	t.Parallel()
	streams := []string{
		"id: 5\ndata: {\"id\":5,\"at\":\"2026-03-01T12:00:00Z\",\"kind\":\"server\",\"text\":\"RIP A of VIP V is down\"}\n\n",
		"id: 6\ndata: {\"id\":6,\"at\":\"2026-03-01T12:00:01Z\",\"kind\":\"role\",\"text\":\"this node is active now\"}\n\n",
	}
	out, asked := follows(t, streams, "events")
	if want := "2026-03-01T12:00:00Z server        RIP A of VIP V is down\n2026-03-01T12:00:01Z role          this node is active now\n"; out != want {
		t.Errorf("%q", out)
	}
	if got := strings.Join(asked, "|"); got != "/api/v1/events |/api/v1/events 5|/api/v1/events 6" {
		t.Errorf("asked %s", got)
	}
	out, asked = follows(t, streams[:1], "events", "--json", "--since", "4")
	if out != `{"id":5,"at":"2026-03-01T12:00:00Z","kind":"server","text":"RIP A of VIP V is down"}`+"\n" || asked[0] != "/api/v1/events 4" {
		t.Errorf("%q after %q", out, asked)
	}
}

func TestFollowLog(t *testing.T) {
	t.Parallel()
	out, asked := follows(t, []string{"id: 9\ndata: [{\"id\":9,\"at\":\"2026-03-01T12:00:00Z\",\"level\":\"warn\",\"text\":\"no clock\"}]\n\n"}, "logs", "--follow", "--level", "warn")
	if out != "2026-03-01T12:00:00Z warn  no clock\n" || asked[1] != api.PathLogStream+"?level=warn&text= 9" {
		t.Errorf("%q after %q", out, asked)
	}
}
