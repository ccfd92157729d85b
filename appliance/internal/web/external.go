package web

import (
	"maps"
	"strings"

	"github.com/vosbed/vosbed/appliance/api"
)

const (
	externalPath = Root + "external-authentication"
	// sourceSecret is the label of what the appliance shows to a source.
	sourceSecret = "Password or shared secret"
	// secretName is that input's; all names of secrets have this word in them.
	secretName = "source-password"
)

// externalData is the page of guide 9.3: who may log in besides the accounts of the node.
type externalData struct {
	State                  api.AuthState
	Settings, Secret, Test editor
	Tested                 *api.AuthTested
	Kept                   []string // sources whose secret is stored, in words
}

// SourceWord is a source as people call it.
func (externalData) SourceWord(source string) string { return sourceWord(source) }

func sourceWord(source string) string {
	for _, o := range sources() {
		if o.Value == source {
			return o.Text
		}
	}
	return source
}

func sources() []option {
	return []option{{"local", "Only the accounts of this node"}, {"ldap", "LDAP or LDAPS"}, {"active-directory", "Active Directory"}, {"radius", "RADIUS"}}
}

// externalForms are the three forms of the page.
type externalForms struct {
	fields                 api.Fields
	tag                    string
	settings, secret, test formError
	source, user           string // of a form that was refused
	tested                 *api.AuthTested
}

func (v *visit) external() error { return v.externalPage(externalForms{}) }

// externalPage shows the settings as they are pending, unless a refused form has others.
func (v *visit) externalPage(f externalForms) error {
	state, err := v.api.Authentication(v.ctx())
	if err != nil {
		return err
	}
	if f.fields == nil {
		part, err := v.api.DraftPart(v.ctx(), "node")
		if err != nil {
			return err
		}
		f.fields, f.tag = part.Fields, part.Tag
	}
	d := externalData{State: state, Tested: f.tested, Settings: v.externalForm(f.fields), Secret: v.secretForm(or(f.source, f.fields["authentication.source"])), Test: testForm(f.user)}
	for _, source := range state.Secrets {
		d.Kept = append(d.Kept, sourceWord(source))
	}
	d.Settings.Tag = f.tag
	d.Settings.place(f.settings)
	d.Secret.place(f.secret)
	d.Test.place(f.test)
	return v.show(max(f.settings.status(), f.secret.status(), f.test.status()), "external", "External Authentication", d)
}

func (v *visit) externalForm(f api.Fields) editor {
	key := func(name string) string { return f["authentication."+name] }
	in := func(name, label, hint string) input {
		return input{Name: "authentication." + name, Label: label, Value: key(name), Hint: hint}
	}
	box := func(name, label, hint string) input {
		i := in(name, label, hint)
		i.Kind = "checkbox"
		return i
	}
	source := in("source", "Who else is asked", "Accounts of this node always work, also when no server answers")
	source.Kind, source.Options, source.Value = "select", sources(), or(source.Value, "local")
	e := editor{Action: externalPath, Submit: "Update", Sections: []section{
		{Title: "Source", Inputs: []input{
			source,
			in("servers", "Servers", "ldaps://dc1.example.org, ldap://dc1.example.org or, of RADIUS, 192.0.2.7:1812; several with commas, tried in this order"),
		}},
		{Title: "LDAP and Active Directory", Inputs: []input{
			in("base_dn", "Base DN", "Below which people are: dc=example,dc=org"),
			in("bind_dn", "Bind DN", "As which they are searched: cn=reader,dc=example,dc=org; blank: anonymously"),
			box("start_tls", "StartTLS", "Encrypts ldap://; ldaps:// is encrypted anyway"),
			in("ca_file", "CA certificate file", "On this node (PEM); blank: the authorities that the system knows"),
		}},
		{Title: "Roles", Inputs: []input{
			in("groups.admin", "Group of admins", "A DN: cn=lb-admins,ou=groups,dc=example,dc=org. Of RADIUS: the text of Filter-Id or Class"),
			in("groups.operator", "Group of operators", ""),
			in("groups.auditor", "Group of auditors", "Who is in none of the groups may not log in"),
		}},
		{Title: "Details", Advanced: true, Inputs: []input{
			in("user_filter", "User filter", "{user} stands for the name; blank: (uid={user}), and of Active Directory by sAMAccountName"),
			in("timeout", "Timeout", "Of a login, all servers together: 500ms to 8s; blank: 5s"),
			box("insecure", "Allow passwords as plain text", "ldap:// without StartTLS: everybody on the way can read them"),
		}},
	}}
	e.Sections = append(e.Sections, v.ownSection()...)
	return e
}

