package web

import (
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
)

// trialTime is that of "Apply with 60-second auto-rollback".
const trialTime = "60s"

// Words of the buttons that apply the pending changes (guide 10.3 and 14.1.2).
const (
	reloadProxy      = "Reload HAProxy"
	restartHeartbeat = "Restart Heartbeat"
	applyChanges     = "Apply changes"
)

// ApplyWords are the words on the buttons of the box that apply the pending changes: as
// the guide has it, each names what the changes concern. All of them apply everything.
func (f frame) ApplyWords() []string {
	var out []string
	if f.Draft.TrialOnly {
		return nil
	}
	if slices.ContainsFunc(f.Draft.Changes, f.proxied) {
		out = append(out, reloadProxy)
	}
	if slices.ContainsFunc(f.Draft.Changes, func(c api.Change) bool {
		return strings.HasPrefix(c.Path, "cluster/") || strings.HasPrefix(c.Path, "node/") && !strings.HasPrefix(c.Path, "node/system.")
	}) {
		out = append(out, restartHeartbeat)
	}
	if len(out) == 0 {
		out = append(out, applyChanges)
	}
	return out
}

// Trials reports whether the pending changes can be tried: a pair cannot be made on trial.
func (f frame) Trials() bool {
	return !slices.ContainsFunc(f.Draft.Changes, func(c api.Change) bool { return c.Path == "cluster/paired" })
}

// proxied reports whether a change is of a layer-7 service.
func (f frame) proxied(c api.Change) bool {
	rest, ok := strings.CutPrefix(c.Path, "services/")
	name, _, _ := strings.Cut(rest, "/")
	return ok && slices.Contains(f.Proxied, name)
}

// proxiedServices are the layer-7 services, in force or pending.
func (v *visit) proxiedServices(st *api.Status) []string {
	var out []string
	if st != nil {
		for _, s := range st.Services {
			if s.Layer == "7" {
				out = append(out, s.Name)
			}
		}
	}
	pending, err := v.api.DraftServices(v.ctx())
	if err != nil { // the words on the buttons are worth no error page
		return out
	}
	for _, s := range pending {
		if s.Fields["layer"] == "7" {
			out = append(out, s.Fields["name"])
		}
	}
	return out
}

// Left is how long a configuration stays on trial, in words.
func (f frame) Left() string {
	left := max(0, f.Draft.Trial.Until.Sub(f.Now)).Round(time.Second)
	return plural(int(left.Seconds()), "second", "seconds")
}

// commit does what the buttons of the box say.
func (v *visit) commit() error {
	var err error
	switch v.r.PathValue("what") {
	case "apply":
		err = v.api.Apply(v.ctx(), v.form("tag"), "")
	case "try":
		links := v.moves()
		if err = v.api.Apply(v.ctx(), v.form("tag"), trialTime); err == nil && len(links) > 0 {
			return v.page("moved", "The WebUI has moved", movedData{links})
		}
	case "discard":
		err = v.api.Discard(v.ctx(), v.form("tag"))
	case "keep":
		err = v.api.Keep(v.ctx())
	case "undo":
		err = v.api.Undo(v.ctx())
	default:
		v.fail(http.StatusNotFound, "There is no such button.")
		return nil
	}
	back := v.backTo(local(v.form("back")))
	if err != nil {
		return v.refused("Commit changes", back, err)
	}
	return v.goTo(back)
}

// refusedData says why something was not done.
type refusedData struct {
	Errors []string
	Back   string
}

// refused shows why an action was refused that has no form of its own.
func (v *visit) refused(title, back string, err error) error {
	refused, ok := fieldErrors(err)
	if !ok {
		return err
	}
	texts := refused.General
	for _, text := range refused.Fields {
		texts = append(texts, text)
	}
	slices.Sort(texts[min(1, len(texts)):]) // the first tells what the others are about
	return v.show(refused.Status, "refused", title, refusedData{texts, back})
}

// backTo is the page that a path leads back to: itself, or, if it only takes forms, the
// page above it.
func (v *visit) backTo(target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return Root
	}
	for at := u.Path; at != "/" && at != "."; at = path.Dir(at) {
		if !v.isPage(at) {
			continue
		}
		if at == u.Path {
			return u.RequestURI()
		}
		return at
	}
	return Root
}

func (v *visit) isPage(at string) bool {
	return slices.ContainsFunc(v.routes(), func(r route) bool {
		return r.method == http.MethodGet && r.path == exact(at) && !r.background
	})
}
