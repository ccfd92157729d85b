package web

import "github.com/vosbed/vosbed/appliance/api"

const (
	passwordsPath = Root + "passwords"
	// accountPassword is the label of the password of an account that is set.
	accountPassword = "New password of the account"
)

type passwordsData struct {
	Admin    bool
	Own, New editor
	Source   string // who knows the person's password instead of this node
	Accounts []accountItem
	Done     string
}

// accountItem is an account in the list.
type accountItem struct {
	api.Account
	ID   string
	Self bool
}

// passwords shows the page; done in the query says what was just changed.
func (v *visit) passwords() error {
	return v.passwordsPage(ownForm(), v.accountForm("", ""), formError{})
}

func (v *visit) passwordsPage(own, account editor, refused formError) error {
	d := passwordsData{Admin: v.may(api.RoleAdmin), Own: own, New: account}
	if v.session.Source != "" {
		d.Source = sourceWord(v.session.Source)
	}
	switch v.r.URL.Query().Get("done") {
	case "own":
		d.Done = "Your password is changed; your other sessions have ended."
	case "account":
		d.Done = "The account is set."
	}
	if d.Admin {
		all, err := v.api.Accounts(v.ctx())
		if err != nil {
			return err
		}
		for i, a := range all {
			d.Accounts = append(d.Accounts, accountItem{a, rowID(i), a.Name == v.session.User})
		}
	}
	return v.show(refused.status(), "passwords", "Passwords", d)
}

// ownForm changes the person's own password. Its names differ from those of the other
// form of the page, whose controls would have the same ids.
func ownForm() editor {
	return editor{Action: passwordsPath + "/own", Submit: "Change password", Sections: []section{{Title: "Your own password", Inputs: []input{
		{Name: "old", Label: "Present password", Kind: "password", Auto: "current-password", Required: true},
		{Name: "own-password", Label: "New password", Kind: "password", Auto: "new-password", Required: true, Hint: "At least 8 characters, none that everybody knows"},
		{Name: "again", Label: "New password once more", Kind: "password", Auto: "new-password", Required: true},
	}}}}
}

func (v *visit) accountForm(name, role string) editor {
	e := editor{Action: passwordsPath + "/account", Submit: "Set account", Sections: []section{{Title: "Add or change an account", Inputs: []input{
		{Name: "name", Label: "Username", Value: name, Required: true},
		{Name: "role", Label: "Role", Kind: "select", Value: or(role, api.RoleOperator), Options: []option{
			{api.RoleAuditor, "Auditor: sees everything"}, {api.RoleOperator, "Operator: drains, halts, brings online"}, {api.RoleAdmin, "Admin: everything"},
		}},
		{Name: "password", Label: accountPassword, Kind: "password", Auto: "new-password", Hint: "Blank keeps the password of an account that exists"},
	}}}}
	e.Sections[0].Inputs = v.withOwnPassword(e.Sections[0].Inputs)
	return e
}

func (v *visit) ownPassword() error {
	next := v.r.PostFormValue("own-password")
	if next != v.r.PostFormValue("again") {
		return v.ownRefused(formError{Status: 422, Fields: map[string]string{"again": "the two are not the same"}})
	}
	err := v.api.SetPassword(v.ctx(), v.r.PostFormValue("old"), next)
	if refused, ok := fieldErrors(err); ok {
		return v.ownRefused(refused)
	}
	if err != nil {
		return err
	}
	return v.goTo(passwordsPath + "?done=own")
}

func (v *visit) ownRefused(refused formError) error {
	for _, key := range []string{"password", "new"} { // as the API calls it
		if text, ok := refused.Fields[key]; ok {
			delete(refused.Fields, key)
			refused.Fields["own-password"] = text
		}
	}
	own := ownForm()
	own.place(refused)
	return v.passwordsPage(own, v.accountForm("", ""), refused)
}

func (v *visit) setAccount() error {
	name, role := v.form("name"), v.form("role")
	err := needed("name", name)
	if err == nil {
		err = v.confirmFirst()
	}
	if err == nil {
		err = v.api.SetAccount(v.ctx(), name, api.NewAccount{Role: role, Password: v.r.PostFormValue("password")})
	}
	if refused, ok := fieldErrors(err); ok {
		account := v.accountForm(name, role)
		account.place(refused)
		return v.passwordsPage(ownForm(), account, refused)
	}
	if err != nil {
		return err
	}
	return v.goTo(passwordsPath + "?done=account")
}

func (v *visit) removeAccount() error {
	if err := v.api.RemoveAccount(v.ctx(), v.form("name")); err != nil {
		return v.refused("The account stays", passwordsPath, err)
	}
	return v.goTo(passwordsPath)
}
