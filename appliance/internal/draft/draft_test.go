package draft

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vosbed/vosbed/appliance/lb"
)

// world is what a store works with: a node whose configuration is names and dead times.
type world struct {
	t      *testing.T
	file   string
	mu     sync.Mutex
	now    lb.Config
	fail   error
	clock  func() time.Time // nil = the real one
	forced []string         // what came into force
}

func newWorld(t *testing.T, services ...string) *world {
	t.Helper()
	w := &world{t: t, file: filepath.Join(t.TempDir(), "draft.json")}
	for _, s := range services {
		w.now.Services = append(w.now.Services, lb.VirtualService{Name: s})
	}
	return w
}

// failing makes Apply fail.
func (w *world) failing(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail = err
}

// inForce names what is.
func (w *world) inForce() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return names(w.now)
}

// change is another configuration that comes into force.
func (w *world) change(f func(*lb.Config) error) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	must(w.t, f(&w.now))
}

func revision(c lb.Config) string {
	text, _ := json.Marshal(c)
	return string(text)
}

// decode reads an empty list as none, as the real one does.
func decode(text []byte) (c lb.Config, err error) {
	if err = json.Unmarshal(text, &c); len(c.Services) == 0 {
		c.Services = nil
	}
	return c, err
}

func diff(a, b lb.Config) []Change {
	var out []Change
	add := func(path, text string) { out = append(out, Change{Path: path, Text: text}) }
	find := func(in []lb.VirtualService, name string) *lb.VirtualService {
		if i := slices.IndexFunc(in, func(s lb.VirtualService) bool { return s.Name == name }); i >= 0 {
			return &in[i]
		}
		return nil
	}
	for _, s := range a.Services {
		if find(b.Services, s.Name) == nil {
			add("services/"+s.Name, s.Name+" removed")
		}
	}
	for _, s := range b.Services {
		switch old := find(a.Services, s.Name); {
		case old == nil:
			add("services/"+s.Name, s.Name+" added")
		case old.Interface != s.Interface:
			add("services/"+s.Name+"/interface", fmt.Sprintf("%s: interface %s -> %s", s.Name, old.Interface, s.Interface))
		}
	}
	common := func(in, other []lb.VirtualService) (out []string) {
		for _, s := range in {
			if find(other, s.Name) != nil {
				out = append(out, s.Name)
			}
		}
		return out
	}
	if !slices.Equal(common(a.Services, b.Services), common(b.Services, a.Services)) {
		add("order/services", "order of the virtual services")
	}
	if a.Cluster.Timers.Dead != b.Cluster.Timers.Dead {
		add("cluster/dead", fmt.Sprintf("dead %v -> %v", a.Cluster.Timers.Dead, b.Cluster.Timers.Dead))
	}
	if a.Node.Name != b.Node.Name {
		add("node/name", "node name")
	}
	return out
}

