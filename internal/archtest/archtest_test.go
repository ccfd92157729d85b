package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

func TestImports(t *testing.T) {
	t.Parallel()
	sources := readModule(t)
	for _, r := range rules() {
		bound := 0
		for _, s := range sources {
			if !r.binds(s.pkg) || (s.test && !r.tests) {
				continue
			}
			bound++
			for _, path := range s.imports() {
				if r.forbids(s.pkg, path) {
					t.Errorf("%s imports %s, but %s: %s", s.path, path, r.name, r.reason)
				}
			}
		}
		if bound == 0 {
			t.Errorf("the rule %q applies to nothing: was a folder renamed?", r.name)
		}
	}
}

// TestRulesBite tries each rule with an import that it must refuse and with one
// that it must let pass.
func TestRulesBite(t *testing.T) {
	t.Parallel()
	tests := []struct {
		pkg, path string
		broken    string // name of the rule, "" = none
	}{
		{"appliance/lb", "net/netip", ""},
		{"appliance/lb", "net", "lb is the vocabulary"},
		{"appliance/lb", "go.yaml.in/yaml/v4", "lb is the vocabulary"},
		{"appliance/internal/plan", module + "appliance/lb", ""},
		{"appliance/internal/plan", "os", "plan is pure"},
		{"appliance/internal/plan", module + "internal/netns", "plan is pure"},
		{"appliance/internal/plan", "slices", ""},
		{"appliance/internal/plan", "os/exec", "plan is pure"},
		{"appliance/internal/plan", "os/signal", "plan is pure"},
		{"appliance/internal/ha", "crypto/rand", "ha is pure"},
		{"appliance/internal/ha", "unsafe", "ha is pure"},
		{"appliance/lb", "encoding/json", "lb is the vocabulary"},
		{"harness/verdict", "encoding/json", ""},
		{"harness/verdict", "net", "verdict is pure"},
		{"harness/verdict", "github.com/expr-lang/expr", ""},
		{"harness/topo", "net", ""},
		{"harness/topo", "net/http", "topo is pure"},
		{"appliance/internal/ha", "golang.org/x/sys/unix", "ha is pure"},
		{"appliance/internal/health", module + "appliance/internal/plan", ""},
		{"appliance/internal/health", module + "appliance/config", "config stays at the edge"},
		{"appliance/internal/health", module + "appliance/internal/proxy", "a source acts on nothing"},
		{"appliance/internal/proxy", module + "appliance/internal/proxy/relay", ""},
		{"appliance/internal/proxy/relay", module + "appliance/internal/proxy", ""},
		{"appliance/internal/proxy", module + "appliance/internal/vip", "an actuator stands alone"},
		{"appliance/internal/vip", module + "appliance/internal/ha", "an actuator stands alone"},
		{"appliance/internal/reconcile", module + "appliance/internal/health", "reconcile knows functions"},
		{"appliance", module + "appliance/config", ""},
		{"appliance", module + "harness/lab", "the appliance knows no other room"},
		{"appliance/config", module + "appliance/internal/plan", "config knows only lb"},
		{"appliance/api", module + "appliance/internal/status", "api is a public face"},
		{"appliance/internal/vip", "github.com/cilium/ebpf", "eBPF in one place"},
		{"appliance/internal/dataplane/ebpf", "github.com/cilium/ebpf/link", ""},
		{"simvos", module + "appliance/lb", "simvos knows no other room"},
		{"harness/step", module + "appliance/api", ""},
		{"harness/step", module + "appliance", "the harness is a stranger"},
		{"harness/step", module + "simvos", "the harness is a stranger"},
		{"harness/lab", module + "simvos/control", ""},
		{"harness/verdict", module + "harness/lab", "verdict is pure"},
		{"internal/testenv", module + "internal/netns", ""},
		{"internal/testenv", module + "appliance/lb", "leaves are leaves"},
		{"cmd/lbd", module + "appliance", ""},
		{"cmd/lbd", "github.com/moby/ipvs", "IPVS in one place"},
		{"harness/lab", module + "cmd/lbd", "the harness is a stranger"},
	}
	for _, tt := range tests {
		var broken []string
		for _, r := range rules() {
			if r.binds(tt.pkg) && r.forbids(tt.pkg, tt.path) {
				broken = append(broken, r.name)
			}
		}
		if (tt.broken == "" && len(broken) > 0) || (tt.broken != "" && !slices.Contains(broken, tt.broken)) {
			t.Errorf("%s imports %s: broke %q, want %q", tt.pkg, tt.path, broken, tt.broken)
		}
	}
}

func TestPurePackagesOwnNoClock(t *testing.T) {
	t.Parallel()
	sources := readModule(t)
	for _, r := range rules() {
		if !r.clockless {
			continue
		}
		for _, s := range sources {
			if !r.binds(s.pkg) || (s.test && !r.tests) {
				continue
			}
			for _, n := range clocksIn(s.syntax) {
				t.Errorf("%s looks at a clock, but %s: %s", s.at(n), r.name, r.reason)
			}
		}
	}
}

