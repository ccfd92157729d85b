package web

import (
	"net/http"
	"strings"

	"github.com/vosbed/vosbed/appliance/api"
)

// supportScreens is the menu item Support (guide 9.3.1).
func supportScreens() []screen {
	return []screen{{name: "support", path: Root + "support", title: "Support", role: api.RoleAuditor, show: (*visit).support}}
}

func supportRoutes() []route {
	return []route{{method: http.MethodGet, path: Root + "support.tar.gz", serve: (*visit).supportFile}}
}

// supportData is the page of the diagnostic checks.
type supportData struct {
	api.SupportChecks

	Admin bool
}

// Mark is a verdict as icon, word and colour.
func (supportData) Mark(verdict string) mark {
	switch verdict {
	case api.CheckOK:
		return mark{"✔", "OK", "good"}
	case api.CheckWarning:
		return mark{"▲", "Warning", "warn"}
	case api.CheckNotApplicable:
		return mark{"–", "Not applicable", "muted"}
	}
	return mark{"✖", "Failed", "bad"}
}

// mark is an icon with its word and the class of its colour.
type mark struct{ Icon, Word, Class string }

// Open says that a branch has something to do, so that it is unfolded.
func (supportData) Open(g api.SupportGroup) bool {
	return g.Verdict != api.CheckOK && g.Verdict != api.CheckNotApplicable
}

// Summary counts the checks of a branch by verdict, in words.
func (d supportData) Summary(g api.SupportGroup) string {
	count := map[string]int{}
	for _, c := range g.Checks {
		count[d.Mark(c.Verdict).Word]++
	}
	var out []string
	for _, word := range []string{"Failed", "Warning", "OK", "Not applicable"} {
		if n := count[word]; n > 0 {
			out = append(out, plural(n, strings.ToLower(word), strings.ToLower(word)))
		}
	}
	return strings.Join(out, ", ")
}

func (v *visit) support() error {
	checks, err := v.api.SupportChecks(v.ctx())
	if err != nil {
		return err
	}
	return v.page("support", "Support", supportData{checks, v.may(api.RoleAdmin)})
}

// supportFile hands on the archive while it is made.
func (v *visit) supportFile() error {
	to := &fileWriter{v: v, kind: "application/gzip", name: "vosbed-support-" + v.opts.Now().UTC().Format("20060102-150405") + ".tar.gz"}
	err := v.api.SupportArchive(v.ctx(), to)
	if to.begun {
		if err != nil {
			v.opts.Logger.WarnContext(v.ctx(), "a support download broke off", "err", err)
		}
		return nil
	}
	return err
}

// fileWriter makes the answer a file with the first byte, so that until then it can be
// a page that says what is in the way.
type fileWriter struct {
	v          *visit
	kind, name string
	begun      bool
}

// Write passes on.
func (f *fileWriter) Write(p []byte) (int, error) {
	if !f.begun {
		f.begun = true
		f.v.download(f.kind, f.name)
	}
	return f.v.w.Write(p)
}
