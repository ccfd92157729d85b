package web

import "html/template"

// helpers are the functions of the templates.
func helpers(f files) template.FuncMap {
	return template.FuncMap{"file": f.Path}
}
