package web

import (
	"net/http"
	"slices"

	"github.com/vosbed/vosbed/appliance/api"
)

const groupMaintenance = "Maintenance"

// maintenanceScreens is the group Maintenance of the menu.
func maintenanceScreens() []screen {
	return []screen{
		{"restart", Root + "restart", groupMaintenance, "Restart Services", api.RoleAdmin, (*visit).restart},
		{"backup", Root + "backup", groupMaintenance, "Backup & Restore", api.RoleAuditor, (*visit).backup},
		{"update", updatePath, groupMaintenance, updateTitle, api.RoleAuditor, (*visit).update},
		{"fallback", fallbackPath, groupMaintenance, fallbackTitle, api.RoleAuditor, (*visit).fallback},
		{"history", Root + "history", groupMaintenance, "Configuration History", api.RoleAuditor, (*visit).history},
		{"passwords", Root + "passwords", groupMaintenance, "Passwords", api.RoleAuditor, (*visit).passwords},
		{"tokens", tokensPath, groupMaintenance, tokensTitle, api.RoleAdmin, (*visit).tokens},
		{"sessions", Root + "sessions", groupMaintenance, "Sessions", api.RoleAuditor, (*visit).sessions},
	}
}

// viewScreens are View Configuration and the groups Reports and Logs.
func viewScreens() []screen {
	return slices.Concat([]screen{
		{name: "configuration", path: Root + "configuration", title: "View Configuration", role: api.RoleAuditor, show: (*visit).configuration},
	}, reportScreens(), logScreens())
}

// logScreens is the group Logs of the menu.
func logScreens() []screen {
	return []screen{
		{"logs", Root + "logs", "Logs", "Load Balancer Log", api.RoleAuditor, (*visit).logs},
		{"audit", Root + "audit", "Logs", "Audit Log", api.RoleAuditor, (*visit).audit},
	}
}

// maintenanceRoutes are what these screens do.
func maintenanceRoutes() []route {
	get, post := http.MethodGet, http.MethodPost
	return []route{
		{method: post, path: Root + "restart", serve: (*visit).reload},
		{method: get, path: Root + "backup.tar.gz", serve: (*visit).backupFile},
		{method: get, path: sealedPath, serve: (*visit).sealedBackup},
		{method: post, path: sealedPath, serve: (*visit).makeSealed},
		{method: post, path: Root + "backup/restore", serve: (*visit).restore},
		{method: post, path: Root + "history/revert", serve: (*visit).revert},
		{method: get, path: Root + "history/{number}", serve: (*visit).revision},
		{method: get, path: Root + "history/{number}/file", serve: (*visit).revisionFile},
		{method: post, path: Root + "passwords/own", serve: (*visit).ownPassword},
		{method: post, path: Root + "passwords/account", serve: (*visit).setAccount},
		{method: post, path: Root + "passwords/remove", serve: (*visit).removeAccount},
		{method: post, path: Root + "sessions/end", serve: (*visit).endSession},
		{method: get, path: Root + "configuration.yaml", serve: (*visit).configurationFile},
		{method: get, path: logsStreamPath, serve: (*visit).logsStream, background: true},
		{method: get, path: Root + "logs.txt", serve: (*visit).logsFile},
		{method: get, path: Root + "audit.csv", serve: (*visit).auditFile},
		{method: post, path: Root + "confirm", serve: (*visit).confirm},
	}
}
