package strictyaml_test

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/internal/strictyaml"
)

type common struct {
	Title string `yaml:"title"`
}

type server struct {
	Name    string        `yaml:"name" strict:"required"`
	Addr    netip.Addr    `yaml:"address" strict:"required"`
	Port    uint16        `yaml:"port"`
	Weight  *int          `yaml:"weight"`
	Timeout time.Duration `yaml:"timeout"`
}

type document struct {
	common
	Ports   string               `yaml:"ports"`
	Enabled bool                 `yaml:"enabled"`
	Count   int                  `yaml:"count"`
	Ratio   float64              `yaml:"ratio"`
	Wait    strictyaml.Duration  `yaml:"wait"`
	Names   []string             `yaml:"names"`
	Env     map[string]string    `yaml:"env"`
	Servers []server             `yaml:"servers"`
	Steps   []strictyaml.Node    `yaml:"steps"`
	Deep    map[string][]float64 `yaml:"deep"`
	Self    self                 `yaml:"self"`
	Ignored string               `yaml:"-"`
}

// self decodes itself: a scalar is short for {name: scalar}.
type self struct{ Name string }

func (s *self) UnmarshalNode(n strictyaml.Node) error {
	if n.Kind() == strictyaml.Scalar {
		if n.Text() == "bad" {
			return errors.New("bad is not allowed")
		}
		s.Name = n.Text()
		return nil
	}
	var m struct {
		Name string `yaml:"name" strict:"required"`
	}
	err := n.Decode(&m)
	s.Name = m.Name
	return err
}

