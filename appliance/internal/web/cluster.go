package web

// clusterScreens is the group Cluster Configuration of the menu.
func clusterScreens() []screen { return nil }

// clusterRoutes are what its screens do.
func clusterRoutes() []route { return nil }
