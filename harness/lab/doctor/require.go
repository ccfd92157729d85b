package doctor

import (
	"errors"
	"os/exec"
	"slices"
	"strings"
)

// Require checks what a scenario needs beyond a lab: features, by the names of
// [Examine], and programs, by name with the Debian package each is in. The error
// is one sentence that names everything missing and what to do.
func Require(features []string, programs map[string]string) error {
	var missing []string
	for _, c := range programChecks(programs) {
		if !c.OK {
			missing = append(missing, c.Found+": "+c.Do)
		}
	}
	if len(features) == 0 {
		return sentence(missing)
	}
	for _, c := range Examine() {
		if slices.Contains(features, c.Name) && !c.OK {
			missing = append(missing, c.Name+": "+c.Found+": "+c.Do)
		}
	}
	return sentence(missing)
}

// programChecks looks the programs up, one finding for each package.
func programChecks(programs map[string]string) []Check {
	absent := map[string][]string{}
	for name, pkg := range programs {
		if _, err := exec.LookPath(name); err != nil {
			absent[pkg] = append(absent[pkg], name)
		}
	}
	var out []Check
	for pkg, names := range absent {
		slices.Sort(names)
		out = append(out, Check{Name: pkg, Found: strings.Join(names, " and ") + " not found", Do: "install the Debian package " + pkg})
	}
	slices.SortFunc(out, func(a, b Check) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func sentence(missing []string) error {
	if len(missing) == 0 {
		return nil
	}
	return errors.New(strings.Join(missing, "; "))
}
