package appliance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/mgmt"
	"github.com/vosbed/vosbed/appliance/internal/system"
	"github.com/vosbed/vosbed/internal/buildinfo"
)

// SetClock sets the machine's clock by hand, for a node that no NTP server reaches (guide
// 14.1.1). Sessions, health checks, heartbeats and idle times go by a clock that nobody
// sets; a trial, which must survive a restart, does not.
func (b backend) SetClock(ctx context.Context, text string) (api.ClockSet, error) {
	cfg, _ := b.facts.current()
	_, _, trial, known := b.draft.Glance()
	switch servers := cfg.Node.System.Clock.Servers; {
	case b.opts.Dataplane == memoryEngine:
		return api.ClockSet{}, fmt.Errorf("%w: this appliance leaves the machine alone, as it runs without a data plane", mgmt.ErrRefused)
	case len(servers) > 0:
		return api.ClockSet{}, fmt.Errorf("%w: the NTP servers %s keep the clock and would set it back: remove them first (node.system.time.servers)", mgmt.ErrRefused, strings.Join(servers, ", "))
	case !known:
		return api.ClockSet{}, fmt.Errorf("%w: the pending changes are being changed at the moment: try again", mgmt.ErrRefused)
	case !trial.IsZero():
		return api.ClockSet{}, fmt.Errorf("%w: a configuration is on trial, for a time by this clock: keep it or go back first", mgmt.ErrRefused)
	}
	at, err := system.ParseTime(strings.TrimSpace(text), b.system.Location(), builtAt())
	if err != nil {
		return api.ClockSet{}, &mgmt.FieldsError{Fields: map[string]string{"time": err.Error()}}
	}
	before := time.Now().UTC()
	hardware, err := b.system.SetClock(at)
	if errors.Is(err, system.ErrShared) {
		return api.ClockSet{}, fmt.Errorf("%w: %w", mgmt.ErrRefused, err)
	}
	if err != nil {
		return api.ClockSet{}, err
	}
	b.log.WarnContext(ctx, "the clock was set by hand", "before", before, "now", at, "hardware", hardware)
	return api.ClockSet{Before: before.Truncate(time.Second), Now: at, Hardware: hardware}, nil
}

// builtAt is when this program's source was committed, zero = not known.
func builtAt() time.Time {
	at, err := time.Parse(time.RFC3339, buildinfo.Get().Time)
	if err != nil {
		return time.Time{}
	}
	return at
}
