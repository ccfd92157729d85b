package verdict

import (
	"fmt"
	"time"

	"github.com/vosbed/vosbed/harness/observe"
)

// cutShort finds out whether the run ended before its time and nobody is to blame:
// it was stopped, or a step or the start of the programs took too long when the
// machine stood still for a fifth of that. A lab that is broken otherwise stays so.
func (r *Result) cutShort(h *facts) {
	late := ""
	for _, rec := range h.history {
		switch {
		case rec.Kind == observe.KindEvent && rec.Name == observe.EventStopped:
			r.cut, r.FailedSteps = "the run was stopped early", nil // the step was interrupted
			return
		case rec.Kind == observe.KindBroken && rec.Name == observe.BrokenLate:
			late = h.stoodStill(0, rec.T)
		}
	}
	switch {
	case len(r.Broken) == 1:
		r.cut = late
	case len(r.Broken) == 0:
		if name, from, to, ok := h.failedStep(); ok {
			if why := h.stoodStill(from, to); why != "" {
				r.cut = fmt.Sprintf("step %s failed when %s", name, why)
			}
		}
	}
}

// failedStep is the step that failed, the innermost, and its time.
func (h *facts) failedStep() (name string, from, to time.Duration, ok bool) {
	began := make(map[string]time.Duration)
	for _, rec := range h.history {
		if rec.Kind != observe.KindStep {
			continue
		}
		span, err := observe.Decode[observe.Span](rec)
		switch {
		case err != nil:
		case !span.End:
			began[rec.Name+"\x00"+span.What] = rec.T
		case span.Err != "":
			return rec.Name, began[rec.Name+"\x00"+span.What], rec.T, true
		}
	}
	return "", 0, 0, false
}
