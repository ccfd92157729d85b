package web

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// module is a Go module that is part of lbd or lbctl.
type module struct{ path, version, dir string }

// builtIn lists them, and the standard library, which is linked in too.
func builtIn(t *testing.T) []module {
	t.Helper()
	out := []module{{"Go, its standard library", "", goTool(t, "env", "GOROOT")}}
	const fields = "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}{{end}}"
	for line := range strings.Lines(goTool(t, "list", "-deps", "-f", fields, "../../../cmd/lbd", "../../../cmd/lbctl")) {
		if f := strings.Split(strings.TrimSpace(line), "\t"); len(f) == 3 {
			out = append(out, module{f[0], f[1], f[2]})
		}
	}
	slices.SortFunc(out[1:], func(a, b module) int { return strings.Compare(a.path, b.path) })
	return slices.Compact(out)
}

func goTool(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Env = append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0")
	said, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(said))
}

// texts are a module's licence and notices, as it was published.
func (m module) texts(t *testing.T) (license, notice string) {
	t.Helper()
	for _, name := range []string{"LICENSE", "LICENSE.txt", "LICENSE.md", "license", "NOTICE"} {
		data, err := os.ReadFile(filepath.Join(m.dir, name))
		if err != nil {
			continue
		}
		if text := strings.TrimSpace(string(data)) + "\n"; name == "NOTICE" {
			notice = text
		} else {
			license = text
		}
	}
	return license, notice
}

// licenseKind is what everybody calls a licence.
func licenseKind(text string) string {
	for _, k := range [][2]string{
		{"Apache License", "Apache-2.0"}, {"Neither the name", "BSD-3-Clause"}, {"Permission is hereby granted", "MIT"},
	} {
		if strings.Contains(text, k[0]) {
			return k[1]
		}
	}
	return ""
}

// TestLicensesOfModules holds the files of the License Key page to the modules that the
// programs are built of. UPDATE_GOLDEN=1 writes them.
func TestLicensesOfModules(t *testing.T) {
	t.Parallel()
	var list, all bytes.Buffer
	known := map[string][]string{} // modules by the text of their licence
	var order []string
	for _, m := range builtIn(t) {
		license, notice := m.texts(t)
		name := licenseKind(license)
		if name == "" {
			t.Errorf("%s: what is its licence? (%s)", m.path, m.dir)
		}
		fmt.Fprintf(&list, "%s\t%s\t%s\n", m.path, m.version, name)
		if known[license] == nil {
			order = append(order, license)
		}
		known[license] = append(known[license], m.path)
		if notice != "" {
			fmt.Fprintf(&all, "NOTICE of %s\n\n%s\n%s\n", m.path, notice, strings.Repeat("=", 80))
		}
	}
	for _, text := range order {
		fmt.Fprintf(&all, "Licence of %s\n\n%s\n%s\n", strings.Join(known[text], ", "), text, strings.Repeat("=", 80))
	}
	for name, want := range map[string][]byte{"modules.txt": list.Bytes(), "texts.txt": all.Bytes()} {
		path := filepath.Join("licenses", name)
		if os.Getenv("UPDATE_GOLDEN") != "" {
			if err := os.WriteFile(path, want, 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if have, err := embedded.ReadFile(path); err != nil || !bytes.Equal(have, want) {
			t.Errorf("%s is not of the modules that are built in (%v): UPDATE_GOLDEN=1 go test -run Licenses writes it", path, err)
		}
	}
}