func TestDecode(t *testing.T) {
	t.Parallel()
	seven := 7
	const text = `
title: hello
ports: 1935,554,50000-65535
enabled: true
count: -3
ratio: .25
wait: 1.5s
names: [on, no, 0755, 554:1935, 2024-01-01, "x"]
env: {A: yes, B: 1e3, C: 0x10}
servers:
  - &one {name: one, address: 192.168.94.105, port: 8443, weight: 7, timeout: 250ms}
  - name: two
    address: "::1"
    port:
  - *one
deep:
  a: [1, 2.5]
self: {name: x}
`
	want := document{
		common: common{Title: "hello"}, Ports: "1935,554,50000-65535", Enabled: true, Count: -3, Ratio: 0.25,
		Wait:  strictyaml.Duration(1500 * time.Millisecond),
		Names: []string{"on", "no", "0755", "554:1935", "2024-01-01", "x"},
		Env:   map[string]string{"A": "yes", "B": "1e3", "C": "0x10"},
		Servers: []server{
			{"one", netip.MustParseAddr("192.168.94.105"), 8443, &seven, 250 * time.Millisecond},
			{Name: "two", Addr: netip.IPv6Loopback()},
			{"one", netip.MustParseAddr("192.168.94.105"), 8443, &seven, 250 * time.Millisecond},
		},
		Deep: map[string][]float64{"a": {1, 2.5}},
		Self: self{"x"},
	}
	var got document
	if _, err := strictyaml.Decode("t.yaml", []byte(text), &got); err != nil {
		t.Fatal(err)
	}
	opts := cmp.Options{cmp.AllowUnexported(document{}), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })}
	if diff := cmp.Diff(want, got, opts); diff != "" {
		t.Fatalf("decoded (-want +got):\n%s", diff)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		want       []string
	}{
		{"unknown key near", "portz: 80\n", []string{`f:1:1: portz: unknown key "portz": did you mean "ports"?`}},
		{"unknown key far", "zzzzzz: 80\n", []string{`f:1:1: zzzzzz: unknown key "zzzzzz": known keys: title, ports, enabled, count, ratio, wait, names, env, servers, steps, deep, self`}},
		{"misspelt required", "servers:\n- {nane: a, address: 10.0.0.1}\n", []string{`f:2:4: servers[0].nane: unknown key "nane": did you mean "name"?`}},
		{"abbreviated required", "servers:\n- {name: a, addr: 10.0.0.1}\n", []string{`f:2:13: servers[0].addr: unknown key "addr": did you mean "address"?`}},
		{"missing", "servers:\n- {name: a}\n", []string{`f:2:3: servers[0]: address is missing: add "address: …"`}},
		{"missing by null", "servers:\n- {name: , address: 10.0.0.1}\n", []string{`f:2:3: servers[0]: name is missing: add "name: …"`}},
		{"twice", "count: 1\ncount: 2\n", []string{`f:2:1: count: written twice, first in line 1: keep one`}},
		{"bool words", "enabled: yes\n", []string{`f:1:10: enabled: wants true or false, got yes: write true`}},
		{"bool off", "enabled: off\n", []string{`f:1:10: enabled: wants true or false, got off: write false`}},
		{"octal", "count: 010\n", []string{`f:1:8: count: 010 has a leading zero, which YAML may read as octal: write it without`}},
		{"hex", "count: 0x10\n", []string{`f:1:8: count: wants a whole number, got "0x10": write decimal digits only`}},
		{"sexagesimal", "count: 554:1935\n", []string{`f:1:8: count: wants a whole number, got "554:1935": write decimal digits only`}},
		{"underscore", "count: 1_000\n", []string{`f:1:8: count: wants a whole number, got "1_000": write decimal digits only`}},
		{"quoted number", "count: \"5\"\n", []string{`f:1:8: count: wants a whole number, got the text "5": remove the quotes`}},
		{"out of range", "servers: [{name: a, address: 10.0.0.1, port: 70000}]\n", []string{`f:1:46: servers[0].port: 70000 is out of range: use 0 to 65535`}},
		{"negative port", "servers: [{name: a, address: 10.0.0.1, port: -1}]\n", []string{`f:1:46: servers[0].port: -1 is out of range: use 0 to 65535`}},
		{"float", "ratio: 1.2.3\n", []string{`f:1:8: ratio: wants a number, got "1.2.3": write for example 0.1 or 25`}},
		{"infinity", "ratio: .inf\n", []string{`f:1:8: ratio: wants a number, got ".inf": write for example 0.1 or 25`}},
		{"no unit", "wait: 5\n", []string{`f:1:7: wait: 5 has no unit: write for example 5s or 5ms`}},
		{"bad duration", "servers: [{name: a, address: 10.0.0.1, timeout: soon}]\n", []string{`f:1:49: servers[0].timeout: "soon" is not a duration: write a number with a unit, for example 250ms, 1.5s or 5m`}},
		{"address", "servers: [{name: a, address: 10.0.0.256}]\n", []string{`f:1:30: servers[0].address: "10.0.0.256" is not an IP address: write for example 192.168.94.100 or 2001:db8::1`}},
		{"list wanted", "names: one\n", []string{`f:1:8: names: wants a list, got "one": write [one]`}},
		{"map wanted", "env: [a]\n", []string{`f:1:6: env: wants a map, got a list`}},
		{"text wanted", "ports: [80]\n", []string{`f:1:8: ports: wants text, got a list`}},
		{"scalar for struct", "servers: [x]\n", []string{`f:1:11: servers[0]: wants keys and values, got "x": known keys: name, address, port, weight, timeout`}},
		{"tag", "ports: !!str 80\n", []string{`f:1:8: ports: the tag !!str is not supported: remove it; quote the value to make it text`}},
		{"merge", "x: &x {count: 1}\n<<: *x\n", []string{
			`f:1:1: x: unknown key "x": known keys: title, ports, enabled, count, ratio, wait, names, env, servers, steps, deep, self`,
			`f:2:1: merge keys are not supported: write the keys out`,
		}},
		{"two documents", "count: 1\n---\ncount: 2\n", []string{`f:2:1: a second document starts here: remove the "---" line: one file holds one document`}},
		{"custom plain", "self: bad\n", []string{`f:1:7: self: bad is not allowed`}},
		{"custom nested", "self: {nam: x}\n", []string{`f:1:8: self.nam: unknown key "nam": did you mean "name"?`}},
		{"all at once", "count: x\nenabled: 1\nwat: 2\nservers:\n- {}\n", []string{
			`f:1:8: count: wants a whole number, got "x": write decimal digits only`,
			`f:2:10: enabled: wants true or false, got "1"`,
			`f:3:1: wat: unknown key "wat": did you mean "wait"?`,
			`f:5:3: servers[0]: name is missing: add "name: …"`,
			`f:5:3: servers[0]: address is missing: add "address: …"`,
		}},
		{"binary", "a: \x00", []string{`f:1:1: this is not UTF-8 text: save the file as UTF-8`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got document
			_, err := strictyaml.Decode("f", []byte(tt.text), &got)
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(tt.want, strings.Split(err.Error(), "\n")); diff != "" {
				t.Fatalf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSyntaxErrorsAreLocated(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a: b\n\tc: d\n":    "f:2:",
		"a: [1, 2\nb: 3\n":  "f:",
		"a: b: c\n":         "f:1:",
		"- a\nb: c\n":       "f:2:",
		"\"unterminated\n":  "f:",
		"a: *nowhere\n":     "f:1:",
		"a: &a [*a]\n":      "f:1:",
		"count: 1\n  x: 2 ": "f:2:",
	} {
		var got document
		_, err := strictyaml.Decode("f", []byte(text), &got)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want an error at %s", text, err, want)
		}
		if _, ok := errors.AsType[strictyaml.Errors](err); !ok {
			t.Errorf("%q: %T is not Errors", text, err)
		}
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'h'; c++ {
		p := string(c - 1)
		bomb += string(c) + ": &" + string(c) + " [" + strings.TrimSuffix(strings.Repeat("*"+p+",", 9), ",") + "]\n"
	}
	for name, text := range map[string]string{
		"alias bomb":   bomb,
		"flow depth":   "a: " + strings.Repeat("[", 50_000),
		"nested lists": "a: " + strings.Repeat("[", 60) + strings.Repeat("]", 60),
		"block depth":  "a:\n  " + strings.Repeat("- ", 5_000) + "x",
		"size":         strings.Repeat("#", strictyaml.MaxBytes+1),
	} {
		var got map[string]deep
		start := time.Now()
		_, err := strictyaml.Decode("f", []byte(text), &got)
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%s: took %v", name, d)
		}
	}
}

type deep []deep

func TestRender(t *testing.T) {
	t.Parallel()
	var got document
	_, err := strictyaml.Decode("f.yaml", []byte("title: x\nservers:\n  - {name: a,\taddress: 10.0.0.1, portt: 1}\n"), &got)
	var all strictyaml.Errors
	if !errors.As(err, &all) {
		t.Fatalf("got %v", err)
	}
	want := "f.yaml:3:34: servers[0].portt: unknown key \"portt\": did you mean \"port\"?\n" +
		"    - {name: a,\taddress: 10.0.0.1, portt: 1}\n" +
		strings.Repeat(" ", 2+13) + "\t" + strings.Repeat(" ", 19) + "^\n"
	if diff := cmp.Diff(want, all.Render()); diff != "" {
		t.Fatalf("rendered (-want +got):\n%s", diff)
	}
}

func TestPositions(t *testing.T) {
	t.Parallel()
	doc, err := strictyaml.Parse("f", []byte("services:\n  - name: a\n  - name: b\n    ports: 80\n"))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][2]int{
		"services[1].ports":   {4, 12},
		"services[1].missing": {3, 5},
		"services[7]":         {2, 3},
		"nothing.at.all":      {1, 1},
		"":                    {1, 1},
	} {
		line, col := doc.At(path)
		if got := [2]int{line, col}; got != want {
			t.Errorf("At(%q) = %v, want %v", path, got, want)
		}
	}
	e := doc.Errorf("services[1].ports", "port %d is taken -- choose another", 80)
	if got, want := e.Error(), "f:4:12: services[1].ports: port 80 is taken: choose another"; got != want {
		t.Errorf("Errorf = %q, want %q", got, want)
	}
	if !doc.Has("services[0].name") || doc.Has("services[0].ports") || doc.Has("services[9]") {
		t.Error("Has is wrong")
	}
}

func TestNode(t *testing.T) {
	t.Parallel()
	var got document
	_, err := strictyaml.Decode("f", []byte("steps:\n  - kill: {name: lb1}\n  - wait: 2s\n  - [a, b]\n"), &got)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"kill"}, got.Steps[0].Keys()); diff != "" {
		t.Fatal(diff)
	}
	kill, ok := got.Steps[0].Get("kill")
	if !ok || kill.Kind() != strictyaml.Map || kill.Path() != "steps[0].kill" {
		t.Fatalf("kill: %v %v %v", ok, kill.Kind(), kill.Path())
	}
	err = kill.Decode(&struct {
		Node string `yaml:"node" strict:"required"`
	}{})
	if err == nil || err.Error() != "f:2:11: steps[0].kill: node is missing: add \"node: …\"\nf:2:12: steps[0].kill.name: unknown key \"name\": known keys: node" {
		t.Fatalf("kill: %v", err)
	}
	if wait, _ := got.Steps[1].Get("wait"); wait.Text() != "2s" || wait.Errorf("too long").Error() != "f:3:11: steps[1].wait: too long" {
		t.Fatalf("wait: %q %v", wait.Text(), wait.Errorf("too long"))
	}
	if items := got.Steps[2].Items(); len(items) != 2 || items[1].Text() != "b" || items[1].Path() != "steps[2][1]" {
		t.Fatalf("items: %v", items)
	}
}