// ownSection asks for the person's own password, unless it was given a moment ago.
func (v *visit) ownSection() []section {
	if inputs := v.withOwnPassword(nil); len(inputs) > 0 {
		return []section{{Title: "Confirmation", Inputs: inputs}}
	}
	return nil
}

func (v *visit) secretForm(source string) editor {
	choices := sources()[1:]
	own := v.withOwnPassword(nil)
	for i := range own { // the other form of the page has one of the same name
		own[i].Form = "secret"
	}
	return editor{Action: externalPath + "/secret", Submit: "Set secret", Sections: []section{{Title: "Secret of the appliance", Inputs: append([]input{
		{Name: "source", Label: "Of", Kind: "select", Value: source, Options: choices},
		{Name: secretName, Label: sourceSecret, Kind: "password", Hint: "The password of the bind DN, or the secret shared with the RADIUS servers. Stored on this node for the servers above, and never shown again: give it once more after a change of servers, CA or StartTLS; blank forgets it"},
	}, own...)}}}
}

func testForm(user string) editor {
	return editor{Action: externalPath + "/test", Submit: "Test", Sections: []section{{Title: "Test with the settings above, in force or not", Inputs: []input{
		{Name: "user", Label: "Username", Value: user, Required: true},
		{Name: "user-password", Label: "Password of that user", Kind: "password", Required: true, Hint: "Used for this one question and not kept"},
	}}}}
}

func (v *visit) updateExternal() error {
	sent := v.posted(v.externalForm(nil))
	maps.DeleteFunc(sent, func(key, _ string) bool { return !strings.HasPrefix(key, "authentication.") })
	err := v.confirmFirst()
	if err == nil {
		err = v.api.SetPart(v.ctx(), v.form("tag"), "node", sent)
	}
	if refused, tag, ok := v.again(err); ok {
		return v.externalPage(externalForms{fields: sent, tag: tag, settings: refused})
	}
	if err != nil {
		return err
	}
	return v.goTo(externalPath)
}

func (v *visit) setExternalSecret() error {
	source := v.form("source")
	err := v.confirmFirst()
	if err == nil {
		err = v.api.SetAuthSecret(v.ctx(), source, v.r.PostFormValue(secretName))
	}
	if refused, ok := fieldErrors(err); ok {
		if text, wrong := refused.Fields["secret"]; wrong { // as the API calls it
			delete(refused.Fields, "secret")
			refused.Fields[secretName] = text
		}
		return v.externalPage(externalForms{source: source, secret: refused})
	}
	if err != nil {
		return err
	}
	return v.goTo(externalPath)
}

// testExternal shows how a login would end; the password is not kept in the page.
func (v *visit) testExternal() error {
	user := v.form("user")
	tested, err := v.api.TestAuthentication(v.ctx(), user, v.r.PostFormValue("user-password"))
	if refused, ok := fieldErrors(err); ok {
		if text, wrong := refused.Fields["password"]; wrong { // as the API calls it
			delete(refused.Fields, "password")
			refused.Fields["user-password"] = text
		}
		return v.externalPage(externalForms{user: user, test: refused})
	}
	if err != nil {
		return err
	}
	return v.externalPage(externalForms{user: user, tested: &tested})
}
