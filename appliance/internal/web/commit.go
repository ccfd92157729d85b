package web

import (
	"net/http"
	"strings"
)

// trialTime is the guide to "Apply with 60-second auto-rollback".
const trialTime = "60s"

// Heartbeat reports whether pending changes concern the pair, Services whether they
// concern what is served: the button that applies them bears the guide's word.
func (f frame) Heartbeat() bool {
	for _, c := range f.Draft.Changes {
		if strings.HasPrefix(c.Path, "cluster/") || strings.HasPrefix(c.Path, "node/") {
			return true
		}
	}
	return false
}

// commit does what the buttons of the box say.
func (v *visit) commit() error {
	var err error
	switch v.r.PathValue("what") {
	case "apply":
		err = v.api.Apply(v.ctx(), v.form("tag"), "")
	case "try":
		err = v.api.Apply(v.ctx(), v.form("tag"), trialTime)
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
	if err != nil {
		return err
	}
	return v.goTo(local(v.form("back")))
}
