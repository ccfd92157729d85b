package web

import (
	"net/http"
	"strings"

	"github.com/vosbed/vosbed/appliance/api"
)

const (
	fallbackPath  = Root + "fallback"
	fallbackTitle = "Fallback Page"
)

// fallbackRoutes are what the screen does.
func fallbackRoutes() []route {
	return []route{
		{method: http.MethodPost, path: fallbackPath, serve: (*visit).setFallback},
		{method: http.MethodPost, path: fallbackPath + "/reset", serve: (*visit).resetFallback},
		{method: http.MethodGet, path: fallbackPath + "/preview", serve: (*visit).previewFallback},
	}
}

// fallbackData is the page as text.
type fallbackData struct {
	HTML    string
	Own     bool
	Admin   bool
	Problem string // with the text that was sent
	Refused formError
}

// Errors are what was wrong with a page.
func (d fallbackData) Errors() formError { return d.Refused }

// Wrong lists the text, if it was refused.
func (d fallbackData) Wrong() []input {
	if d.Problem == "" {
		return nil
	}
	return []input{{Name: "html", Label: "HTML", Error: d.Problem}}
}

func (v *visit) fallback() error {
	page, err := v.api.FallbackPage(v.ctx())
	if err != nil {
		return err
	}
	return v.page("fallback", fallbackTitle, fallbackData{HTML: page.HTML, Own: page.Own, Admin: v.may(api.RoleAdmin)})
}

// setFallback takes another page. Browsers end lines of a text with CR LF.
func (v *visit) setFallback() error {
	html := strings.ReplaceAll(v.r.PostFormValue("html"), "\r\n", "\n")
	err := v.api.SetFallbackPage(v.ctx(), html)
	if refused, ok := fieldErrors(err); ok {
		d := fallbackData{HTML: strings.ToValidUTF8(html, "�"), Own: true, Admin: v.may(api.RoleAdmin), Problem: refused.Fields["html"], Refused: refused}
		return v.show(refused.status(), "fallback", fallbackTitle, d)
	}
	if err != nil {
		return err
	}
	return v.goTo(fallbackPath)
}

// resetFallback goes back to the built-in page.
func (v *visit) resetFallback() error {
	if err := v.api.ResetFallbackPage(v.ctx()); err != nil {
		return v.refused(fallbackTitle, fallbackPath, err)
	}
	return v.goTo(fallbackPath)
}

// previewFallback shows the page as clients get it, under the same policy: nothing in it
// can run, or reach anything of the WebUI.
func (v *visit) previewFallback() error {
	page, err := v.api.FallbackPage(v.ctx())
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.Header().Set("Content-Security-Policy", api.FallbackPolicy)
	return ignoreGone(send(v.w, v.r, http.StatusOK, []byte(page.HTML)))
}
