package config_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/vosbed/vosbed/appliance/config"
)

// TestMistakes reads one archive per mistake: the part "config.yaml" is the file,
// "errors" is the whole message that people see. Run with -update to write the
// messages anew, then read the difference.
func TestMistakes(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/mistakes/*.txtar")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d archives, %v", len(files), err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := config.Parse("config.yaml", archive.Files[0].Data)
			if err == nil {
				t.Fatalf("no error, but %+v", cfg)
			}
			if cfg.Node.Name != "" || len(cfg.Services) != 0 {
				t.Error("a file with a mistake yields nothing")
			}
			got := err.Error() + "\n"
			if *update {
				archive.Files = append(archive.Files[:1], txtar.File{Name: "errors", Data: []byte(got)})
				if err := os.WriteFile(path, txtar.Format(archive), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(archive.Files[1].Data), got); diff != "" {
				t.Fatalf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

var update = flag.Bool("update", false, "write the expected messages anew")
