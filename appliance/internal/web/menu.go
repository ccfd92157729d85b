package web

import (
	"net/http"
	"slices"

	"github.com/vosbed/vosbed/appliance/api"
)

// screen is one page of the menu.
type screen struct {
	name  string // of its template and its Go file
	path  string
	group string // main menu option (guide 9.3.1), "" = it is one itself
	title string // in the guide's words
	role  string // that may see it
	show  func(*visit) error
}

// screens is the menu, in its order.
func screens() []screen {
	return slices.Concat(overviewScreens(), localScreens(), clusterScreens(), maintenanceScreens(), viewScreens(), supportScreens())
}

type menuGroup struct {
	Title string
	Open  bool
	Items []menuItem
}

type menuItem struct {
	Title, Path string
	Current     bool
}

// menuFor is the menu as a role sees it. A group of one item with its own title is a
// plain link.
func menuFor(role, current string) []menuGroup {
	var out []menuGroup
	for _, s := range screens() {
		if rank(role) < rank(s.role) {
			continue
		}
		group := s.group
		if group == "" {
			group = s.title
		}
		if len(out) == 0 || out[len(out)-1].Title != group {
			out = append(out, menuGroup{Title: group})
		}
		g := &out[len(out)-1]
		g.Items = append(g.Items, menuItem{s.title, s.path, s.name == current})
		g.Open = g.Open || s.name == current
	}
	return out
}

// routes is the whole router: the menu's screens, what they do, and the way in.
func (s *Server) routes() []route {
	var out []route
	for _, one := range screens() {
		out = append(out, route{method: http.MethodGet, path: exact(one.path), serve: func(v *visit) error {
			if !v.may(one.role) {
				return mayNot()
			}
			return one.show(v)
		}})
	}
	return slices.Concat(out, overviewRoutes(), clusterRoutes(), maintenanceRoutes(), tokensRoutes(), updateRoutes(), onlineRoutes(), reportRoutes(), supportRoutes(), fallbackRoutes(), localRoutes(), loginRoutes())
}

// mayNot is the answer to whoever has not the role for a page.
func mayNot() error {
	return &api.ProblemError{Problem: api.Problem{Status: http.StatusForbidden, Detail: "Your role may not see this page."}}
}

// exact keeps the root from matching everything below it.
func exact(path string) string {
	if path[len(path)-1] == '/' {
		return path + "{$}"
	}
	return path
}
