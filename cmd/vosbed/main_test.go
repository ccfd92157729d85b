package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/internal/testenv"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"vosbed": func() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }, //nolint:forbidigo // it is a main
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			dir, err := filepath.Abs("testdata/scenarios")
			e.Setenv("SCENARIOS", dir)
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// status N COMMAND...: the command ends with that exit status.
			"status": func(ts *testscript.TestScript, _ bool, args []string) {
				err := ts.Exec(args[1], args[2:]...)
				got := 0
				if exit, ok := err.(*exec.ExitError); ok { //nolint:errorlint // testscript returns it bare
					got = exit.ExitCode()
				} else if err != nil {
					ts.Fatalf("%v", err)
				}
				if want, _ := strconv.Atoi(args[0]); got != want {
					ts.Fatalf("exit status %d, want %s", got, args[0])
				}
			},
		},
		Condition: func(cond string) (bool, error) { return cond == "root" && os.Geteuid() == 0, nil },
	})
}

// programs builds simvos and vosbed into a folder.
func programs(t *testing.T) string {
	t.Helper()
	testenv.RequireRoot(t)
	bin := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", bin+string(filepath.Separator), "../simvos", ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

// started runs vosbed in the background and waits until its lab stands.
func started(t *testing.T, bin, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "vosbed"), "--scenarios", "testdata/scenarios", "run", "direct", "--dir", dir)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the load has begun", func() bool {
		_, err := os.Stat(filepath.Join(dir, "logs", "load-probe.log"))
		return err == nil
	})
	return cmd
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// inside lists the processes whose arguments name dir.
func inside(dir string) []string {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	var out []string
	for _, f := range files {
		b, _ := os.ReadFile(f)
		pid := filepath.Base(filepath.Dir(f))
		if strings.Contains(string(b), dir) && pid != strconv.Itoa(os.Getpid()) {
			out = append(out, pid+" "+strings.ReplaceAll(string(b), "\x00", " "))
		}
	}
	return out
}

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "vb") //nolint:usetesting // T.TempDir is too long a path for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestKillOfTheFrontLeavesNothing(t *testing.T) {
	bin, dir := programs(t), shortDir(t)
	cmd := started(t, bin, dir)
	if len(inside(dir)) < 3 { // front, process 1, engine; simvos
		t.Errorf("processes of the run: %v", inside(dir))
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	eventually(t, "every process of the run is gone", func() bool { return len(inside(dir)) == 0 })
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), dir) {
		t.Error("a mount is left")
	}
	// Nothing else can be left: interfaces and maps belong to namespaces and file
	// systems that the processes held.
}

func TestInterruptYieldsAVerdict(t *testing.T) {
	bin, dir := programs(t), shortDir(t)
	cmd := started(t, bin, dir)
	if err := cmd.Process.Signal(unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for _, name := range []string{"result.json", "report.html", "junit.xml", "history.jsonl", "capture.pcapng", "scenario.yaml"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	if left := inside(dir); len(left) > 0 {
		t.Errorf("still there: %v", left)
	}
}

func TestScenarioPassesAndItsMutantIsNoticed(t *testing.T) {
	bin, out := programs(t), shortDir(t)
	vosbed := func(args ...string) (string, int) {
		cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "vosbed"), append([]string{"--scenarios", "testdata/scenarios"}, args...)...)
		b, _ := cmd.CombinedOutput()
		return string(b), cmd.ProcessState.ExitCode()
	}
	text, code := vosbed("run", "direct", "--out", out, "--trials", "1")
	if code != exitPass || !strings.Contains(text, "PASS") {
		t.Errorf("status %d:\n%s", code, text)
	}
	latest := filepath.Join(out, "direct", "latest")
	if text, code = vosbed("judge", latest); code != exitPass {
		t.Errorf("judged again: status %d:\n%s", code, text)
	}
	if text, code = vosbed("mutants", "direct", "--out", out); code != exitPass || !strings.Contains(text, "1 killed, 0 survived") {
		t.Errorf("mutants: status %d:\n%s", code, text)
	}
}
