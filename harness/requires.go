package harness

import (
	"fmt"

	"github.com/vosbed/vosbed/harness/lab"
	"github.com/vosbed/vosbed/harness/lab/doctor"
	"github.com/vosbed/vosbed/harness/scenario"
)

// require ends a run before it begins when the machine lacks what the scenario
// says it needs.
func require(names []string) error {
	known := scenario.Programs()
	programs := map[string]string{}
	var features []string
	for _, name := range names {
		if pkg, ok := known[name]; ok {
			programs[name] = pkg
		} else {
			features = append(features, name)
		}
	}
	if err := doctor.Require(features, programs); err != nil {
		return fmt.Errorf("%w: %w", lab.ErrCannot, err)
	}
	return nil
}
