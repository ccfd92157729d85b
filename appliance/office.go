package appliance

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/internal/draft"
	"github.com/vosbed/vosbed/appliance/internal/stats"
	"github.com/vosbed/vosbed/appliance/lb"
)

// openOffice opens what people work with: the pending configuration, what the pair
// shares of it, and the graphs.
func (a *Appliance) openOffice() error {
	state := a.opts.StateDir
	cfg, _ := a.facts.current()
	var err error
	if a.farewell, err = openFarewell(filepath.Join(state, "farewell.json")); err != nil {
		return err
	}
	a.facts.parting = func(cfg lb.Config) bool { return a.farewell.of(cfg) != nil }
	if a.access, err = openAccess(state, cfg); err != nil {
		return err
	}
	a.facts.fallback = a.access.inside
	if a.shared, err = openShared(a, filepath.Join(state, "shared.json")); err != nil {
		return err
	}
	a.pairing = &pairing{Appliance: a}
	a.openSystem()
	tools := draftTools()
	tools.Mistakes = func(cfg lb.Config) []draft.Mistake { return append(mistakes(cfg), a.unfit(cfg)...) }
	a.draft, err = draft.Open(draft.Options{
		File: filepath.Join(state, "draft.json"), Tools: tools, Logger: a.log,
		Current: a.facts.current,
		Apply:   func(_ context.Context, cfg lb.Config) error { return a.commit(cfg) },
	})
	if err != nil {
		return err
	}
	a.shared.resume()
	a.stats, err = stats.Open(stats.Options{File: filepath.Join(state, "graphs"), Source: stats.Machine(), Logger: a.log})
	return err
}

// draftTools is what package config knows of a pending configuration.
func draftTools() draft.Tools {
	return draft.Tools{
		Revision: config.Revision,
		Mistakes: mistakes,
		Diff: func(before, after lb.Config) []draft.Change {
			var out []draft.Change
			for _, c := range config.Diff(before, after) {
				out = append(out, draft.Change{
					Path: c.Path, Text: c.Text, Before: c.Before, After: c.After,
					Service: c.Service, Real: c.Real, Ends: c.Ends,
				})
			}
			return out
		},
		Encode: config.EncodeDraft,
		Decode: func(data []byte) (lb.Config, error) { return config.ParseDraft("draft", data) },
	}
}

// mistakes tells what keeps a configuration from taking effect; a service is called by
// its name and not by its number.
func mistakes(cfg lb.Config) []draft.Mistake {
	var out []draft.Mistake
	for _, m := range config.Mistakes(cfg) {
		one := draft.Mistake{Path: m.Key(), Message: m.Msg, Hint: m.Hint}
		if strings.HasSuffix(one.Path, ".real_servers") && m.Missing != "" {
			one.Message, one.Hint = "has no real servers yet", "add one"
		}
		var i int
		if n, err := fmt.Sscanf(one.Path, "services[%d]", &i); err == nil && n == 1 && i < len(cfg.Services) {
			one.Path = "VIP " + cfg.Services[i].Name + strings.TrimPrefix(one.Path, fmt.Sprintf("services[%d]", i))
			one.Path = strings.TrimSuffix(one.Path, ".real_servers")
		}
		out = append(out, one)
	}
	return out
}

// statPoints is how many samples a graph has at most.
const statPoints = 600

// Stats are the graphs of the latest time.
func (b backend) Stats(span time.Duration) api.Stats {
	w := b.stats.Window(span, statPoints)
	out := api.Stats{From: w.From, Step: w.Step, Serie: []api.Series{}}
	for _, s := range w.Series {
		out.Serie = append(out.Serie, api.Series{Name: s.Name, Values: s.Values, Min: s.Min, Avg: s.Avg, Max: s.Max, Total: s.Total})
	}
	return out
}