// clocksIn returns the places where a file uses a clock of package time, under
// whatever name it imports it.
func clocksIn(f *ast.File) []ast.Node {
	var found []ast.Node
	name := ""
	for _, i := range f.Imports {
		if i.Path.Value != `"time"` {
			continue
		}
		name = "time"
		if i.Name != nil {
			name = i.Name.Name
		}
		if name == "." {
			found = append(found, i) // nobody could tell its names from others
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && name != "" {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == name && slices.Contains(clocks, s.Sel.Name) {
				found = append(found, n)
			}
		}
		return true
	})
	return found
}

func TestClockRuleBites(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]int{
		`import "time"; var x = time.Now()`:                                    1,
		`import clock "time"; var x = clock.Since(clock.Time{})`:               1,
		`import "time"; var x = time.Now`:                                      1, // as a value
		`import "time"; func f() { <-time.After(1); <-time.NewTimer(1).C }`:    2,
		`import . "time"; var x = Now()`:                                       1,
		`import "time"; func f(t time.Time) time.Time { return t.Add(1) }`:     0,
		`import "time"; func f(t time.Time) bool { return t.After(t) }`:        0, // a comparison
		`import "time"; const second = time.Second; var d = time.Unix(0, 0)`:   0,
		`import "example.org/time"; var x = time.Now()`:                        0,
		`import clock "time"; type T struct{}; var time T; var x = time.Now()`: 0,
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x; "+code, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(clocksIn(f)); got != want {
			t.Errorf("%s: %d clocks, want %d", code, got, want)
		}
	}
	bound := map[string]bool{}
	for _, r := range rules() {
		for _, pkg := range r.from {
			bound[pkg] = bound[pkg] || r.clockless && r.std != nil
		}
	}
	for _, pkg := range []string{"appliance/lb", "appliance/internal/plan", "appliance/internal/ha", "harness/topo", "harness/verdict"} {
		if !bound[pkg] {
			t.Errorf("%s may own a clock", pkg)
		}
	}
}

func TestOneCommentPerPackage(t *testing.T) {
	t.Parallel()
	comments := map[string][]string{}
	for _, s := range readModule(t) {
		if s.test || s.generated {
			continue
		}
		if comments[s.pkg] == nil {
			comments[s.pkg] = []string{} // counted even without a comment
		}
		if doc := s.syntax.Doc; doc != nil && strings.TrimSpace(doc.Text()) != "" {
			comments[s.pkg] = append(comments[s.pkg], s.path)
		}
	}
	for pkg, files := range comments {
		if len(files) != 1 {
			t.Errorf("%s has %d package comments %v: write exactly one", pkg, len(files), files)
		}
	}
}

func TestNoInitAndNoSleep(t *testing.T) {
	t.Parallel()
	for _, s := range readModule(t) {
		if s.generated {
			continue
		}
		ast.Inspect(s.syntax, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv == nil && n.Name.Name == "init" {
					t.Errorf("%s: init function: do it where it is needed, in New", s.at(n))
				}
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && n.Sel.Name == "Sleep" {
					t.Errorf("%s: time.Sleep: wait for a condition, a channel, a ticker or ctx", s.at(n))
				}
			}
			return true
		})
	}
}

func TestExportsAreDocumented(t *testing.T) {
	t.Parallel()
	for _, s := range readModule(t) {
		if s.test || s.generated || s.syntax.Name.Name == "main" {
			continue
		}
		for _, d := range s.syntax.Decls {
			for _, missing := range undocumented(d) {
				t.Errorf("%s: exported %s has no comment", s.at(d), missing)
			}
		}
	}
}

// undocumented returns the exported names of a declaration that nobody explains. A
// comment on a group covers its members.
func undocumented(d ast.Decl) []string {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
			return []string{d.Name.Name}
		}
	case *ast.GenDecl:
		if d.Tok == token.IMPORT || d.Doc != nil {
			return nil
		}
		var names []string
		for _, spec := range d.Specs {
			names = append(names, undocumentedSpec(spec)...)
		}
		return names
	}
	return nil
}

func undocumentedSpec(spec ast.Spec) []string {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		if spec.Name.IsExported() && spec.Doc == nil && spec.Comment == nil {
			return []string{spec.Name.Name}
		}
	case *ast.ValueSpec:
		if spec.Doc != nil || spec.Comment != nil {
			return nil
		}
		var names []string
		for _, n := range spec.Names {
			if n.IsExported() {
				names = append(names, n.Name)
			}
		}
		return names
	}
	return nil
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return true
	}
	typ := d.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	name, ok := typ.(*ast.Ident)
	return !ok || name.IsExported()
}

// maxLines is the hard stop of design section 6; test tables may be longer.
const maxLines = 500

func TestFilesAreReadable(t *testing.T) {
	t.Parallel()
	for _, s := range readModule(t) {
		if !s.test && !s.generated && s.lines > maxLines {
			t.Errorf("%s has %d lines, the limit is %d: split it by noun", s.path, s.lines, maxLines)
		}
	}
}
