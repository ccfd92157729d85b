package web

import (
	"net/http"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
)

const (
	onlinePath       = updatePath + "/online"
	onlineTitle      = "Online Update"
	updateServerPath = updatePath + "/server"
)

// onlineRoutes are guide 9.4.1.
func onlineRoutes() []route {
	return []route{
		{method: http.MethodPost, path: updatePath + "/check", serve: (*visit).checkForUpdates},
		{method: http.MethodPost, path: updateServerPath, serve: (*visit).setUpdateServer},
		{method: http.MethodGet, path: onlinePath, serve: (*visit).onlineUpdate},
		{method: http.MethodPost, path: onlinePath, serve: (*visit).installOnline},
	}
}

// updateServerForm names the update server.
func updateServerForm(f api.Fields, tag string) editor {
	return editor{
		Action: updateServerPath, Submit: "Update", Tag: tag, Under: "update",
		Sections: []section{{Title: "Where newer versions are looked for", Inputs: []input{
			{Name: "update.server", Label: "Update server", Value: f["update.server"], Hint: "Folder of a release on a web server: https://updates.example.org/vosbed/. Blank: nobody is called"},
			{Name: "update.ca_file", Label: "CA file", Value: f["update.ca_file"], Hint: "Certificates (PEM) on this appliance that vouch for the server. Blank: those of the system"},
			{Name: "update.proxy", Label: "Proxy", Value: f["update.proxy"], Hint: "http://proxy.example.org:3128. Blank: the server is reached directly"},
			{Name: "update.manual", Label: "Look for updates", Kind: "select", Value: or(f["update.manual"], "false"), Options: []option{
				{Value: "false", Text: "Once a day"}, {Value: "true", Text: "Only when I check"},
			}},
		}}},
	}
}

// serverForm is that form with what is pending, unless it was sent.
func (v *visit) serverForm(sent editor) (editor, error) {
	if len(sent.Sections) > 0 {
		return sent, nil
	}
	part, err := v.api.DraftPart(v.ctx(), "node")
	return updateServerForm(part.Fields, part.Tag), err
}

// setUpdateServer changes it in the pending changes.
func (v *visit) setUpdateServer() error {
	sent := v.posted(updateServerForm(api.Fields{}, ""))
	err := v.api.SetPart(v.ctx(), v.form("tag"), "node", sent)
	if refused, tag, ok := v.again(err); ok {
		return v.updatePage(updateServerForm(sent, tag), refused)
	}
	if err != nil {
		return err
	}
	return v.goTo(updatePath)
}

// onlineData is the version that the update server has.
type onlineData struct {
	New     api.AvailableUpdate
	Own     *input // the person's password, unless it was given a moment ago
	Meant   input
	Refused formError
}

// Size is that of the archive in bytes.
func (d onlineData) Size() float64 { return float64(d.New.Size) }

func (onlineData) under() string { return "update" }

// Errors are what is in the way.
func (d onlineData) Errors() formError { return d.Refused }

// Wrong lists the inputs with an error.
func (d onlineData) Wrong() []input {
	if d.Own == nil || d.Own.Error == "" {
		return nil
	}
	return []input{*d.Own}
}

// checkForUpdates asks the update server.
func (v *visit) checkForUpdates() error {
	if _, err := v.api.CheckForUpdate(v.ctx()); err != nil {
		return v.refused(updateTitle, updatePath, err)
	}
	return v.goTo(updatePath)
}

// onlineUpdate is the page of what is new.
func (v *visit) onlineUpdate() error {
	if !v.may(api.RoleAdmin) {
		return mayNot()
	}
	return v.onlinePage(formError{})
}

func (v *visit) onlinePage(refused formError) error {
	known, err := v.api.OnlineUpdate(v.ctx())
	if err != nil {
		return v.refused(onlineTitle, updatePath, err)
	}
	if known.Available == nil {
		const text = "No newer version is known: check for updates first."
		return v.refused(onlineTitle, updatePath, &api.ProblemError{Problem: api.Problem{Status: http.StatusConflict, Detail: text, Errors: refused.General}})
	}
	d := onlineData{New: *known.Available, Refused: refused, Meant: input{Name: "version", Kind: "hidden", Value: known.Available.Version}}
	for _, i := range v.withOwnPassword(nil) {
		i.Error = refused.Fields[i.Name]
		d.Own = &i
	}
	return v.show(refused.status(), "online", onlineTitle, d)
}

// installOnline fetches and installs what the person saw.
func (v *visit) installOnline() error {
	_ = http.NewResponseController(v.w).SetReadDeadline(time.Now().Add(uploadTime)) // whose end would end the visit
	err := v.confirmFirst()
	if err == nil {
		_, err = v.api.InstallOnline(v.ctx(), v.form("version"))
	}
	if refused, ok := fieldErrors(err); ok {
		return v.onlinePage(refused)
	}
	if err != nil {
		return err
	}
	return v.goTo(updatePath)
}