func (w *world) open() *Store {
	w.t.Helper()
	s, err := Open(Options{
		File: w.file, Now: w.clock,
		Tools: Tools{
			Mistakes: func(c lb.Config) []Mistake {
				for _, s := range c.Services {
					if s.Name == "bad" {
						return []Mistake{{"services[0].name", "is bad", "choose another"}}
					}
				}
				return nil
			},
			Diff: diff, Revision: revision,
			Encode: func(c lb.Config) ([]byte, error) { return json.Marshal(c) },
			Decode: decode,
		},
		Current: func() (lb.Config, string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.now, revision(w.now)
		},
		Apply: func(_ context.Context, c lb.Config) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.fail != nil {
				return w.fail
			}
			text, err := json.Marshal(c)
			if err != nil {
				return err
			}
			if w.now, err = decode(text); err != nil { // as a file does it
				return err
			}
			w.forced = append(w.forced, names(c))
			return nil
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func names(c lb.Config) string {
	var out []string
	for _, s := range c.Services {
		out = append(out, s.Name+s.Interface)
	}
	return strings.Join(out, ",")
}

func add(name string) func(*lb.Config) error {
	return func(c *lb.Config) error {
		c.Services = append(slices.Clone(c.Services), lb.VirtualService{Name: name})
		return nil
	}
}

func put(name, iface string) func(*lb.Config) error {
	return func(c *lb.Config) error {
		c.Services = slices.Clone(c.Services)
		for i := range c.Services {
			if c.Services[i].Name == name {
				c.Services[i].Interface = iface
			}
		}
		return nil
	}
}

func remove(name string) func(*lb.Config) error {
	return func(c *lb.Config) error {
		c.Services = slices.DeleteFunc(slices.Clone(c.Services), func(s lb.VirtualService) bool { return s.Name == name })
		return nil
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func texts(s State) string {
	var out []string
	for _, c := range s.Changes {
		out = append(out, c.Text+" by "+c.Author)
	}
	return strings.Join(out, "; ")
}

func TestEditApplyDiscard(t *testing.T) {
	w := newWorld(t, "a")
	s := w.open()
	first := s.State()
	must(t, s.Edit(t.Context(), first.Tag, "anna", add("b")))
	must(t, s.Edit(t.Context(), "", "otto", add("c")))
	if got := texts(s.State()); got != "b added by anna; c added by otto" {
		t.Errorf("pending: %s", got)
	}
	if err := s.Edit(t.Context(), first.Tag, "anna", add("d")); !errors.Is(err, ErrConflict) {
		t.Errorf("an edit of what was seen before: %v", err)
	}
	refused := errors.New("no")
	if err := s.Edit(t.Context(), "", "anna", func(c *lb.Config) error { c.Services = nil; return refused }); !errors.Is(err, refused) || names(s.State().Config) != "a,b,c" {
		t.Errorf("a refused edit: %v, %s", err, names(s.State().Config))
	}
	s = w.open() // it survives
	must(t, s.Apply(t.Context(), s.State().Tag, "anna", 0))
	if w.inForce() != "a,b,c" || texts(s.State()) != "" {
		t.Errorf("applied %s, pending %q", w.inForce(), texts(s.State()))
	}
	if err := s.Apply(t.Context(), "", "anna", 0); !errors.Is(err, ErrEmpty) {
		t.Errorf("nothing to apply: %v", err)
	}
	must(t, s.Edit(t.Context(), "", "anna", remove("b")))
	must(t, s.Discard("", "anna"))
	if err := s.Discard("", "anna"); !errors.Is(err, ErrEmpty) {
		t.Errorf("nothing to discard: %v", err)
	}
	must(t, s.Edit(t.Context(), "", "anna", add("x")))
	must(t, s.Edit(t.Context(), "", "anna", remove("x")))
	if got := s.State(); len(got.Changes) != 0 {
		t.Errorf("there and back again: %s", texts(got))
	}
}

func TestWhatCannotBeApplied(t *testing.T) {
	w := newWorld(t, "a")
	s := w.open()
	must(t, s.Edit(t.Context(), "", "anna", add("bad")))
	var mistakes *MistakesError
	if err := s.Apply(t.Context(), "", "anna", 0); !errors.As(err, &mistakes) || err.Error() != "services[0].name: is bad: choose another" {
		t.Errorf("mistakes: %v", err)
	}
	must(t, s.Edit(t.Context(), "", "anna", remove("bad")))
	must(t, s.Edit(t.Context(), "", "anna", add("b")))
	w.fail = errors.New("disk on fire")
	for _, within := range []time.Duration{0, time.Minute} {
		if err := s.Apply(t.Context(), "", "anna", within); !errors.Is(err, w.fail) {
			t.Errorf("%v", err)
		}
	}
	if st := s.State(); texts(st) != "b added by anna" || st.Trial != nil {
		t.Errorf("the draft is %q, trial %v", texts(st), st.Trial)
	}
}

// TestAnotherConfiguration comes into force while a draft is pending.
func TestAnotherConfiguration(t *testing.T) {
	for name, tt := range map[string]struct {
		mine, theirs func(*lb.Config) error
		stale        bool
		want         string
	}{
		"another service":        {put("a", "eth1"), put("b", "eth2"), false, "aeth1,beth2"},
		"the same service":       {put("a", "eth1"), put("a", "eth2"), true, ""},
		"removed under my hands": {put("a", "eth1"), remove("a"), true, ""},
		"I remove, they add":     {remove("a"), add("c"), false, "b,c"},
		"both add":               {add("c"), add("d"), false, "a,b,d,c"},
		"the same for both":      {put("a", "eth1"), put("a", "eth1"), false, "aeth1,b"},
		"cluster and service": {put("a", "eth1"), func(c *lb.Config) error {
			c.Cluster.Timers.Dead = time.Second
			return nil
		}, false, "aeth1,b"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "a", "b")
			s := w.open()
			must(t, s.Edit(t.Context(), "", "anna", tt.mine))
			seen := s.State().Tag
			w.change(tt.theirs)
			st := s.State()
			if st.Stale != tt.stale || st.Tag == seen {
				t.Fatalf("stale %t, tag changed %t", st.Stale, st.Tag != seen)
			}
			err := s.Apply(t.Context(), "", "anna", 0)
			if tt.stale {
				if !errors.Is(err, ErrStale) {
					t.Errorf("applied all the same: %v", err)
				}
				return
			}
			if err != nil && !errors.Is(err, ErrEmpty) {
				t.Fatal(err)
			}
			if w.inForce() != tt.want {
				t.Errorf("in force: %s, want %s", w.inForce(), tt.want)
			}
		})
	}
}

// trialOf applies on trial and runs the store.
func trialOf(t *testing.T, w *world) (s *Store, stop func()) {
	t.Helper()
	s = w.open()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	must(t, s.Edit(ctx, "", "anna", add("b")))
	must(t, s.Apply(ctx, "", "anna", time.Minute))
	return s, func() { cancel(); must(t, <-done) }
}

func TestTrialGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a")
		s, stop := trialOf(t, w)
		defer stop()
		must(t, s.Edit(t.Context(), "", "otto", add("c")))
		if err := s.Apply(t.Context(), "", "otto", 0); !errors.Is(err, ErrTrial) {
			t.Errorf("applied beside a trial: %v", err)
		}
		must(t, s.Discard("", "otto"))
		<-time.After(59 * time.Second)
		synctest.Wait()
		if w.inForce() != "a,b" || s.State().Trial == nil {
			t.Errorf("too early: %s", w.inForce())
		}
		<-time.After(time.Second)
		synctest.Wait()
		if w.inForce() != "a" || s.State().Trial != nil {
			t.Errorf("nobody kept it, and %s is in force", w.inForce())
		}
	})
}

func TestTrialKeptOrUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a")
		s, stop := trialOf(t, w)
		defer stop()
		must(t, s.Keep("anna"))
		<-time.After(2 * time.Minute)
		synctest.Wait()
		if w.inForce() != "a,b" {
			t.Errorf("it was kept, and %s is in force", w.inForce())
		}
		if err := s.Keep("anna"); !errors.Is(err, ErrNoTrial) {
			t.Errorf("kept twice: %v", err)
		}
		must(t, s.Edit(t.Context(), "", "anna", add("c")))
		must(t, s.Apply(t.Context(), "", "anna", time.Minute))
		must(t, s.Undo(t.Context(), "anna"))
		if err := s.Undo(t.Context(), "anna"); w.inForce() != "a,b" || !errors.Is(err, ErrNoTrial) {
			t.Errorf("undone: %s, %v", w.inForce(), err)
		}
	})
}

// TestTrialSurvives: the daemon is killed while a configuration is on trial.
func TestTrialSurvives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a")
		_, stop := trialOf(t, w)
		stop()
		<-time.After(5 * time.Minute)
		s := w.open()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		w.failing(errors.New("not ready yet"))
		go func() { done <- s.Run(ctx) }()
		synctest.Wait()
		if w.inForce() != "a,b" || s.State().Trial == nil {
			t.Errorf("it gave up: %s", w.inForce())
		}
		w.failing(nil)
		<-time.After(retry)
		synctest.Wait()
		if w.inForce() != "a" {
			t.Errorf("after the restart %s is in force", w.inForce())
		}
		cancel()
		must(t, <-done)
	})
}

// TestTrialOverByAnother: what somebody else put in force does not go back.
func TestTrialOverByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a")
		s, stop := trialOf(t, w)
		defer stop()
		w.change(add("z"))
		<-time.After(2 * time.Minute)
		synctest.Wait()
		if w.inForce() != "a,b,z" || s.State().Trial != nil {
			t.Errorf("in force: %s", w.inForce())
		}
	})
}

// TestTrialOfTheNodeGoesOnBesideThePeer: what the peer puts in force meanwhile stays, and
// the node's own settings go back all the same, also after a restart.
func TestTrialOfTheNodeGoesOnBesideThePeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a")
		w.now.Node.Name = "lb1"
		s := w.open()
		must(t, s.Edit(t.Context(), "", "anna", func(c *lb.Config) error { c.Node.Name = "lb2"; return nil }))
		must(t, s.Apply(t.Context(), "", "anna", time.Minute))
		w.change(add("z"))
		if s.State().Trial == nil {
			t.Fatal("the trial is over")
		}
		w.change(add("y"))
		s = w.open()
		<-time.After(time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		synctest.Wait()
		if w.inForce() != "a,z,y" || w.now.Node.Name != "lb1" || s.State().Trial != nil {
			t.Errorf("in force: %s on %s", w.inForce(), w.now.Node.Name)
		}
		cancel()
		must(t, <-done)
	})
}

func TestDamagedFileIsSetAside(t *testing.T) {
	for name, text := range map[string]string{"half": `{"version":1,"dr`, "foreign": `{"version":9}`, "nonsense inside": `{"version":1,"draft":{"base":"{","want":"{"}}`} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "a")
			must(t, os.WriteFile(w.file, []byte(text), 0o600))
			s := w.open()
			if st := s.State(); len(st.Changes) != 0 {
				t.Errorf("pending: %s", texts(st))
			}
			if kept, err := os.ReadFile(w.file + ".bad"); err != nil || string(kept) != text {
				t.Errorf("set aside: %q, %v", kept, err)
			}
			must(t, s.Edit(t.Context(), "", "anna", add("b")))
		})
	}
}

// TestNothingKeptNothingChanged: a full disk loses no draft and makes none.
func TestNothingKeptNothingChanged(t *testing.T) {
	w := newWorld(t, "a")
	s := w.open()
	must(t, s.Edit(t.Context(), "", "anna", add("b")))
	s.opts.File = filepath.Join(filepath.Dir(w.file), "nowhere", "draft.json")
	if err := s.Edit(t.Context(), "", "anna", add("c")); err == nil || texts(s.State()) != "b added by anna" {
		t.Errorf("%v, pending %s", err, texts(s.State()))
	}
	if err := s.Apply(t.Context(), "", "anna", time.Minute); err == nil || w.inForce() != "a" {
		t.Errorf("a trial that would not survive was begun: %v", err)
	}
}
