package scenario_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/harness/scenario"
)

func TestEveryScenarioOfTheProjectIsSound(t *testing.T) {
	const dir = "../../scenarios"
	names, err := scenario.Names(os.DirFS(dir))
	if err != nil || len(names) == 0 {
		t.Fatalf("scenarios %v, %v", names, err)
	}
	for _, name := range names {
		s, err := scenario.Load(dir, name)
		if err != nil {
			t.Errorf("%s", scenario.Render(err))
			continue
		}
		if s.Name != name || s.Title == "" || len(s.Mutants) == 0 {
			t.Errorf("%s: name %q, title %q, %d mutants: all are needed", name, s.Name, s.Title, len(s.Mutants))
		}
		for _, m := range s.Mutants {
			if _, _, err := s.Mutate(m.Name); err != nil {
				t.Errorf("%s: mutant %s: %v", name, m.Name, err)
			}
		}
	}
}

const sound = `
name: t
loads: {probe: {kind: udp-probe, from: clients, to: "${vip.traffic}:60000"}}
steps: [{start: [probe]}, {fault: {kind: kill, target: role(active)}}, {heal: kill}]
expect: [{name: e, metric: outage_ms.max, max: 1}]
`

func TestMistakesAreLocatedAndExplained(t *testing.T) {
	for _, tt := range []struct{ name, old, new, want string }{
		{"unknown key", "steps:", "stepz:", `did you mean "steps"`},
		{"unknown load", "start: [probe]", "start: [prob]", `did you mean "probe"`},
		{"unknown kind of load", "kind: udp-probe", "kind: udp-prob", `did you mean "udp-probe"`},
		{"unknown fault", "kind: kill", "kind: kil", `did you mean "kill"`},
		{"unknown node", "from: clients", "from: client", `did you mean "clients"`},
		{"unknown vip", "${vip.traffic}", "${vip.trafic}", "names nothing in this topology"},
		{"heal of nothing", "heal: kill", "heal: freeze", `no fault "freeze" before this step`},
		{"two things at once", "{heal: kill}", "{heal: kill, wait: 1s}", "exactly one thing"},
		{"role", "role(active)", "role(boss)", `unknown role "boss"`},
		{"no limit", ", max: 1", "", "needs min, max or equals"},
		{"always without witness", "metric: outage_ms.max, max: 1", `always: 'role == "active"'`, "need a witness"},
		{"expression", "metric: outage_ms.max, max: 1", `eventually: 'rol == "active"'`, "unknown name rol"},
		{"rate", "kind: udp-probe,", "kind: udp-probe, rate: 1000000,", "loads are bounded"},
		{"rate over clients", "kind: udp-probe,", "kind: udp-probe, clients: 240,", "loads are bounded"},
		{"mutant", "expect:", "mutants: [{name: m, change: {}, must_fail: x}]\nexpect:", `no expectation "x"`},
		{"mutant of any step", "expect:", "mutants: [{name: m, change: {}, must_fail: steps}]\nexpect:", "which step must fail?"},
		{"mutant of no step", "steps: [{", "mutants: [{name: m, change: {}, must_fail: 'steps: redy'}]\nsteps: [{name: ready, ", `did you mean "ready"`},
		{"who forgets", "{heal: kill}", "{heal: kill}, {forget: HM9}", `unknown node "HM9"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(sound, tt.old, tt.new, 1)
			if text == sound {
				t.Fatal("the mistake was not made")
			}
			_, err := load(t, text)
			if err == nil {
				t.Fatal("accepted")
			}
			got := scenario.Render(err)
			if !scenario.IsMistake(err) || !strings.Contains(got, tt.want) || !strings.Contains(got, "t.yaml:") {
				t.Errorf("got %s\nwant a place and %q", got, tt.want)
			}
		})
	}
}

func load(t *testing.T, text string) (*scenario.Scenario, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "t.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return scenario.Load(dir, "t")
}

func TestAllMistakesAtOnce(t *testing.T) {
	text := strings.NewReplacer("start: [probe]", "start: [prob]", "kind: kill", "kind: kil").Replace(sound)
	_, err := load(t, text)
	got := scenario.Render(err)
	for _, want := range []string{`"prob"`, `"kil"`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is missing in:\n%s", want, got)
		}
	}
}

func TestUnknownNameSuggests(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "failover.yaml"), []byte(sound), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := scenario.Load(dir, "falover")
	if !scenario.IsMistake(err) || !strings.Contains(err.Error(), `did you mean "failover"`) {
		t.Error(err)
	}
}

func TestOverlayMerge(t *testing.T) {
	parse := func(text string) scenario.Overlay {
		o, err := scenario.ParseOverlay("t", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	base := parse("a: 1\nservices:\n- {name: x, ports: '554', reals: [{name: r1, w: 1}, {name: r2, w: 2}]}\n- {name: y, layer: 7}\n")
	for _, tt := range []struct{ name, over, want string }{
		{"scalar", "a: 2", "a: 2\nservices:\n- {name: x, ports: '554', reals: [{name: r1, w: 1}, {name: r2, w: 2}]}\n- {name: y, layer: 7}\n"},
		{"delete by null", "services: {y: null}\na: null", "services: [{name: x, ports: '554', reals: [{name: r1, w: 1}, {name: r2, w: 2}]}]"},
		{"nested by name", "services: {x: {reals: {r2: {w: 0}}}, y: null}\na: null", "services: [{name: x, ports: '554', reals: [{name: r1, w: 1}, {name: r2, w: 0}]}]"},
		{"new one", "a: null\nservices: {x: null, z: {layer: 4}}", "services: [{name: y, layer: 7}, {name: z, layer: 4}]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(parse(tt.want), base.Merge(parse(tt.over))); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestOneOverlayAfterAnotherKeepsItsNulls(t *testing.T) {
	first := scenario.Overlay{"services": map[string]any{"x": map[string]any{"check": map[string]any{"fall": 2}}}}
	second := scenario.Overlay{"services": map[string]any{"x": nil}}
	base := scenario.Overlay{"services": []any{map[string]any{"name": "x"}, map[string]any{"name": "y"}}}
	want := scenario.Overlay{"services": []any{map[string]any{"name": "y"}}}
	if d := cmp.Diff(want, base.Merge(first.Then(second))); d != "" {
		t.Error(d)
	}
}

func TestExtendsLaysOver(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"t.yaml": sound,
		"u.yaml": "name: u\nextends: t\nappliance: {cluster: {dead: 30ms}}\nexpect: [{name: e, metric: outage_ms.max, max: 9}, {name: f, metric: x, min: 1}]\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, err := scenario.Load(dir, "u")
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != "u" || len(s.Steps) != 3 || len(s.Expect) != 2 || *s.Expect[0].Max != 9 {
		t.Errorf("extended: %+v", s)
	}
	text, err := s.Text()
	if err != nil {
		t.Fatal(err)
	}
	if err = os.WriteFile(filepath.Join(dir, "whole.yaml"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	again, err := scenario.Load(t.TempDir(), filepath.Join(dir, "whole.yaml"))
	if err != nil {
		t.Fatalf("what was written cannot be read: %s", scenario.Render(err))
	}
	if len(again.Steps) != 3 || again.Appliance["cluster"] == nil {
		t.Errorf("read again: %+v", again)
	}
}

func TestDurationIsThatOfTheLongestWait(t *testing.T) {
	s, err := scenario.Load("../../scenarios", "soak-heartbeat")
	if err != nil {
		t.Fatal(err)
	}
	timeout := s.Timeout
	s.SetDuration(30 * time.Second)
	longest := time.Duration(0)
	for _, st := range s.Steps {
		longest = max(longest, st.Wait)
	}
	if longest != 30*time.Second || s.Timeout != timeout-9*time.Minute-30*time.Second {
		t.Errorf("longest wait %s, timeout %s", longest, s.Timeout)
	}
}

func TestMutantsAreNotInherited(t *testing.T) {
	s, err := scenario.Load("../../scenarios", "failover-fast")
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Mutants) != 1 || len(s.Expect) < 10 {
		t.Errorf("%d mutants, %d expectations", len(s.Mutants), len(s.Expect))
	}
}
