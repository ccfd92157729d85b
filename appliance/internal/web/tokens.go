package web

import (
	"net/http"

	"github.com/vosbed/vosbed/appliance/api"
)

const (
	tokensPath  = Root + "tokens"
	tokensTitle = "API Tokens"
)

// tokensRoutes are what the screen does.
func tokensRoutes() []route {
	return []route{
		{method: http.MethodPost, path: tokensPath, serve: (*visit).createToken},
		{method: http.MethodPost, path: tokensPath + "/revoke", serve: (*visit).revokeToken},
	}
}

type tokensData struct {
	New    editor
	Tokens []tokenItem
	Made   *api.Token // just now: its text is shown this one time
}

// tokenItem is a token in the list.
type tokenItem struct {
	api.TokenInfo
	RowID string
}

// tokens lists the tokens by which programs call the API.
func (v *visit) tokens() error {
	return v.tokensPage(v.tokenForm(api.NewTokenOf{Role: api.RoleAuditor}), formError{}, nil)
}

func (v *visit) tokensPage(form editor, refused formError, made *api.Token) error {
	all, err := v.api.Tokens(v.ctx())
	if err != nil {
		return err
	}
	d := tokensData{New: form, Made: made}
	for i, t := range all {
		d.Tokens = append(d.Tokens, tokenItem{t, rowID(i)})
	}
	return v.show(refused.status(), "tokens", tokensTitle, d)
}

func (v *visit) tokenForm(with api.NewTokenOf) editor {
	e := editor{Action: tokensPath, Submit: "Create token", Sections: []section{{Title: "Create a token", Inputs: []input{
		{Name: "name", Label: "Name", Value: with.Name, Required: true, Hint: "Of the program that will have it, such as grafana: the audit log names it"},
		{Name: "role", Label: "Role", Kind: "select", Value: with.Role, Options: []option{
			{api.RoleAuditor, "Auditor: sees everything"}, {api.RoleOperator, "Operator: drains, halts, brings online"}, {api.RoleAdmin, "Admin: everything"},
		}},
		{Name: "expires_in", Label: "Expires", Kind: "select", Value: with.ExpiresIn, Options: []option{
			{"", "Never"}, {"168h", "In a week"}, {"720h", "In 30 days"}, {"2160h", "In 90 days"}, {"8760h", "In a year"},
		}},
	}}}}
	e.Sections[0].Inputs = v.withOwnPassword(e.Sections[0].Inputs)
	return e
}

// createToken shows the new token in its answer: it is kept nowhere.
func (v *visit) createToken() error {
	want := api.NewTokenOf{Name: v.form("name"), Role: v.form("role"), ExpiresIn: v.form("expires_in")}
	err := v.confirmFirst()
	var made api.Token
	if err == nil {
		made, err = v.api.CreateToken(v.ctx(), want)
	}
	if refused, ok := fieldErrors(err); ok {
		form := v.tokenForm(want)
		form.place(refused)
		return v.tokensPage(form, refused, nil)
	}
	if err != nil {
		return err
	}
	return v.tokensPage(v.tokenForm(api.NewTokenOf{Role: api.RoleAuditor}), formError{}, &made)
}

func (v *visit) revokeToken() error {
	if err := v.api.RevokeToken(v.ctx(), v.form("name")); err != nil {
		return v.refused("The token stays", tokensPath, err)
	}
	return v.goTo(tokensPath)
}
