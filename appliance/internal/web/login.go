package web

func loginRoutes() []route { return nil }
