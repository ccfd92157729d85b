package web

// maintenanceScreens is the group Maintenance of the menu.
func maintenanceScreens() []screen { return nil }

// maintenanceRoutes are what its screens do.
func maintenanceRoutes() []route { return nil }

// viewScreens are the groups View Configuration and Logs.
func viewScreens() []screen { return nil }

// askPassword asks for the password once more, before a sensitive action; wrong is what
// was wrong with the last try.
func (v *visit) askPassword(wrong string) { v.fail(403, wrong) }
