package web_test

import (
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/vosbed/vosbed/appliance/api"
)

func TestLogs(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAuditor)
	d.lb.answer("GET "+api.PathLogs, []api.LogLine{
		{At: noon(), Level: "warn", Text: `<script>alert(1)</script>`}, {At: noon(), Level: "info", Text: "pair decision"},
	})
	d.open("/lbadmin/logs").want(200, "2 lines", "<script>alert(1)</script>", "▲ warning", "pair decision")
	d.open("/lbadmin/logs?text=PAIR&level=warn").want(200, "1 line", "pair decision").without("alert")
	file := d.open("/lbadmin/logs.txt")
	if file.Status != 200 || file.Header.Get("Content-Disposition") == "" {
		t.Errorf("the file: %d %v", file.Status, file.Header)
	}
}

// TestLogStream: lines to come are rows, the newest first, in one event; after what the
// page has or the browser has seen.
func TestLogStream(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAuditor)
	d.lb.answer("GET "+api.PathLogs, []api.LogLine{{ID: 41, At: noon(), Level: "info", Text: "old"}})
	page := d.open("/lbadmin/logs?level=warn&text=disk").want(200)
	at := all(page.doc, func(n *html.Node) bool { return strings.HasPrefix(attr(n, "sse-connect"), "/lbadmin/logs/stream") })
	if len(at) != 1 {
		t.Fatalf("%d streams of lines", len(at))
	}
	const link = "/lbadmin/logs/stream?after=41&level=warn&text=disk"
	if got := attr(at[0], "sse-connect"); got != link {
		t.Errorf("the stream is %s", got)
	}
	d.lb.answer("GET "+api.PathLogStream, []byte("retry: 5\n\n: \n\nid: 43\ndata: ["+
		`{"id":42,"level":"warn","text":"first"},{"id":43,"level":"error","text":"<script>alert(1)</script>"}]`+"\n\n"))
	got := d.open(link)
	want := ": \n\nid: 43\nevent: rows\n" +
		`data: <tr><td>–</td><td><span class="bad">✖ error</span></td><td>&lt;script&gt;alert(1)&lt;/script&gt;</td></tr><tr><td>–</td><td><span class="warn">▲ warning</span></td><td>first</td></tr>` + "\n\n"
	if got.Body != want || got.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("%s: %q", got.Header.Get("Content-Type"), got.Body)
	}
	if !d.lb.asked("GET", api.PathLogStream+"?level=warn&text=disk") {
		t.Error("the daemon was not asked for these lines")
	}
	d.open("/lbadmin/logs/stream?after=x").want(400)
}
