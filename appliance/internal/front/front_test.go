package front

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/internal/devtls"
)

// TestMain is also the web process of these tests: it is started again as one.
func TestMain(m *testing.M) {
	if len(os.Args) != 2 || os.Args[1] != "web" {
		m.Run()
		return
	}
	if err := Main(context.Background(), os.NewFile(HandoverFd, "daemon"), pages, slog.New(slog.DiscardHandler)); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// selfie is what the process is.
type selfie struct {
	PID, UID   int
	Caps, NNP  string
	Descriptor int
}

// pages answers with a picture of the process itself.
func pages(string) (http.Handler, error) {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		status, _ := os.ReadFile("/proc/thread-self/status")
		pick := func(key string) string {
			_, rest, _ := strings.Cut(string(status), key+":")
			line, _, _ := strings.Cut(rest, "\n")
			return strings.TrimSpace(line)
		}
		fds, _ := os.ReadDir("/proc/self/fd")
		_ = json.NewEncoder(w).Encode(selfie{os.Getpid(), os.Getuid(), pick("CapEff") + pick("CapPrm") + pick("CapInh") + pick("CapAmb"), pick("NoNewPrivs"), len(fds)})
	}), nil
}

// rig is a web process before a daemon that echoes.
type rig struct {
	t      *testing.T
	h      *Handle
	cert   tls.Certificate
	url    string
	client *http.Client
	end    context.CancelFunc
	done   chan error
}

func start(t *testing.T) *rig {
	t.Helper()
	dir, err := os.MkdirTemp("", "front") //nolint:usetesting // another user must be able to walk there
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err = os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	daemon, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	if err = os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(r.Header)
	})}
	go func() { _ = srv.Serve(daemon) }()
	t.Cleanup(func() { _ = srv.Close() })
	cert, err := devtls.Load(t.TempDir(), devtls.Names{Host: "lb1", Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	h := New(Options{
		Socket: socket, UID: 65534, GID: 65534, Logger: slog.New(slog.DiscardHandler),
		Command: func() (*exec.Cmd, error) {
			return &exec.Cmd{Path: "/proc/self/exe", Args: []string{"test", "web"}, Stderr: os.Stderr}, nil
		},
	})
	change, err := h.Prepare(t.Context(), Sockets{HTTPS: []netip.AddrPort{pagesAt()}, HTTP: []netip.AddrPort{plainAt()}, Inside: true})
	if err != nil {
		t.Fatal(err)
	}
	change.Commit()
	h.Show(Content{Cert: cert, Page: []byte("<p>later</p>")})
	trust, err := devtls.ClientConfig(devtls.Pin(cert.Leaf))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &rig{t, h, cert, "https://" + h.bound(pagesAt()).String(), &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: trust, DisableKeepAlives: true}}, cancel, make(chan error, 1)}
	go func() { r.done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-r.done; err != nil {
			t.Error(err)
		}
	})
	return r
}

// Addresses of the listeners before they have a port.
func pagesAt() netip.AddrPort { return netip.MustParseAddrPort("127.0.0.2:0") }
func plainAt() netip.AddrPort { return netip.MustParseAddrPort("127.0.0.3:0") }

func (r *rig) get(path string, header http.Header, out any) error {
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.url+path, http.NoBody)
	if err != nil {
		return err
	}
	maps.Copy(req.Header, header)
	resp, err := r.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, out)
}

func (r *rig) look() selfie {
	r.t.Helper()
	var s selfie
	if err := r.get("/", nil, &s); err != nil {
		r.t.Fatal(err)
	}
	return s
}

// TestTheProcessHasNothing: no capability, no way to one, nobody's user, and only the
// descriptors that it needs.
func TestTheProcessHasNothing(t *testing.T) {
	s := start(t).look()
	if s.PID == os.Getpid() || strings.Trim(s.Caps, "0") != "" || s.NNP != "1" {
		t.Errorf("the web process is %+v", s)
	}
	if os.Getuid() == 0 && s.UID != 65534 {
		t.Errorf("it runs as %d", s.UID)
	}
	if s.Descriptor > 16 {
		t.Errorf("it has %d descriptors", s.Descriptor)
	}
}

