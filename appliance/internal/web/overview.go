package web

func overviewScreens() []screen { return nil }
func overviewRoutes() []route   { return nil }
