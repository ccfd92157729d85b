package web

import (
	"errors"
	"net/http"

	"github.com/vosbed/vosbed/appliance/api"
)

const loginPath = Root + "login"

// loginRoutes are the way in and out.
func loginRoutes() []route {
	return []route{
		{method: http.MethodGet, path: loginPath, serve: func(v *visit) error { return v.loginPage(http.StatusOK, "") }, open: true},
		{method: http.MethodPost, path: loginPath, serve: (*visit).login, open: true},
		{method: http.MethodPost, path: Root + "logout", serve: (*visit).logout, open: true},
	}
}

// loginData is what the page shows.
type loginData struct {
	Next, User, Wrong string
	Name, Password    input
}

func (v *visit) loginPage(status int, wrong string) error {
	d := loginData{Next: local(v.r.FormValue("next")), User: v.form("user"), Wrong: wrong}
	d.Name = input{Name: "user", Label: "Username", Value: d.User, Required: true, Auto: "username"}
	d.Password = input{Name: "password", Label: "Password", Kind: "password", Required: true, Auto: "current-password"}
	return v.show(status, "login", "Log in", d)
}

// login opens a session and leads to where the person wanted to go.
func (v *visit) login() error {
	in, err := v.opts.API.As("", caller(v.r, false)).Login(v.ctx(), v.form("user"), v.r.PostFormValue("password"))
	if problem, ok := errors.AsType[*api.ProblemError](err); ok {
		return v.loginPage(problem.Problem.Status, title(problem.Problem.Detail)+".")
	}
	if err != nil {
		return err
	}
	// The browser forgets the session it had before, so that one ends too (ASVS 7.2.4).
	if tokenOf(v.r) != "" {
		_ = v.api.Logout(v.ctx())
	}
	setToken(v.w, in.Token)
	return v.goTo(local(v.form("next")))
}

// logout ends the session. One that has ended already is what the person wants, so the
// route is open and that is no error.
func (v *visit) logout() error {
	err := v.api.Logout(v.ctx())
	setToken(v.w, "")
	if p, ok := asProblem(err); err != nil && (!ok || p.Status != http.StatusUnauthorized) {
		return err
	}
	return v.goTo(loginPath)
}
