package support

import (
	"fmt"
	"slices"

	"github.com/vosbed/vosbed/appliance/api"
)

// Diagnose judges what is known of a node. The order of the tree is always the same.
func Diagnose(f Facts) api.SupportChecks {
	out := api.SupportChecks{At: f.Now.UTC(), Verdict: api.CheckNotApplicable}
	for _, g := range []struct {
		name   string
		checks []api.SupportCheck
	}{
		{"Node", f.node()},
		{"Network", f.network()},
		{"Services", f.services()},
		{"Pair", f.pair()},
		{"Storage", f.storage()},
	} {
		group := api.SupportGroup{Name: g.name, Verdict: api.CheckNotApplicable, Checks: g.checks}
		for _, c := range g.checks {
			group.Verdict = worse(group.Verdict, c.Verdict)
		}
		out.Groups = append(out.Groups, group)
		out.Verdict = worse(out.Verdict, group.Verdict)
	}
	return out
}

// worse returns the worse of two verdicts; one that is not known is the worst.
func worse(a, b string) string {
	order := []string{api.CheckFailed, api.CheckWarning, api.CheckOK, api.CheckNotApplicable}
	if slices.Index(order, b) < slices.Index(order, a) {
		return b
	}
	return a
}

func okay(name, format string, args ...any) api.SupportCheck {
	return api.SupportCheck{Name: name, Verdict: api.CheckOK, Seen: fmt.Sprintf(format, args...)}
}

func skip(name, format string, args ...any) api.SupportCheck {
	return api.SupportCheck{Name: name, Verdict: api.CheckNotApplicable, Seen: fmt.Sprintf(format, args...)}
}

func warn(name, fix, format string, args ...any) api.SupportCheck {
	return api.SupportCheck{Name: name, Verdict: api.CheckWarning, Seen: fmt.Sprintf(format, args...), Fix: fix}
}

func fail(name, fix, format string, args ...any) api.SupportCheck {
	return api.SupportCheck{Name: name, Verdict: api.CheckFailed, Seen: fmt.Sprintf(format, args...), Fix: fix}
}
