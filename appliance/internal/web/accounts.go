package web

import "github.com/vosbed/vosbed/appliance/api"

type passwordsData struct {
	Admin    bool
	Own, New editor
	Accounts []api.Account
	User     string
	Done     string
}

func (v *visit) passwords() error { return v.passwordsPage(ownForm(), accountForm("", ""), "") }

func (v *visit) passwordsPage(own, account editor, done string) error {
	d := passwordsData{Admin: v.may(api.RoleAdmin), Own: own, New: account, User: v.session.User, Done: done}
	if d.Admin {
		all, err := v.api.Accounts(v.ctx())
		if err != nil {
			return err
		}
		d.Accounts = all
	}
	status := 200
	if len(own.Wrong())+len(account.Wrong())+len(own.Errors.General)+len(account.Errors.General) > 0 {
		status = 422
	}
	return v.show(status, "passwords", "Passwords", d)
}

func ownForm() editor {
	return editor{Action: Root + "passwords/own", Submit: "Change password", Sections: []section{{Title: "Your own password", Inputs: []input{
		{Name: "old", Label: "Present password", Kind: "password", Auto: "current-password", Required: true},
		{Name: "password", Label: "New password", Kind: "password", Auto: "new-password", Required: true, Hint: "At least 8 characters, none that everybody knows"},
		{Name: "again", Label: "New password once more", Kind: "password", Auto: "new-password", Required: true},
	}}}}
}

func accountForm(name, role string) editor {
	return editor{Action: Root + "passwords/account", Submit: "Set account", Sections: []section{{Title: "Add or change an account", Inputs: []input{
		{Name: "name", Label: "Username", Value: name, Required: true},
		{Name: "role", Label: "Role", Kind: "select", Value: or(role, api.RoleOperator), Options: []option{
			{api.RoleAuditor, "Auditor: sees everything"}, {api.RoleOperator, "Operator: drains, halts, brings online"}, {api.RoleAdmin, "Admin: everything"},
		}},
		{Name: "password", Label: "New password", Kind: "password", Auto: "new-password", Hint: "Blank keeps the password of an account that exists"},
	}}}}
}

func (v *visit) ownPassword() error {
	own := ownForm()
	if v.r.PostFormValue("password") != v.r.PostFormValue("again") {
		own.place(formError{Fields: map[string]string{"again": "the two are not the same"}})
		return v.passwordsPage(own, accountForm("", ""), "")
	}
	err := v.api.SetPassword(v.ctx(), v.r.PostFormValue("old"), v.r.PostFormValue("password"))
	if refused, ok := fieldErrors(err); ok {
		own.place(refused)
		return v.passwordsPage(own, accountForm("", ""), "")
	}
	if err != nil {
		return err
	}
	return v.passwordsPage(own, accountForm("", ""), "Your password is changed; your other sessions have ended.")
}

func (v *visit) setAccount() error {
	name, role := v.form("name"), v.form("role")
	err := v.api.SetAccount(v.ctx(), name, api.NewAccount{Role: role, Password: v.r.PostFormValue("password")})
	if refused, ok := fieldErrors(err); ok {
		account := accountForm(name, role)
		account.place(refused)
		return v.passwordsPage(ownForm(), account, "")
	}
	if err != nil {
		return err
	}
	return v.passwordsPage(ownForm(), accountForm("", ""), "The account "+name+" is set.")
}

func (v *visit) removeAccount() error {
	if err := v.api.RemoveAccount(v.ctx(), v.form("name")); err != nil {
		return err
	}
	return v.goTo(Root + "passwords")
}

type sessionsData struct{ Sessions []api.Session }

func (v *visit) sessions() error {
	all, err := v.api.Sessions(v.ctx())
	if err != nil {
		return err
	}
	return v.page("sessions", "Sessions", sessionsData{all})
}

func (v *visit) endSession() error {
	if err := v.api.Revoke(v.ctx(), v.form("id")); err != nil {
		return err
	}
	return v.goTo(Root + "sessions")
}