// TestCallsReachTheDaemon with their token, and with what only the process may say.
func TestCallsReachTheDaemon(t *testing.T) {
	r := start(t)
	var got http.Header
	err := r.get(api.PathStatus, http.Header{
		"Authorization": {"Bearer x"}, "Cookie": {"__Host-vosbed=secret"}, "User-Agent": {"test"},
		api.HeaderFrom: {"10.9.9.9"}, api.HeaderBackground: {"1"}, "X-Forwarded-For": {"10.8.8.8"},
	}, &got)
	if err != nil {
		t.Fatal(err)
	}
	if got.Get("Authorization") != "Bearer x" || got.Get(api.HeaderFrom) != "127.0.0.1" || got.Get(api.HeaderAgent) != "test" {
		t.Errorf("the daemon got %v", got)
	}
	if got.Get("Cookie") != "" || got.Get(api.HeaderBackground) != "" || got.Get("X-Forwarded-For") != "" {
		t.Errorf("what a stranger says came through: %v", got)
	}
}

// TestNobodyIsSomebodyElse: where a call comes from cannot be taken out of it, or said in
// another way.
func TestNobodyIsSomebodyElse(t *testing.T) {
	r := start(t)
	for name, header := range map[string]http.Header{
		"hop by hop": {"Connection": {"close, " + api.HeaderFrom + ", " + api.HeaderAgent}, api.HeaderFrom: {"10.9.9.9"}},
		"twice":      {api.HeaderFrom: {"10.9.9.9", "10.9.9.8"}},
		"written":    {strings.ToLower(api.HeaderFrom): {"10.9.9.9"}, strings.ToUpper(api.HeaderFrom): {"10.9.9.8"}},
		"underscore": {strings.ReplaceAll(api.HeaderFrom, "-", "_"): {"10.9.9.9"}},
		"forwarded":  {"Forwarded": {"for=10.9.9.9"}, "X-Real-Ip": {"10.9.9.9"}},
	} {
		var got http.Header
		if err := r.get(api.PathStatus, header, &got); err != nil {
			t.Fatal(err)
		}
		if from := got.Values(api.HeaderFrom); len(from) != 1 || from[0] != "127.0.0.1" {
			t.Errorf("%s: the call comes from %q", name, from)
		}
	}
}

func TestItIsStartedAgain(t *testing.T) {
	r := start(t)
	first := r.look()
	if err := unix.Kill(first.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if second := r.look(); second.PID == first.PID { // the listener waits: no call is lost
		t.Errorf("still process %d", second.PID)
	}
}

func TestItEndsWithTheDaemon(t *testing.T) {
	r := start(t)
	pid := r.look().PID
	r.end()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
	r.done <- nil // for the cleanup
	if _, err := os.Stat("/proc/" + strconv.Itoa(pid)); !os.IsNotExist(err) {
		t.Errorf("process %d is still there: %v", pid, err)
	}
}

func TestNonsenseHandedOver(t *testing.T) {
	for name, text := range map[string]string{"nothing": "", "no JSON": "x", "no listener": `{"socket":"/s"}`, "no socket": `{"doors":[{"kind":"https"}]}`} {
		if _, err := receive(strings.NewReader(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestHandoverRoundTrip(t *testing.T) {
	cert, err := devtls.Load(t.TempDir(), devtls.Names{Host: "lb1"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var h handover
	if err = h.pack(cert); err != nil {
		t.Fatal(err)
	}
	got, err := tls.X509KeyPair(h.Certificate, h.Key)
	if err != nil || devtls.Pin(got.Leaf) != devtls.Pin(cert.Leaf) {
		t.Errorf("another certificate came out: %v", err)
	}
}
