package scenario

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	yaml "go.yaml.in/yaml/v4"

	"github.com/vosbed/vosbed/harness/topo"
	"github.com/vosbed/vosbed/internal/strictyaml"
)

// ErrUnknown reports a scenario name that no file has, ErrNoMutant the name of a
// mutant that the scenario has not.
var (
	ErrUnknown  = errors.New("no such scenario")
	ErrNoMutant = errors.New("no such mutant")
)

// Names lists the scenarios of a folder, sorted.
func Names(dir fs.FS) ([]string, error) {
	files, err := fs.Glob(dir, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list scenarios: %w", err)
	}
	for i := range files {
		files[i] = strings.TrimSuffix(files[i], ".yaml")
	}
	slices.Sort(files)
	return files, nil
}

// Load reads a scenario by name from dir, or by path when ref ends in .yaml, and
// checks it. The error lists every mistake.
func Load(dir, ref string) (*Scenario, error) {
	s, doc, err := read(dir, ref)
	if err != nil {
		return nil, err
	}
	if s.Extends != "" {
		base, err := Load(dir, s.Extends)
		if err != nil {
			return nil, fmt.Errorf("extends %s: %w", s.Extends, err)
		}
		s = extend(base, s)
	}
	if err := check(s, doc); err != nil {
		return nil, err
	}
	return s, nil
}

func read(dir, ref string) (*Scenario, *strictyaml.Doc, error) {
	path := ref
	if !strings.HasSuffix(ref, ".yaml") {
		path = filepath.Join(dir, ref+".yaml")
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, unknown(dir, ref)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read scenario: %w", err)
	}
	var s Scenario
	doc, err := strictyaml.Decode(path, data, &s)
	if err != nil {
		return nil, nil, err
	}
	s.source = data
	return &s, doc, nil
}

// Text returns the scenario as YAML: the file itself, or the whole of what it
// became when it extends another or was mutated.
func (s *Scenario) Text() ([]byte, error) {
	if s.source != nil {
		return s.source, nil
	}
	b, err := yaml.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("write scenario: %w", err)
	}
	return b, nil
}

func unknown(dir, ref string) error {
	names, _ := Names(os.DirFS(dir))
	if near := strictyaml.Nearest(ref, names); near != "" {
		return fmt.Errorf("%w: %q: did you mean %q?", ErrUnknown, ref, near)
	}
	if len(names) == 0 {
		return fmt.Errorf("%w: %q: there are none in %s", ErrUnknown, ref, dir)
	}
	return fmt.Errorf("%w: %q: there are %s", ErrUnknown, ref, strings.Join(names, ", "))
}

// extend lays s over base.
func extend(base, s *Scenario) *Scenario {
	out := *base
	out.Name, out.source = s.Name, nil
	setText(&out.Title, s.Title)
	setText(&out.About, s.About)
	setText(&out.Dataplane, s.Dataplane)
	if s.Timeout != 0 {
		out.Timeout = s.Timeout
	}
	if s.Capture != nil {
		out.Capture = s.Capture
	}
	out.Covers = append(slices.Clone(base.Covers), s.Covers...)
	out.Requires = append(slices.Clone(base.Requires), s.Requires...)
	out.Wire = append(slices.Clone(base.Wire), s.Wire...)
	out.Topology = base.Topology.Merge(s.Topology)
	out.Appliance = base.Appliance.Then(s.Appliance)
	out.Loads = maps.Clone(base.Loads)
	for name, l := range s.Loads {
		if out.Loads == nil {
			out.Loads = map[string]loadSpec{}
		}
		out.Loads[name] = l
	}
	if s.Steps != nil {
		out.Steps = s.Steps
	}
	out.Expect = mergeNamedList(base.Expect, s.Expect, func(e Expectation) string { return e.Name })
	out.Mutants = s.Mutants // what the base's prove need not be proved again
	return &out
}

func setText(dst *string, v string) {
	if v != "" {
		*dst = v
	}
}

func mergeNamedList[T any](base, over []T, name func(T) string) []T {
	out := slices.Clone(base)
	for _, o := range over {
		i := slices.IndexFunc(out, func(b T) bool { return name(b) == name(o) })
		if i < 0 {
			out = append(out, o)
			continue
		}
		out[i] = o
	}
	return out
}

// Mutate returns the scenario changed by its mutant of that name.
func (s *Scenario) Mutate(name string) (*Scenario, Mutant, error) {
	i := slices.IndexFunc(s.Mutants, func(m Mutant) bool { return m.Name == name })
	if i < 0 {
		return nil, Mutant{}, fmt.Errorf("%w: %q of %s: there are %s", ErrNoMutant, name, s.Name, strings.Join(s.mutantNames(), ", "))
	}
	m := s.Mutants[i]
	out := *s
	out.source = nil
	out.Appliance = s.Appliance.Then(m.Change.Appliance)
	out.Topology = s.Topology.Merge(m.Change.Topology)
	out.Wire = append(slices.Clone(s.Wire), m.Change.Wire...)
	out.prune(m)
	out.Steps = append(faultSteps(m.Change.Faults), out.Steps...)
	return &out, m, nil
}

func (s *Scenario) mutantNames() []string {
	var out []string
	for _, m := range s.Mutants {
		out = append(out, m.Name)
	}
	return out
}

// faultSteps brings a mutant's faults into force.
func faultSteps(faults []Fault) []Step {
	var out []Step
	for _, f := range faults {
		out = append(out, Step{Fault: &f})
	}
	return out
}

// SetDuration overrides the longest wait of the scenario, and gives the run as
// much time more or less.
func (s *Scenario) SetDuration(d time.Duration) {
	longest := -1
	for i, st := range s.Steps {
		if st.Wait > 0 && (longest < 0 || st.Wait > s.Steps[longest].Wait) {
			longest = i
		}
	}
	if longest < 0 {
		return
	}
	s.source = nil
	s.Steps = slices.Clone(s.Steps)
	if s.Timeout > 0 {
		s.Timeout += d - s.Steps[longest].Wait
	}
	s.Steps[longest].Wait = d
}

// whole adds the guide's topology to one that has no networks of its own.
func whole(spec topo.Spec) topo.Spec {
	if spec.Use == "" && len(spec.Networks) == 0 {
		spec.Use = "harmonic-vos"
	}
	return spec
}

// Plan computes the scenario's topology; without one it is the guide's.
func (s *Scenario) Plan() (*topo.Plan, error) {
	spec := s.Topology
	return topo.Compute(whole(spec))
}
