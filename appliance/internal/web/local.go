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
		{"hostname", hostnamePath, groupLocal, "Hostname & DNS", api.RoleAuditor, hostnameScreen().show},
		{"interfaces", interfacesPath, groupLocal, "Network Interface Configuration", api.RoleAuditor, (*visit).interfaces},
		{"routing", routingPath, groupLocal, "Routing", api.RoleAuditor, (*visit).routing},
		{"datetime", datetimePath, groupLocal, "System Date & Time", api.RoleAuditor, datetimeScreen().show},
		{"security", securityPath, groupLocal, securityTitle, api.RoleAuditor, (*visit).security},
		{"external", externalPath, groupLocal, "External Authentication", api.RoleAdmin, (*visit).external},
		{"graphing", graphingPath, groupLocal, "Graphing", api.RoleAuditor, graphingScreen().show},
		{"license", Root + "license", groupLocal, "License Key", api.RoleAuditor, (*visit).license},
	}
}

// localRoutes are what its screens do.
func localRoutes() []route {
	get, post := http.MethodGet, http.MethodPost
	return []route{
		{method: post, path: hostnamePath, serve: hostnameScreen().update},
		{method: get, path: interfacePath, serve: (*visit).editInterface},
		{method: post, path: interfacePath, serve: (*visit).updateInterface},
		{method: post, path: interfacesPath + "/remove", serve: (*visit).removeInterface},
		{method: get, path: routePath, serve: (*visit).editRoute},
		{method: post, path: routePath, serve: (*visit).updateRoute},
		{method: post, path: routingPath + "/remove", serve: (*visit).removeRoute},
		{method: post, path: datetimePath, serve: datetimeScreen().update},
		{method: get, path: clockPath, serve: (*visit).editClock},
		{method: post, path: clockPath, serve: (*visit).setClock},
		{method: post, path: graphingPath, serve: graphingScreen().update},
		{method: post, path: securityPath + "/certificate", serve: (*visit).setCertificate},
		{method: post, path: securityPath + "/selfmade", serve: (*visit).resetCertificate},
		{method: post, path: securityPath + "/sockets", serve: (*visit).setSockets},
		{method: post, path: externalPath, serve: (*visit).updateExternal},
		{method: post, path: externalPath + "/secret", serve: (*visit).setExternalSecret},
		{method: post, path: externalPath + "/test", serve: (*visit).testExternal},
	}
}
