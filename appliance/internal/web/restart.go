package web

const restartTitle = "Restart Services"

// restartData are the buttons; Tag is the draft that the person saw, "" = nothing is
// pending.
type restartData struct {
	Words []string
	Tag   string
}

func (v *visit) restart() error {
	d, err := v.api.Draft(v.ctx())
	if err != nil {
		return err
	}
	out := restartData{Words: []string{reloadProxy, restartHeartbeat}}
	if len(d.Changes) > 0 {
		out.Tag = d.Tag
	}
	return v.page("restart", restartTitle, out)
}

// reload applies what is pending, as guide 10.3 says. Where nothing was, the
// configuration file is read again.
func (v *visit) reload() error {
	var err error
	if tag := v.form("tag"); tag != "" {
		err = v.api.Apply(v.ctx(), tag, "")
	} else {
		err = v.api.Reload(v.ctx())
	}
	if err != nil {
		return v.refused(restartTitle, Root+"restart", err)
	}
	return v.goTo(Root) // where it shows whether all is well (guide 11.2)
}
