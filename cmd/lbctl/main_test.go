package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/vosbed/vosbed/appliance/api"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"lbctl": main})
}

func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/script",
		Cmds:  map[string]func(*testscript.TestScript, bool, []string){"lbd": startFake, "lbctl-exit": exitsWith},
		Setup: setup,
	})
}

// setup gives every story the golden status of the real server and the product's
// own configuration files.
func setup(env *testscript.Env) error {
	env.Setenv("VOSBED_SOCKET", filepath.Join(env.WorkDir, "lbd.sock"))
	for name, from := range map[string]string{
		"status.json":    "../../appliance/internal/mgmt/testdata/status.json",
		"reference.yaml": "../../appliance/config/reference.yaml",
		"minimal.yaml":   "../../appliance/config/minimal.yaml",
	} {
		data, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(env.WorkDir, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// fake answers as a daemon would and writes what it was asked to the file
// "requests". If the file "problem.json" exists, every change is refused with it; if
// "problem.for" does too, only those whose path contains the word in that file.
type fake struct {
	dir string
	mu  sync.Mutex
}

// startFake is the story command "lbd": it serves $VOSBED_SOCKET until the end.
func startFake(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: lbd")
	}
	ln, err := new(net.ListenConfig).Listen(context.Background(), "unix", ts.Getenv("VOSBED_SOCKET"))
	ts.Check(err)
	srv := &http.Server{Handler: &fake{dir: ts.Getenv("WORK")}, ReadHeaderTimeout: time.Second}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(ln) }()
	ts.Defer(func() { _ = srv.Close(); <-done })
}

// exitsWith is the story command "lbctl-exit CODE ARGS...": lbctl must end so.
func exitsWith(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: lbctl-exit CODE ARGS...")
	}
	err := ts.Exec("lbctl", args[1:]...)
	got := exitOK
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("lbctl exits with %d, want %s", got, args[0])
	}
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	f.note(fmt.Sprintf("%s %s %s\n", r.Method, r.RequestURI, body))
	if f.refuses(w, r) {
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "GET " + api.PathStatus:
		http.ServeFile(w, r, filepath.Join(f.dir, "status.json"))
	case "GET " + api.PathPersistence:
		_, _ = io.WriteString(w, `[{"service":"a","client":"10.0.0.1","server":"HT1","idle_ms":90500}]`)
	case "GET " + api.PathSystem:
		_, _ = io.WriteString(w, machine)
	case "POST " + api.PathClock:
		_, _ = io.WriteString(w, `{"before":"2026-03-04T11:00:00Z","now":"2026-03-04T12:00:00Z","hardware":"this machine has no hardware clock"}`)
	case "DELETE " + api.PathPersistence:
		_, _ = io.WriteString(w, `{"entries":7}`)
	case "GET " + api.PathConfig:
		w.Header().Set("ETag", `"r1"`)
		_, _ = io.WriteString(w, "node:\n  name: lb1\n")
	case "GET " + api.PathMetrics:
		_, _ = io.WriteString(w, "vosbed_problems 0\n")
	case "GET " + api.PathReports, "GET /api/v1/reports/layer4-rate", "GET /api/v1/reports/graphs", "GET /api/v1/reports/layer4-rates":
		reportsFake(w, r)
	case "GET " + api.PathDraft:
		http.ServeFile(w, r, filepath.Join(f.dir, "draft.json"))
	case "GET " + api.PathHistory:
		_, _ = io.WriteString(w, `[{"number":2,"revision":"r2","at":"2026-03-01T12:00:00Z","current":true,"changes":[{"text":"VIP a added"}]},{"number":1,"revision":"r1","at":"2026-02-01T12:00:00Z"}]`)
	case "GET /api/v1/history/1":
		_, _ = io.WriteString(w, "node:\n  name: lb1\n")
	case "GET " + api.PathCertificate, "PUT " + api.PathCertificate, "DELETE " + api.PathCertificate:
		_, _ = io.WriteString(w, `{"uploaded":true,"subject":"CN=lb1","issuer":"CN=CA","names":["lb1","10.0.0.1"],"not_before":"2026-01-01T00:00:00Z","not_after":"2027-01-01T00:00:00Z","key_type":"Ed25519","sha256_fingerprint":"AB:CD","pin":"sha256//p","chain_length":2,"warnings":["mind this"]}`)
	case "GET " + api.PathFallback:
		_, _ = io.WriteString(w, `{"html":"<p>later</p>\n","own":true}`)
	case "GET " + api.PathAccounts:
		_, _ = io.WriteString(w, `[{"name":"otto","role":"operator"}]`)
	case "GET " + api.PathBackup:
		_, _ = io.WriteString(w, "\x1f\x8bpacked")
	case "POST " + api.PathBackup:
		_, _ = io.WriteString(w, "\x1f\x8bsealed")
	case "POST " + api.PathRestore:
		_, _ = io.WriteString(w, `{"node":"lb9","revision":"r9","restored":["the configuration is pending","the accounts"],"left_out":["the settings of node lb9 itself: this is lb1"]}`)
	case "GET " + api.PathUpdate, "POST " + api.PathUpdate:
		http.ServeFile(w, r, filepath.Join(f.dir, "update.json"))
	case "POST " + api.PathUpdateOnline:
		http.ServeFile(w, r, filepath.Join(f.dir, "online.json"))
	case "POST " + api.PathUpdateOnlineInstall:
		http.ServeFile(w, r, filepath.Join(f.dir, "update.json"))
	case "POST " + api.PathUpdateBack:
		_, _ = io.WriteString(w, `{"restarts":true}`)
	case "GET " + api.PathSupportChecks:
		http.ServeFile(w, r, filepath.Join(f.dir, "checks.json"))
	case "GET " + api.PathSupportArchive:
		_, _ = io.WriteString(w, "packed")
	case "POST " + api.PathPairPeer:
		_, _ = io.WriteString(w, `{"address":"10.0.0.2:9443","fingerprint":"sha256//x","local_addresses":["10.0.0.1"],"blocks":[]}`)
	case "GET " + api.PathAuth:
		_, _ = io.WriteString(w, `{"source":"ldap","secrets":["ldap"],"warnings":["plain text"]}`)
	case "POST " + api.PathAuthTest:
		if strings.Contains(string(body), "otto") {
			_, _ = io.WriteString(w, `{"source":"ldap","ok":false,"text":"the name or the password is wrong"}`)
			return
		}
		_, _ = io.WriteString(w, `{"source":"ldap","ok":true,"role":"admin","text":"anna may log in with the role admin"}`)
	case "GET " + api.PathTokens:
		_, _ = io.WriteString(w, `[{"name":"first","role":"admin","created":"2026-03-01T12:00:00Z"},{"name":"grafana","role":"auditor","created":"2026-03-01T12:00:00Z","expires":"2026-03-02T12:00:00Z","expired":true,"last_used":"2026-03-01T13:00:00Z"}]`)
	case "POST " + api.PathToken, "POST " + api.PathTokens:
		_, _ = io.WriteString(w, `{"token":"the-token","pin":"sha256//the-pin"}`)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// reportsFake answers what is asked about reports.
func reportsFake(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasSuffix(r.URL.Path, "s/layer4-rates"):
		w.Header().Set("Content-Type", api.ContentProblem)
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"status":404,"detail":"there is no report \"layer4-rates\": did you mean \"layer4-rate\"?"}`)
	case r.URL.Path == api.PathReports:
		_, _ = io.WriteString(w, `[{"name":"layer4-rate","title":"Layer 4 Traffic Rate"}]`)
	case r.URL.Query().Get("format") == "csv":
		_, _ = io.WriteString(w, "service,server,connections_per_second\r\n'=cmd,,1.25\r\n")
	default:
		_, _ = io.WriteString(w, `{"name":"layer4-rate","title":"Layer 4 Traffic Rate","at":"2026-03-01T12:00:00Z","notes":["A note."],"columns":[{"key":"service","title":"Virtual service"},{"key":"server","title":"Real server"},{"key":"connections_per_second","title":"Connections/s, now","unit":"1/s","number":true},{"key":"bytes_in","title":"Bytes in","unit":"B","number":true}],"rows":[{"service":"=cmd","server":null,"connections_per_second":1.25,"bytes_in":1234567}]}`)
	}
}

// machine is what the machine of a story is.
const machine = `{"hostname":"debian","resolver":{"file":"/etc/resolv.conf","servers":["127.0.0.53"],"search":["lan"]},
	"clock":{"now":"2026-03-04T12:00:00Z","zone":"UTC","synchronized":true,"error_ms":1.5},"problems":["DNS: /etc/resolv.conf is a link"],
	"interfaces":[{"name":"eth0","mac":"02:00:00:00:00:01","mtu":1500,"up":true,"carrier":true,"speed_mbps":1000,"addresses":[
		{"address":"192.168.94.101/24","origin":"configured"},{"address":"192.168.94.110/32","origin":"vip"},{"address":"172.16.0.9/12","origin":"other"}]},
		{"name":"eth1","mac":"02:00:00:00:00:02","mtu":1500},{"name":"eth2","mac":"02:00:00:00:00:03","mtu":1500,"up":true},
		{"name":"bond0","mac":"02:00:00:00:00:04","mtu":1500,"up":true,"carrier":true,"bond":{"mode":"active-backup","members":[{"name":"eth3","carrier":true,"active":true},{"name":"eth4","carrier":true}]}},
		{"name":"eth4","mac":"02:00:00:00:00:04","mtu":1500,"up":true,"carrier":true,"bond_of":"bond0"}],
	"routes":[{"to":"default","via":"172.16.0.1","interface":"eth0","origin":"other"},{"to":"192.168.94.0/24","interface":"eth0","origin":"kernel"}]}`

func (f *fake) refuses(w http.ResponseWriter, r *http.Request) bool {
	problem, err := os.ReadFile(filepath.Join(f.dir, "problem.json"))
	if err != nil || r.Method == http.MethodGet {
		return false
	}
	word, err := os.ReadFile(filepath.Join(f.dir, "problem.for"))
	if err == nil && !strings.Contains(r.URL.Path, strings.TrimSpace(string(word))) {
		return false
	}
	var p api.Problem
	_ = json.Unmarshal(problem, &p)
	w.Header().Set("Content-Type", api.ContentProblem)
	w.WriteHeader(p.Status)
	_, _ = w.Write(problem)
	return true
}

func (f *fake) note(line string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	file, err := os.OpenFile(filepath.Join(f.dir, "requests"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	_, _ = file.WriteString(line)
	_ = file.Close()
}

// TestWatch watches a daemon that goes away: the picture is repeated, and Ctrl-C
// is a good end.
func TestWatch(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		if asked == 2 || asked == 3 { // the second try is the HTTP client's own
			panic(http.ErrAbortHandler)
		}
		if asked == 5 {
			cancel()
		}
		_, _ = io.WriteString(w, `{"node":"lb1"}`)
	}))
	ln, err := new(net.ListenConfig).Listen(ctx, "unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	srv.Listener = ln
	srv.Start()
	defer srv.Close()
	var out, errs bytes.Buffer
	a := &app{out: &out, err: &errs}
	if code := a.run(ctx, []string{"--socket", ln.Addr().String(), "status", "--watch", "--interval", "100ms"}); code != exitOK {
		t.Errorf("exit %d, want 0: %s", code, errs.String())
	}
	if n := bytes.Count(out.Bytes(), []byte("lb1 ·")); n < 2 {
		t.Errorf("%d pictures, want at least 2", n)
	}
	if !bytes.Contains(errs.Bytes(), []byte("cannot reach")) {
		t.Errorf("the lost daemon was not reported: %q", errs.String())
	}
}

func TestColorsKeepTheColumns(t *testing.T) {
	tab := table{rows: [][]cell{
		{{"✔ serving", green}, {"a", plain}},
		{{"✖", red}, {"b", plain}},
	}}
	want := "\x1b[32m✔ serving\x1b[0m  a\n\x1b[31m✖\x1b[0m          b\n"
	if got := tab.text(true); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
