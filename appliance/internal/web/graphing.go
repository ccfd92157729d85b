package web

import "github.com/vosbed/vosbed/appliance/api"

const graphingPath = Root + "graphing"

// graphingScreen is Local Configuration > Graphing.
func graphingScreen() settingsScreen {
	return settingsScreen{"graphing", graphingPath, "Graphing", func(f api.Fields) []section {
		return []section{{Title: "Graphing", Inputs: []input{{
			Name: "graphing.enabled", Label: "Take samples for the graphs", Kind: "checkbox", Value: or(f["graphing.enabled"], "true"),
			Hint: "Off: the graphs have a gap from then on; what was sampled stays",
		}}}}
	}}
}
