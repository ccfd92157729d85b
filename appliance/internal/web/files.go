package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed all:templates static licenses
var embedded embed.FS

// files are the style sheets, scripts and licences, served under names that carry their
// hash: a browser keeps them for good, and a new version has new names.
type files struct {
	byName map[string]string // "components.css" -> "components.1a2b3c4d.css"
	byPath map[string]asset
}

type asset struct {
	kind string
	data []byte
}

func loadFiles() (files, error) {
	f := files{map[string]string{}, map[string]asset{}}
	err := fs.WalkDir(embedded, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := embedded.ReadFile(name)
		if err != nil {
			return err
		}
		name = strings.TrimPrefix(name, "static/")
		sum := sha256.Sum256(data)
		ext := path.Ext(name)
		hashed := strings.TrimSuffix(name, ext) + "." + hex.EncodeToString(sum[:4]) + ext
		f.byName[name] = Root + "static/" + hashed
		f.byPath[Root+"static/"+hashed] = asset{mime.TypeByExtension(ext), data}
		return nil
	})
	if err != nil {
		return files{}, fmt.Errorf("read the embedded files: %w", err)
	}
	return f, nil
}

// Path returns where a file is, for templates.
func (f files) Path(name string) (string, error) {
	at, ok := f.byName[name]
	if !ok {
		return "", fmt.Errorf("there is no static file %q", name)
	}
	return at, nil
}

// ServeHTTP serves a file by its path with the hash.
func (f files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, ok := f.byPath[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("Content-Type", a.kind)
	_, _ = w.Write(a.data)
}

// views are the templates: the frame and one per screen, which may use all partials.
type views map[string]*template.Template

// parseViews reads templates/*.html; those whose name begins with _ are partials.
func parseViews(f files) (views, error) {
	names, err := fs.Glob(embedded, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("list the templates: %w", err)
	}
	base := template.New("").Funcs(helpers(f))
	var own []string
	for _, name := range names {
		if !strings.HasPrefix(path.Base(name), "_") {
			own = append(own, name)
			continue
		}
		if _, err := base.ParseFS(embedded, name); err != nil {
			return nil, fmt.Errorf("parse %s: %w", name, err)
		}
	}
	out := views{}
	for _, name := range own {
		t, err := base.Clone()
		if err == nil {
			_, err = t.ParseFS(embedded, name)
		}
		if err != nil {
			return nil, fmt.Errorf("parse %s: %w", name, err)
		}
		out[strings.TrimSuffix(path.Base(name), ".html")] = t
	}
	return out, nil
}

// render writes a whole page: templates/_frame.html, which shows the block "screen".
// Screens of the two layers share a template: services4 and services7 are services.
func (v views) render(w io.Writer, screen string, f frame) error {
	return v.fragment(w, strings.TrimRight(screen, "47"), "_frame.html", f)
}

// fragment writes one named block of a screen.
func (v views) fragment(w io.Writer, screen, block string, f frame) error {
	t, ok := v[screen]
	if !ok {
		return fmt.Errorf("there is no template %q", screen)
	}
	return t.ExecuteTemplate(w, block, f)
}
