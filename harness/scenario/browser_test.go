package scenario_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	yaml "go.yaml.in/yaml/v4"

	"github.com/vosbed/vosbed/harness/browser"
	"github.com/vosbed/vosbed/harness/scenario"
)

const browsing = `
name: t
requires: [chromium]
topology: {use: harmonic-vos, nodes: {pc: {kind: clients, links: ["service:30"]}}}
appliance: {fresh: true}
steps:
  - password: {node: lb1, user: loadbalancer, value: "a secret: yes"}
  - name: "10.1.1-1 Add a new Virtual Service"
    browser:
      from: pc
      to: lb1
      screenshot: false
      do:
        - {open: /lbadmin/}
        - {fill: {Ports: "8080,8443", Weight: 100, Re-Encrypt to Backend: true, Label: "true", Real Server Port: }}
        - {click: Modify, near: Harmonic_Management}
        - {menu: [Cluster Configuration, "Layer 7 – Virtual Services"]}
        - {row: [HM1, 192.168.94.105, 100], within: 10s}
        - {axe: true}
expect: [{name: e, metric: axe_violations.max, max: 0}]
`

func TestBrowserStepsAreReadInOrder(t *testing.T) {
	s, err := load(t, browsing)
	if err != nil {
		t.Fatal(scenario.Render(err))
	}
	b := s.Steps[1].Browser
	want := browser.Fields{{Label: "Ports", Value: "8080,8443"}, {Label: "Weight", Value: "100"}, {Label: "Re-Encrypt to Backend", Value: "true"}, {Label: "Label", Value: "true"}, {Label: "Real Server Port"}}
	if d := cmp.Diff(want, b.Do[1].Fill); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(browser.Cells{"HM1", "192.168.94.105", "100"}, b.Do[4].Row); d != "" || b.Do[4].Within != 10*time.Second || b.Pictured() {
		t.Errorf("%+v %s", b.Do[4], d)
	}
	var v any
	if err = yaml.Unmarshal([]byte(browsing), &v); err != nil {
		t.Fatal(err)
	}
	if err = schema(t).Validate(v); err != nil {
		t.Errorf("it does not fit the schema: %v", err)
	}
}

func TestABrowserStepIsWrittenAsItWasRead(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "t.yaml"), []byte(browsing), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "u.yaml"), []byte("name: u\nextends: t\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := scenario.Load(dir, "u")
	if err != nil {
		t.Fatal(scenario.Render(err))
	}
	text, err := s.Text()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "whole.yaml")
	if err = os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	again, err := scenario.Load(dir, file)
	if err != nil {
		t.Fatalf("what was written cannot be read: %s\n%s", scenario.Render(err), text)
	}
	if d := cmp.Diff(s.Steps, again.Steps); d != "" {
		t.Error(d)
	}
}

func TestMistakesInBrowserSteps(t *testing.T) {
	for _, tt := range []struct{ name, old, new, want string }{
		{"two things", "{open: /lbadmin/}", "{open: /lbadmin/, click: x}", "exactly one thing, this one [open click]"},
		{"nothing", "{open: /lbadmin/}", "{within: 1s}", "exactly one thing"},
		{"no path", "{open: /lbadmin/}", "{open: lbadmin}", "begins with /"},
		{"near for all", "{open: /lbadmin/}", "{see: x, near: y}", "only click, fill and shows"},
		{"too patient", "within: 10s", "within: 10m", "at most 2m0s"},
		{"no fields", `fill: {Ports: "8080,8443"`, `fill: [Ports], shows: {Ports: "8080,8443"`, "not a map"},
		{"a field of lists", `Ports: "8080,8443"`, `Ports: [8080]`, "a field holds text"},
		{"a server's browser", "from: pc", "from: HT1", "browsers run on clients nodes, HT1 is of kind simvos"},
		{"a server's WebUI", "to: lb1", "to: HT1", "opens appliance nodes"},
		{"no node", "from: pc", "from: pcc", `did you mean "pc"?`},
		{"not required", "requires: [chromium]", "requires: []", "steps run chromium: add it to requires"},
		{"not judged", "metric: axe_violations.max, max: 0", "metric: x, max: 0", "nothing judges what axe finds"},
		{"fresh clients", "fresh: true", "fresh: [pc]", "fresh are appliance nodes, pc is of kind clients"},
		{"fresh maybe", "fresh: true", "fresh: maybe", "write true, or a list of appliances"},
		{"password of a server", "password: {node: lb1", "password: {node: HT1", "passwords belong to appliance nodes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(browsing, tt.old, tt.new, 1)
			if text == browsing {
				t.Fatal("the mistake was not made")
			}
			_, err := load(t, text)
			if err == nil {
				t.Fatal("accepted")
			}
			if got := scenario.Render(err); !strings.Contains(got, tt.want) {
				t.Errorf("got %s\nwant %q", got, tt.want)
			}
		})
	}
}
