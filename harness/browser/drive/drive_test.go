package drive_test

import (
	"bufio"
	"context"
	"encoding/json"
	"image/png"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/harness/browser"
	"github.com/vosbed/vosbed/harness/browser/drive"
	"github.com/vosbed/vosbed/internal/testenv"
)

// TestMain makes this program the driver too, as vosbed is: a browser must be born in
// its namespace.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "browser-agent" {
		if err := drive.Main(context.Background(), os.Stdin, os.Stdout, os.Stderr); err != nil && err != io.EOF { //nolint:errorlint // Main returns it bare
			os.Exit(1) //nolint:forbidigo // it is a main
		}
		os.Exit(0) //nolint:forbidigo // it is a main
	}
	os.Exit(m.Run()) //nolint:forbidigo // it is a main
}

// driver is a driver under test with the site in one namespace.
type driver struct {
	t    *testing.T
	site *site
	base string
	dir  string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Scanner
}

func start(t *testing.T) *driver {
	t.Helper()
	program := testenv.RequireTool(t, "chromium")
	ns := testenv.NewNS(t)
	h, err := netlink.NewHandleAt(netns.NsHandle(ns.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	lo, err := h.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err = h.LinkSetUp(lo); err != nil {
		t.Fatal(err)
	}
	short, err := os.MkdirTemp("", "vb") //nolint:usetesting // T.TempDir is too long a path for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(short) })
	d := &driver{t: t, site: &site{}, dir: filepath.Join(short, "browser")}
	web := httptest.NewUnstartedServer(d.site.handler())
	_ = web.Listener.Close()
	err = ns.Do(func() (err error) {
		web.Listener, err = new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:9443")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	web.StartTLS() // with a certificate that nobody trusts
	t.Cleanup(web.Close)
	d.base = "https://127.0.0.1:9443"
	d.cmd = exec.Command(os.Args[0], "browser-agent") //nolint:noctx // it ends with its standard input
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	d.cmd.Stderr = t.Output()
	if d.in, err = d.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.out = bufio.NewScanner(out)
	d.out.Buffer(nil, 1<<24)
	if err = ns.Do(d.cmd.Start); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.end)
	if a := d.send(browser.Hello{Program: program, Dir: d.dir, Trust: []string{"127.0.0.1:9443", "127.0.0.1:1"}}); a.Err != "" {
		t.Fatal(a.Err)
	}
	return d
}

// end ends the driver as the lab does, and sees to it that nothing is left.
func (d *driver) end() {
	_ = d.in.Close()
	_ = d.cmd.Wait()
	_ = unix.Kill(-d.cmd.Process.Pid, unix.SIGKILL)
	d.left()
}

// left waits until neither processes nor files of the browser are there.
func (d *driver) left() {
	d.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(15 * time.Second)
	for {
		_, err := os.Stat(d.dir)
		pids := using(d.dir)
		if os.IsNotExist(err) && len(pids) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			d.t.Errorf("left behind: %v, folder: %v", pids, err)
			return
		}
	}
}

// using lists the processes that name a folder in their arguments.
func using(dir string) []int {
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

func (d *driver) send(v any) browser.Answer {
	d.t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err := d.in.Write(append(b, '\n')); err != nil {
		d.t.Fatal(err)
	}
	return d.answer()
}

func (d *driver) answer() browser.Answer {
	d.t.Helper()
	var a browser.Answer
	if !d.out.Scan() {
		d.t.Fatalf("no answer: %v", d.out.Err())
	}
	if err := json.Unmarshal(d.out.Bytes(), &a); err != nil {
		d.t.Fatal(err)
	}
	return a
}

func (d *driver) do(actions ...browser.Action) browser.Answer {
	d.t.Helper()
	return d.send(browser.Order{Base: d.base, Do: actions})
}

// quick is an action that does not wait long for what is not there.
func quick(a browser.Action) browser.Action {
	a.Within = 300 * time.Millisecond
	return a
}

func TestAFormIsFilledByItsLabels(t *testing.T) {
	d := start(t)
	a := d.do(
		browser.Action{Open: "/"},
		browser.Action{Menu: []string{"Cluster Configuration", "Layer 7 – Virtual Services"}},
		browser.Action{Shows: browser.Fields{{Label: "Weight", Value: "100"}, {Label: "Re-Encrypt to Backend", Value: "false"}, {Label: "Layer 7 Protocol", Value: "HTTP Mode"}}},
		browser.Action{Fill: browser.Fields{
			{Label: "Label", Value: `HM <1> & "ü"`},
			{Label: "IP Address", Value: "192.168.94.100"},
			{Label: "Ports", Value: "8080,8443"},
			{Label: "Layer 7 Protocol", Value: "TCP Mode"},
			{Label: "Re-Encrypt to Backend", Value: "true"},
			{Label: "Weight", Value: ""},
		}},
		browser.Action{Click: "Update"},
		browser.Action{Row: browser.Cells{"Draining", "HM1", "192.168.94.105"}},
		browser.Action{Click: "Modify", Near: "HM1"},
		browser.Action{See: "This is HM1"},
		browser.Action{Gone: "This is HM10"},
	)
	if a.Err != "" {
		t.Fatal(a.Err)
	}
	if want := `HM <1> & "ü"|192.168.94.100|8080,8443|TCP Mode|yes|`; len(d.site.sent) != 1 || d.site.sent[0] != want {
		t.Errorf("sent %q, want %q", d.site.sent, want)
	}
	a = d.do(browser.Action{Open: "/list"}, browser.Action{Click: "Remove", Near: "HM10"}, browser.Action{See: "This is HM10"})
	if a.Err != "" {
		t.Error(a.Err)
	}
	a = d.do(browser.Action{Menu: []string{"Maintenance", "Restart Services"}}, browser.Action{See: "now it is here"})
	if a.Err != "" {
		t.Error(a.Err)
	}
}

func TestMistakesAreSentences(t *testing.T) {
	d := start(t)
	form := browser.Action{Open: "/form"}
	for _, tt := range []struct {
		name  string
		at    string
		do    browser.Action
		wants []string
	}{
		{"another button", "/form", browser.Action{Click: "Updaet"}, []string{"no button or link “Updaet”", "there are: ", "Cancel, ", "Update"}},
		{"a dash", "/form", browser.Action{Menu: []string{"Cluster Configuration", "Layer 7 - Virtual Services"}}, []string{"“Layer 7 – Virtual Services”: – and - are different characters"}},
		{"case", "/form", browser.Action{Click: "update"}, []string{"“Update”: capital and small letters differ"}},
		{"another field", "/form", browser.Action{Fill: browser.Fields{{Label: "Port", Value: "1"}}}, []string{"no field “Port”", "Ports"}},
		{"another option", "/form", browser.Action{Fill: browser.Fields{{Label: "Layer 7 Protocol", Value: "UDP Mode"}}}, []string{"no option “UDP Mode” in field “Layer 7 Protocol”; there are: HTTP Mode, TCP Mode"}},
		{"a tick", "/form", browser.Action{Fill: browser.Fields{{Label: "Re-Encrypt to Backend", Value: "maybe"}}}, []string{"write true or false"}},
		{"what can only be read", "/form", browser.Action{Fill: browser.Fields{{Label: "Fixed", Value: "2"}}}, []string{"can only be read"}},
		{"what is disabled", "/form", browser.Action{Click: "Remove"}, []string{"button or link “Remove” is disabled"}},
		{"what a field holds", "/form", browser.Action{Shows: browser.Fields{{Label: "Ports", Value: "81"}}}, []string{"“Ports” holds “80”, not “81”"}},
		{"one of two", "/list", browser.Action{Click: "Modify"}, []string{"2 times: button or link “Modify”; say near which text"}},
		{"near nothing", "/list", browser.Action{Click: "Advanced +", Near: "Three"}, []string{"near “Three”: no such text in the same row"}},
		{"near both", "/list", browser.Action{Click: "Modify", Near: "All"}, []string{"2 times: button or link “Modify” near “All”"}},
		{"no text", "/", browser.Action{See: "all red"}, []string{"no text “all red” on the page “Start” (/)", "it begins: "}},
		{"another dash", "/", browser.Action{See: "Harmonic - Management"}, []string{"there is “Harmonic – Management”", "different characters"}},
		{"what is hidden", "/", browser.Action{See: "never seen"}, []string{"no text “never seen”"}},
		{"a text that stays", "/", browser.Action{Gone: "all green"}, []string{"“all green” is still on the page"}},
		{"another row", "/list", browser.Action{Row: browser.Cells{"HM1", "192.168.94.106"}}, []string{"no row “HM1 | 192.168.94.106”", "it lacks “192.168.94.106”"}},
	} {
		a := d.do(browser.Action{Open: tt.at}, quick(tt.do))
		for _, want := range tt.wants {
			if !strings.Contains(a.Err, want) {
				t.Errorf("%s: %q does not say %q", tt.name, a.Err, want)
			}
		}
	}
	if a := d.do(form, quick(browser.Action{Click: "Advanced +", Near: "Two"})); a.Err == "" {
		t.Error("a button of another page was found")
	}
	a := d.do(browser.Action{Open: "/list"}, browser.Action{Click: "Advanced +", Near: "Two"}, browser.Action{Click: "Advanced +", Near: "Second"}, browser.Action{Open: "/"}, browser.Action{See: "VIRTUAL SERVICE"}, browser.Action{See: "Virtual Service"})
	if a.Err != "" {
		t.Error(a.Err)
	}
	a = d.send(browser.Order{Base: "https://127.0.0.1:1", Do: []browser.Action{quick(browser.Action{Open: "/"})}})
	if !strings.Contains(a.Err, "https://127.0.0.1:1/ does not open: net::ERR_") {
		t.Errorf("nobody there: %q", a.Err)
	}
}

func TestAPageThatComplainsFails(t *testing.T) {
	d := start(t)
	if a := d.do(browser.Action{Open: "/broken"}); a.Err != "" {
		t.Fatal(a.Err)
	}
	press := d.do(browser.Action{Click: "Press"}, browser.Action{See: "Broken"}) // what is thrown is told a moment later
	if press.Err == "" {
		press = d.do(browser.Action{See: "Broken"})
	}
	if !strings.Contains(press.Err, "nowhere is not defined") {
		t.Errorf("a script failed: %q", press.Err)
	}
	policy := d.do(browser.Action{Open: "/forbidden"}, browser.Action{See: "styled"})
	if policy.Err == "" {
		policy = d.do(browser.Action{See: "styled"})
	}
	if !strings.Contains(policy.Err, "Content Security Policy") {
		t.Errorf("what the policy forbids was there: %q", policy.Err)
	}
}

func TestAxeFindsWhatIsWrongAndAPictureShowsIt(t *testing.T) {
	d := start(t)
	shot := filepath.Join(t.TempDir(), "bad.png")
	a := d.send(browser.Order{Base: d.base, Shot: shot, Always: true, Do: []browser.Action{{Open: "/bad"}, {Axe: true}, {Open: "/form"}, {Axe: true}}})
	if a.Err != "" || len(a.Exams) != 2 || a.Shot != shot {
		t.Fatalf("%+v", a)
	}
	rules := map[string]string{}
	for _, v := range a.Exams[0].Violations {
		rules[v.Rule] = v.Element + " " + v.Help
	}
	if !strings.Contains(rules["image-alt"], "/x.png") || !strings.Contains(rules["label"], "nolabel") {
		t.Errorf("axe found %v", rules)
	}
	if a.Exams[0].Page != "/bad" || len(a.Exams[1].Violations) > 0 {
		t.Errorf("%+v", a.Exams)
	}
	f, err := os.Open(shot)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if c, err := png.DecodeConfig(f); err != nil || c.Width != 1280 || c.Height < 900 {
		t.Errorf("the picture: %+v, %v", c, err)
	}
}

func TestAPageThatNeverRestsIsUsable(t *testing.T) {
	d := start(t)
	begin := time.Now()
	a := d.do(browser.Action{Open: "/live"}, browser.Action{See: "event 3"}, browser.Action{Click: "Swapped"})
	if a.Err != "" {
		t.Fatal(a.Err)
	}
	if took := time.Since(begin); took > 5*time.Second { // the stream of events is not waited for
		t.Errorf("it took %s", took)
	}
	a = d.do(quick(browser.Action{Click: "Under"}))
	if !strings.Contains(a.Err, "button or link “Under” is covered by “this lies over it”") {
		t.Errorf("what lies under another: %q", a.Err)
	}
	a = d.do(browser.Action{Click: "Halt"}) // asks, then takes its time
	if a.Err != "" || len(a.Notes) != 1 || !strings.Contains(a.Notes[0], "the page asked Halt HM1?; the answer was OK") {
		t.Errorf("a question: %+v", a)
	}
	a = d.do(quick(browser.Action{See: "nothing"}))
	if !strings.Contains(a.Err, "the page “halted”") {
		t.Errorf("the click was not waited for: %q", a.Err)
	}
}

func TestAFailureIsPictured(t *testing.T) {
	d := start(t)
	shot := filepath.Join(t.TempDir(), "x.png")
	o := browser.Order{Base: d.base, Shot: shot, Do: []browser.Action{{Open: "/"}}}
	if a := d.send(o); a.Err != "" || a.Shot != "" {
		t.Errorf("a picture that nobody asked for: %+v", a)
	}
	o.Do = append(o.Do, quick(browser.Action{Click: "nothing"}))
	if a := d.send(o); a.Err == "" || a.Shot != shot {
		t.Errorf("no picture of a failure: %+v", a)
	}
	if _, err := os.Stat(shot); err != nil {
		t.Error(err)
	}
}

func TestABrowserThatIsKilledIsToldOf(t *testing.T) {
	d := start(t)
	if a := d.do(browser.Action{Open: "/"}); a.Err != "" {
		t.Fatal(a.Err)
	}
	b, err := json.Marshal(browser.Order{Base: d.base, Do: []browser.Action{{See: "nothing", Within: time.Minute}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.in.Write(append(b, '\n')); err != nil {
		t.Fatal(err)
	}
	killed := false
	for _, pid := range using(d.dir) {
		stat, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:])); len(f) > 1 && f[1] == strconv.Itoa(d.cmd.Process.Pid) {
			killed = unix.Kill(pid, unix.SIGKILL) == nil
		}
	}
	if !killed {
		t.Fatal("no browser to kill")
	}
	if a := d.answer(); a.Err != "the browser has died (signal: killed)" {
		t.Errorf("%+v", a)
	}
	d.left()
}

func TestTheBrowserDiesWithItsDriver(t *testing.T) {
	d := start(t)
	if err := d.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = d.cmd.Wait()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for len(using(d.dir)) > 0 {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("still there: %v", using(d.dir))
		}
	}
	_ = os.RemoveAll(d.dir) // the lab's part
}
