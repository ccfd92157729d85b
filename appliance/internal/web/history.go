package web

import "github.com/vosbed/vosbed/appliance/api"

const historyTitle = "Configuration History"

type historyData struct {
	Admin     bool
	Tag       string // of the draft, which a revert replaces
	Revisions []api.Revision
}

// history lists the configurations that were in force.
func (v *visit) history() error {
	all, err := v.api.History(v.ctx())
	if err != nil {
		return err
	}
	d, err := v.api.Draft(v.ctx())
	if err != nil {
		return err
	}
	return v.page("history", historyTitle, historyData{v.may(api.RoleAdmin), d.Tag, all})
}

// revert takes a former configuration as draft: it is looked at before it is applied.
func (v *visit) revert() error {
	if err := v.api.Revert(v.ctx(), v.form("tag"), v.form("number")); err != nil {
		return v.refused(historyTitle, Root+"history", err)
	}
	return v.goTo(Root + "history")
}

type revisionData struct{ Number, YAML string }

func (revisionData) under() string { return "history" }

// revision shows the text of one.
func (v *visit) revision() error {
	number := v.r.PathValue("number")
	yaml, err := v.api.Revision(v.ctx(), number)
	if err != nil {
		return err
	}
	return v.page("text", "Configuration "+number, revisionData{number, string(yaml)})
}

// revisionFile is the same as a file.
func (v *visit) revisionFile() error {
	yaml, err := v.api.Revision(v.ctx(), v.r.PathValue("number"))
	if err != nil {
		return err
	}
	v.download("application/yaml", "vosbed-revision.yaml")
	_, err = v.w.Write(yaml)
	return ignoreGone(err)
}
