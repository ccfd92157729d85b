package web

import "github.com/vosbed/vosbed/appliance/api"

const sessionsPath = Root + "sessions"

type sessionsData struct{ Sessions []sessionItem }

// sessionItem is a session in the list.
type sessionItem struct {
	api.Session
	RowID string
}

// sessions lists who is logged in: an admin sees all, others their own.
func (v *visit) sessions() error {
	all, err := v.api.Sessions(v.ctx())
	if err != nil {
		return err
	}
	var d sessionsData
	for i, s := range all {
		d.Sessions = append(d.Sessions, sessionItem{s, rowID(i)})
	}
	return v.page("sessions", "Sessions", d)
}

func (v *visit) endSession() error {
	if err := v.api.Revoke(v.ctx(), v.form("id")); err != nil {
		return v.refused("The session goes on", sessionsPath, err)
	}
	return v.goTo(sessionsPath)
}
