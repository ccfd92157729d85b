package web

import (
	"net/http"

	"github.com/vosbed/vosbed/appliance/api"
)

const (
	updatePath  = Root + "update"
	updateTitle = "Software Update"
)

// updateRoutes are what the screen does (guide 9.4).
func updateRoutes() []route {
	return []route{
		{method: http.MethodGet, path: offlinePath, serve: (*visit).offlineUpdate},
		{method: http.MethodPost, path: offlinePath, serve: (*visit).uploadUpdate},
		{method: http.MethodPost, path: updatePath + "/restart", serve: (*visit).restartIntoUpdate},
		{method: http.MethodPost, path: updatePath + "/back", serve: (*visit).updateBack},
	}
}

// updateData is what is installed.
type updateData struct {
	Update *api.Update // nil = this installation is not updated here
	Why    string      // it is not
	Online api.OnlineUpdate
	Server editor // where newer versions are looked for
	Admin  bool
}

// Tries is how often a slot's version is still tried, "" where nothing is tried.
func (updateData) Tries(s api.UpdateSlot) string {
	if s.Version == "" || s.Proven {
		return ""
	}
	return plural(s.TriesLeft, "start", "starts")
}

func (v *visit) update() error { return v.updatePage(editor{}, formError{}) }

// updatePage shows the screen; an editor without sections is one that was not sent.
func (v *visit) updatePage(server editor, wrong formError) error {
	d := updateData{Admin: v.may(api.RoleAdmin)}
	u, err := v.api.Update(v.ctx())
	switch p, ok := asProblem(err); {
	case err == nil:
		d.Update = &u
	case ok && p.Status == http.StatusConflict:
		d.Why = p.Detail
	default:
		return err
	}
	if d.Update != nil {
		if d.Online, err = v.api.OnlineUpdate(v.ctx()); err != nil {
			return err
		}
		if d.Server, err = v.serverForm(server); err != nil {
			return err
		}
		d.Server.place(wrong)
	}
	return v.show(wrong.status(), "update", updateTitle, d)
}

// restartIntoUpdate starts the version that was installed.
func (v *visit) restartIntoUpdate() error {
	u, err := v.api.Update(v.ctx())
	if err == nil {
		err = v.api.RestartIntoUpdate(v.ctx())
	}
	if err != nil {
		return v.refused(updateTitle, updatePath, err)
	}
	return v.page("restarting", updateTitle, restartingData{u.Restart, true})
}

// updateBack gives up what was installed.
func (v *visit) updateBack() error {
	u, err := v.api.Update(v.ctx())
	if err != nil {
		return v.refused(updateTitle, updatePath, err)
	}
	came, err := v.api.UpdateBack(v.ctx())
	switch {
	case err != nil:
		return v.refused(updateTitle, updatePath, err)
	case came.Restarts:
		return v.page("restarting", updateTitle, restartingData{u.Back, false})
	}
	return v.goTo(updatePath)
}

// restartingData is the version that the machine restarts into, and whether it is new.
type restartingData struct {
	Version string
	New     bool
}

func (restartingData) under() string { return "update" }