func TestDurationText(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		5 * time.Minute: "5m", time.Hour: "1h", 90 * time.Second: "1m30s", 0: "0s",
		250 * time.Millisecond: "250ms", 24 * time.Hour: "24h", 10 * time.Second: "10s", 10 * time.Minute: "10m",
	} {
		got, err := strictyaml.Duration(d).MarshalText()
		if err != nil || string(got) != want {
			t.Errorf("%v: got %s, %v, want %s", d, got, err, want)
		}
		var back strictyaml.Duration
		if err := back.UnmarshalText(got); err != nil || time.Duration(back) != d {
			t.Errorf("%s: read back as %v, %v", got, time.Duration(back), err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("servers:\n- {name: a, address: 10.0.0.1}\n"))
	f.Add([]byte("a: &a [*a]\n<<: *a\n? [x]\n: y\n"))
	if ref, err := os.ReadFile("../../appliance/config/reference.yaml"); err == nil {
		f.Add(ref)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got document
		doc, err := strictyaml.Decode("f", data, &got)
		if err == nil {
			doc.At("servers[0].name")
			return
		}
		var all strictyaml.Errors
		if !errors.As(err, &all) || len(all) == 0 {
			t.Fatalf("%T %v is not Errors", err, err)
		}
		for _, e := range all {
			if e.Line < 1 || e.Col < 1 || e.Msg == "" {
				t.Fatalf("not located: %+v", e)
			}
		}
		_ = all.Render()
	})
}
