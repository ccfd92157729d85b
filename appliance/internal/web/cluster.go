package web

import (
	"net/http"

	"github.com/vosbed/vosbed/appliance/api"
)

const groupCluster = "Cluster Configuration"

// clusterScreens is the group Cluster Configuration of the menu, in the guide's words.
func clusterScreens() []screen {
	return []screen{
		{"services4", Root + "l4-services", groupCluster, "Layer 4 – Virtual Services", api.RoleAuditor, servicesOf("4")},
		{"servers4", Root + "l4-servers", groupCluster, "Layer 4 – Real Servers", api.RoleAuditor, serversOf("4")},
		{"services7", Root + "l7-services", groupCluster, "Layer 7 – Virtual Services", api.RoleAuditor, servicesOf("7")},
		{"servers7", Root + "l7-servers", groupCluster, "Layer 7 – Real Servers", api.RoleAuditor, serversOf("7")},
		{"availability", Root + "availability", groupCluster, "High-Availability Configuration", api.RoleAuditor, (*visit).availability},
		{"persistence", Root + "persistence", groupCluster, "Persistence Table", api.RoleAuditor, (*visit).persistence},
	}
}

// clusterRoutes are what its screens do.
func clusterRoutes() []route {
	get, post := http.MethodGet, http.MethodPost
	return []route{
		{method: get, path: Root + "service/new", serve: (*visit).newService},
		{method: post, path: Root + "service/new", serve: (*visit).addService},
		{method: get, path: Root + "service", serve: (*visit).editService},
		{method: post, path: Root + "service", serve: (*visit).updateService},
		{method: post, path: Root + "service/delete", serve: (*visit).deleteService},
		{method: get, path: Root + "real/new", serve: (*visit).newServer},
		{method: post, path: Root + "real/new", serve: (*visit).addServer},
		{method: get, path: Root + "real", serve: (*visit).editServer},
		{method: post, path: Root + "real", serve: (*visit).updateServer},
		{method: post, path: Root + "real/delete", serve: (*visit).deleteServer},
		{method: post, path: Root + "availability/look", serve: (*visit).lookAtPeer},
		{method: post, path: Root + "availability/create", serve: (*visit).createPair},
		{method: post, path: Root + "availability/break", serve: (*visit).breakPair},
		{method: post, path: Root + "availability/move", serve: (*visit).movePair},
		{method: post, path: Root + "persistence/clear", serve: (*visit).clearPersistence},
		{method: post, path: Root + "commit/{what}", serve: (*visit).commit},
	}
}
