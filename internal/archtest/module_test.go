package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// source is one Go file of the module.
type source struct {
	pkg       string // folder from the module's root, with slashes
	path      string // file from the module's root
	test      bool
	generated bool
	lines     int
	syntax    *ast.File
	fset      *token.FileSet
}

// at returns "file:line" of a node.
func (s source) at(n ast.Node) string {
	return s.path + ":" + strconv.Itoa(s.fset.Position(n.Pos()).Line)
}

func (s source) imports() []string {
	paths := make([]string, 0, len(s.syntax.Imports))
	for _, i := range s.syntax.Imports {
		path, err := strconv.Unquote(i.Path.Value)
		if err == nil {
			paths = append(paths, path)
		}
	}
	return paths
}

// readModule parses every Go file of the module: whatever its build tags, tests
// included, fixtures in testdata and foreign modules excluded.
func readModule(t *testing.T) []source {
	t.Helper()
	root := moduleRoot(t)
	var all []source
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != root && skipDir(path, d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) == ".go" {
			all = append(all, readSource(t, root, path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("only %d Go files below %s: the walk is broken", len(all), root)
	}
	return all
}

func skipDir(path, name string) bool {
	if strings.HasPrefix(name, ".") || name == "testdata" || name == "out" || name == "bin" {
		return true
	}
	_, err := os.Stat(filepath.Join(path, "go.mod"))
	return err == nil
}

func moduleRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
	}
	t.Fatal("no go.mod above this folder")
	return ""
}

func readSource(t *testing.T, root, path string) source {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	rel, err := filepath.Rel(root, path)
	if err != nil {
		t.Fatal(err)
	}
	return source{
		pkg: filepath.ToSlash(filepath.Dir(rel)), path: filepath.ToSlash(rel),
		test: strings.HasSuffix(path, "_test.go"), generated: ast.IsGenerated(file),
		lines: strings.Count(string(text), "\n"), syntax: file, fset: fset,
	}
}
