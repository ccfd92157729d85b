package archtest

import (
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// starters are the only files of the appliance that may start a program, and this one is
// always the program itself, as another process.
var starters = []string{"appliance/internal/front/handle.go", "appliance/internal/front/main.go", "appliance/internal/sentinel/handle.go"}

// helpers are the files that may start a program of the machine's, with arguments that are
// written there and come from nobody.
var helpers = []string{"appliance/internal/system/chronyc.go"}

// ofTheAppliance says whether a file is of what runs on an appliance.
func (s source) ofTheAppliance() bool {
	return !s.test && (strings.HasPrefix(s.pkg, "appliance") || s.pkg == "cmd/lbd" || s.pkg == "cmd/lbctl")
}

// TestNoShell: nothing that a person writes can become a command, as the appliance starts
// no program but itself, and chronyc with fixed arguments.
func TestNoShell(t *testing.T) {
	t.Parallel()
	looked := 0
	for _, s := range readModule(t) {
		if !s.ofTheAppliance() {
			continue
		}
		looked++
		for _, at := range shellsIn(s.syntax) {
			t.Errorf("%s names a shell", s.at(at))
		}
		if slices.Contains(helpers, s.path) {
			for _, at := range variableArguments(s.syntax) {
				t.Errorf("%s gives a program arguments that are not written here", s.at(at))
			}
			continue
		}
		if slices.Contains(s.imports(), "os/exec") && !slices.Contains(starters, s.path) {
			t.Errorf("%s imports os/exec: the appliance starts no program but itself (%s)", s.path, strings.Join(starters, ", "))
		}
		for _, at := range startsIn(s.syntax) {
			if !slices.Contains(starters, s.path) {
				t.Errorf("%s starts a program: the appliance starts none but itself", s.at(at))
			}
		}
		if slices.Contains(starters, s.path) && !namesItself(s.syntax) {
			t.Errorf("%s starts something else than itself", s.path)
		}
	}
	if looked < 100 {
		t.Errorf("only %d files were looked at: was a folder renamed?", looked)
	}
}

// startsIn are the functions that start a program.
func startsIn(f *ast.File) []ast.Node {
	var found []ast.Node
	ast.Inspect(f, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := s.X.(*ast.Ident)
		if ok && slices.Contains([]string{"os.StartProcess", "syscall.Exec", "syscall.ForkExec", "syscall.StartProcess", "unix.Exec", "exec.Command", "exec.CommandContext"}, x.Name+"."+s.Sel.Name) {
			found = append(found, n)
		}
		return true
	})
	return found
}

// variableArguments are the arguments of programs, after context and program, that are no
// constant texts.
func variableArguments(f *ast.File) []ast.Node {
	var found []ast.Node
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if s, ok := call.Fun.(*ast.SelectorExpr); !ok || s.Sel.Name != "CommandContext" {
			return true
		}
		for _, arg := range call.Args[2:] {
			if l, ok := arg.(*ast.BasicLit); !ok || l.Kind != token.STRING {
				found = append(found, arg)
			}
		}
		return true
	})
	return found
}

// texts calls f for every text in a file.
func texts(file *ast.File, f func(*ast.BasicLit, string)) {
	ast.Inspect(file, func(n ast.Node) bool {
		if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
			if text, err := strconv.Unquote(l.Value); err == nil {
				f(l, text)
			}
		}
		return true
	})
}

func shellsIn(file *ast.File) []ast.Node {
	var found []ast.Node
	texts(file, func(l *ast.BasicLit, text string) {
		program := text[strings.LastIndex(text, "/")+1:]
		if slices.Contains([]string{"sh", "bash", "dash", "busybox"}, program) {
			found = append(found, l)
		}
	})
	return found
}

func namesItself(file *ast.File) bool {
	itself := false
	texts(file, func(_ *ast.BasicLit, text string) { itself = itself || text == "/proc/self/exe" })
	ast.Inspect(file, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		itself = itself || ok && s.Sel.Name == "Executable"
		return true
	})
	return itself
}

// TestSecurityTable holds docs/security.md against the tests that it names.
func TestSecurityTable(t *testing.T) {
	t.Parallel()
	there := map[string]bool{}
	for _, s := range readModule(t) {
		for _, d := range s.syntax.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && s.test && f.Recv == nil {
				there[f.Name.Name] = true
			}
		}
	}
	text, err := os.ReadFile(filepath.Join(moduleRoot(t), "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w*`).FindAllString(string(text), -1)
	if len(named) < 50 {
		t.Errorf("the table names %d tests", len(named))
	}
	for _, name := range named {
		if !there[name] {
			t.Errorf("docs/security.md names %s: there is no such test", name)
		}
	}
}
