package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/internal/testenv"
)

// TestMain lets the tests run this very binary as "simvos".
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"simvos": main})
}

// TestStory starts a server in a namespace of its own, works it by its control
// socket and ends it with SIGTERM.
func TestStory(t *testing.T) {
	ns := testenv.NewNS(t)
	socket := filepath.Join(t.TempDir(), "ht1.sock")
	cmd := exec.CommandContext(t.Context(), "simvos", "run", "--name", "HT1", "--id", "115", "--control", socket)
	var logs bytes.Buffer
	cmd.Stderr = &logs
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err = ns.Do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		t.Fatalf("no READY line: %v\n%s", err, logs.String())
	}
	var ready readyLine
	if err := json.Unmarshal(line, &ready); err != nil || ready.Event != "READY" || ready.PID != cmd.Process.Pid || len(ready.Services) != 10 {
		t.Errorf("READY line %s, error %v", line, err)
	}

	for _, step := range []struct {
		args string
		want string
	}{
		{"fault list", "no faults\n"},
		{"fault set slow --delay 2s", "KIND  SERVICE  DETAIL\nslow  all      2s\n"},
		{"fault set refuse --service rtsp --json", `[{"kind":"refuse","service":"rtsp"},{"kind":"slow","delay_ms":2000}]` + "\n"},
		{"fault clear slow --json", `[{"kind":"refuse","service":"rtsp"}]` + "\n"},
		{"fault clear", "no faults\n"},
	} {
		var out, errs bytes.Buffer
		if code := run(append(strings.Fields(step.args), "--control", socket), &out, &errs); code != 0 || out.String() != step.want {
			t.Errorf("%s: exit %d, %q, %s, want %q", step.args, code, out.String(), errs.String(), step.want)
		}
	}
	var out bytes.Buffer
	if code := run([]string{"status", "--control", socket}, &out, &out); code != 0 || !strings.Contains(out.String(), "rtsp       tcp [::]:554") {
		t.Errorf("status: exit %d\n%s", code, out.String())
	}
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, logs.String())
	}
}

// TestWrongUse checks that mistakes are told, and told well.
func TestWrongUse(t *testing.T) {
	for _, tt := range []struct {
		args, want string
	}{
		{"run", `required flag(s) "name" not set`},
		{"run --name x --vip nonsense", "--vip: "},
		{"run --name x --vip 10.0.0.1", "virtual addresses need the name of the network card"},
		{"run --name x --arp maybe", `ARP mode "maybe" is neither solved nor unsolved`},
		{"run --name x --only ftp", `unknown service "ftp"`},
		{"run --name x --rtp-ports 5", "is not a range"},
		{"run --name x --probe-udp-port 0", "is not a port"},
		{"fault set slow", "--control is required"},
		{"fault list --control /nonexistent/sock", "no such file"},
	} {
		var out, errs bytes.Buffer
		if code := run(strings.Fields(tt.args), &out, &errs); code != 1 || !strings.Contains(errs.String(), tt.want) {
			t.Errorf("%s: exit %d, %q, want %q", tt.args, code, errs.String(), tt.want)
		}
	}
}
