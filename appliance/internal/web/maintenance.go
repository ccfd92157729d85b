package web

import (
	"net/http"

	"github.com/vosbed/vosbed/appliance/api"
)

const groupMaintenance = "Maintenance"

// maintenanceScreens is the group Maintenance of the menu.
func maintenanceScreens() []screen {
	return []screen{
		{"restart", Root + "restart", groupMaintenance, "Restart Services", api.RoleAdmin, (*visit).restart},
		{"history", Root + "history", groupMaintenance, "Configuration History", api.RoleAuditor, (*visit).history},
		{"passwords", Root + "passwords", groupMaintenance, "Passwords", api.RoleAuditor, (*visit).passwords},
		{"sessions", Root + "sessions", groupMaintenance, "Sessions", api.RoleAuditor, (*visit).sessions},
	}
}

// viewScreens are the groups View Configuration and Logs.
func viewScreens() []screen {
	return []screen{
		{name: "configuration", path: Root + "configuration", title: "View Configuration", role: api.RoleAuditor, show: (*visit).configuration},
		{"audit", Root + "audit", "Logs", "Audit Log", api.RoleAuditor, (*visit).audit},
	}
}

// maintenanceRoutes are what these screens do.
func maintenanceRoutes() []route {
	get, post := http.MethodGet, http.MethodPost
	return []route{
		{method: post, path: Root + "restart", serve: (*visit).reload},
		{method: post, path: Root + "history/revert", serve: (*visit).revert},
		{method: get, path: Root + "history/{number}", serve: (*visit).revision},
		{method: post, path: Root + "passwords/own", serve: (*visit).ownPassword},
		{method: post, path: Root + "passwords/account", serve: (*visit).setAccount},
		{method: post, path: Root + "passwords/remove", serve: (*visit).removeAccount},
		{method: post, path: Root + "sessions/end", serve: (*visit).endSession},
		{method: get, path: Root + "configuration.yaml", serve: (*visit).configurationFile},
		{method: get, path: Root + "audit.csv", serve: (*visit).auditFile},
		{method: post, path: Root + "confirm", serve: (*visit).confirm},
	}
}

// restartData says whether anything is pending.
type restartData struct{ Pending bool }

func (v *visit) restart() error {
	d, err := v.api.Draft(v.ctx())
	if err != nil {
		return err
	}
	return v.page("restart", "Restart Services", restartData{len(d.Changes) > 0})
}

// reload applies what is pending, as guide 10.3 says, or reads the file again.
func (v *visit) reload() error {
	d, err := v.api.Draft(v.ctx())
	if err != nil {
		return err
	}
	if len(d.Changes) > 0 {
		err = v.api.Apply(v.ctx(), d.Tag, "")
	} else {
		err = v.api.Reload(v.ctx())
	}
	if err != nil {
		return err
	}
	return v.goTo(Root)
}
