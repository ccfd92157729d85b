package lab_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/harness/browser"
	"github.com/vosbed/vosbed/harness/browser/drive"
	"github.com/vosbed/vosbed/harness/lab"
	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/harness/topo"
	"github.com/vosbed/vosbed/internal/testenv"
)

// TestMain makes this program the browser's driver too, as vosbed is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "browser-agent" {
		_ = drive.Main(context.Background(), os.Stdin, os.Stdout, os.Stderr)
		os.Exit(0) //nolint:forbidigo // it is a main
	}
	os.Exit(m.Run()) //nolint:forbidigo // it is a main
}

// browserLab is a lab with a person's computer and a page where lb1's WebUI would be.
func browserLab(t *testing.T) (l *lab.Lab, dir string) {
	t.Helper()
	testenv.RequireRoot(t)
	testenv.RequireTool(t, "chromium")
	plan, err := topo.Compute(topo.Spec{Use: "harmonic-vos", Nodes: map[string]*topo.Node{"pc": {Kind: topo.KindClients, Links: []string{"service:30"}}}})
	if err != nil {
		t.Fatal(err)
	}
	dir, err = os.MkdirTemp("", "vb") //nolint:usetesting // T.TempDir is too long a path for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err = os.Mkdir(filepath.Join(dir, "logs"), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err = lab.Build(plan, lab.Options{
		Dir: dir, Self: os.Args[0], Epoch: int64(lab.Monotonic()), History: observe.NewWriter(&bytes.Buffer{}, 0), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if left := browsersIn(dir); len(left) > 0 {
			t.Errorf("processes are left: %v", left)
		}
		if files, _ := os.ReadDir(filepath.Join(dir, "nodes", "pc")); len(files) > 0 {
			t.Errorf("files are left: %v", files)
		}
	})
	serve(t, l.Node("lb1"), lab.WebUI(plan.Node("lb1")).String())
	return l, dir
}

// serve answers with the address of who asks, over TLS that nobody vouches for.
func serve(t *testing.T, n *lab.Node, addr string) {
	t.Helper()
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "<title>WebUI</title><p>you are %s</p>", r.RemoteAddr)
	}))
	_ = web.Listener.Close()
	err := n.NS().Do(func() (err error) {
		web.Listener, err = new(net.ListenConfig).Listen(t.Context(), "tcp", addr)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	web.StartTLS()
	t.Cleanup(web.Close)
}

// browsersIn lists the processes whose arguments name a folder: the browser's.
func browsersIn(dir string) []int {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	var out []int
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), dir) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
			out = append(out, pid)
		}
	}
	return out
}

func order(l *lab.Lab, actions ...browser.Action) browser.Order {
	return browser.Order{Base: "https://" + lab.WebUI(l.Plan().Node("lb1")).String(), Do: actions}
}

func TestABrowserRunsInItsNodeAndStaysOpen(t *testing.T) {
	l, dir := browserLab(t)
	for range 2 {
		a, err := l.Browse(t.Context(), "pc", order(l, browser.Action{Open: "/"}, browser.Action{See: "you are 192.168.94.30:"}))
		if err != nil || a.Err != "" {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	a, err := l.Browse(t.Context(), "pc", order(l, browser.Action{See: "you are 192.168.94.30:"})) // the page is still there
	if err != nil || a.Err != "" {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := l.Browse(t.Context(), "HT1", order(l)); err == nil {
		t.Error("a browser runs on a server")
	}
	if len(browsersIn(dir)) == 0 {
		t.Error("no browser runs: what then is left behind cannot be told")
	}
}

func TestARunThatIsStoppedEndsItsBrowser(t *testing.T) {
	l, _ := browserLab(t)
	if a, err := l.Browse(t.Context(), "pc", order(l, browser.Action{Open: "/"})); err != nil || a.Err != "" {
		t.Fatalf("%+v, %v", a, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err := l.Browse(ctx, "pc", order(l, browser.Action{See: "never", Within: time.Minute}))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a run that is stopped: %v, want %v", err, context.DeadlineExceeded)
	}
	if err := l.Close(); err != nil { // while the browser still looks
		t.Error(err)
	}
	if d := time.Since(begin); d > 20*time.Second {
		t.Errorf("it took %s", d)
	}
}

func TestAKilledBrowserIsAClearError(t *testing.T) {
	l, dir := browserLab(t)
	if a, err := l.Browse(t.Context(), "pc", order(l, browser.Action{Open: "/"})); err != nil || a.Err != "" {
		t.Fatalf("%+v, %v", a, err)
	}
	for _, pid := range browsersIn(dir) {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	a, err := l.Browse(t.Context(), "pc", order(l, browser.Action{See: "you are"}))
	if err == nil && !strings.Contains(a.Err, "the browser has died") {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err = l.Browse(t.Context(), "pc", order(l, browser.Action{Open: "/"})); err == nil || !strings.Contains(err.Error(), "the browser on pc has ended") {
		t.Errorf("and after that: %v", err)
	}
}
