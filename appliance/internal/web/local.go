package web

import (
	"net/http"

	"github.com/vosbed/vosbed/appliance/api"
)

const groupLocal = "Local Configuration"

// localScreens is the group Local Configuration of the menu: this node's own settings,
// which are never copied to the peer (guide 14.1.1).
func localScreens() []screen {
	return []screen{
		{"security", securityPath, groupLocal, securityTitle, api.RoleAuditor, (*visit).security},
		{"external", externalPath, groupLocal, "External Authentication", api.RoleAdmin, (*visit).external},
	}
}

// localRoutes are what its screens do.
func localRoutes() []route {
	return []route{
		{method: http.MethodPost, path: securityPath + "/certificate", serve: (*visit).setCertificate},
		{method: http.MethodPost, path: securityPath + "/selfmade", serve: (*visit).resetCertificate},
		{method: http.MethodPost, path: securityPath + "/sockets", serve: (*visit).setSockets},
		{method: http.MethodPost, path: externalPath, serve: (*visit).updateExternal},
		{method: http.MethodPost, path: externalPath + "/secret", serve: (*visit).setExternalSecret},
		{method: http.MethodPost, path: externalPath + "/test", serve: (*visit).testExternal},
	}
}
