package draft

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/vosbed/vosbed/appliance/lb"
)

// TestTrialOfNothingGoesBack: an emptied list is read again as none, and the trial is
// known all the same.
func TestTrialOfNothingGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a")
		s := w.open()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		must(t, s.Edit(ctx, "", "anna", remove("a")))
		must(t, s.Apply(ctx, "", "anna", time.Minute))
		if w.inForce() != "" || s.State().Trial == nil {
			t.Errorf("in force: %q, trial %v", w.inForce(), s.State().Trial)
		}
		<-time.After(time.Minute)
		synctest.Wait()
		if w.inForce() != "a" {
			t.Errorf("in force: %q", w.inForce())
		}
		cancel()
		must(t, <-done)
	})
}

// TestKilledAtAnyMoment: whatever stands in the file while a configuration comes into
// force, the store that finds it does the right thing.
func TestKilledAtAnyMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a")
		type moment struct {
			name string
			file []byte
			now  lb.Config
			want string // in force in the end
		}
		var moments []moment
		note := func(name, want string) {
			text, err := os.ReadFile(w.file)
			must(t, err)
			moments = append(moments, moment{name, text, w.now, want})
		}
		s := w.open()
		inner := s.opts.Apply
		s.opts.Apply = func(ctx context.Context, c lb.Config) error {
			note("before "+names(c), "a") // on the way there it never was in force, on the way back it ends
			err := inner(ctx, c)
			note("after "+names(c), "a")
			return err
		}
		must(t, s.Edit(t.Context(), "", "anna", add("b")))
		must(t, s.Apply(t.Context(), "", "anna", time.Minute))
		note("on trial", "a")
		must(t, s.Undo(t.Context(), "anna"))
		note("undone", "a")
		for _, m := range moments {
			other := newWorld(t)
			must(t, os.WriteFile(other.file, m.file, 0o600))
			other.now = m.now
			s := other.open()
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- s.Run(ctx) }()
			<-time.After(2 * time.Minute)
			synctest.Wait()
			if other.inForce() != m.want || s.State().Trial != nil {
				t.Errorf("killed %s: %q is in force, want %q", m.name, other.inForce(), m.want)
			}
			if pending := texts(s.State()); strings.HasPrefix(m.name, "before a,b") != (pending == "b added by anna") {
				t.Errorf("killed %s: pending %q", m.name, pending)
			}
			cancel()
			must(t, <-done)
		}
	})
}

// TestDamagedDraftKeepsTheTrial: or it would be in force for good.
func TestDamagedDraftKeepsTheTrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a")
		s := w.open()
		must(t, s.Edit(t.Context(), "", "anna", add("b")))
		must(t, s.Apply(t.Context(), "", "anna", time.Minute))
		must(t, s.Edit(t.Context(), "", "anna", add("c")))
		text, err := os.ReadFile(w.file)
		must(t, err)
		damaged := bytes.Replace(text, []byte(`"want":"{`), []byte(`"want":"[`), 1)
		if bytes.Equal(text, damaged) {
			t.Fatalf("not damaged: %s", text)
		}
		must(t, os.WriteFile(w.file, damaged, 0o600))
		for range 2 { // the second finds what the first wrote
			if st := w.open().State(); len(st.Changes) > 0 || st.Trial == nil || st.Trial.Author != "anna" {
				t.Errorf("pending %s, trial %v", texts(st), st.Trial)
			}
		}
	})
}

// TestClockSetBack: the clock of the machine says 1970 after it started again.
func TestClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a")
		_, stop := trialOf(t, w)
		stop()
		back := time.Now().AddDate(-20, 0, 0)
		began := time.Now()
		w.clock = func() time.Time { return back.Add(time.Since(began)) }
		s := w.open()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		<-time.After(time.Minute)
		synctest.Wait()
		if w.inForce() != "a" {
			t.Errorf("a minute later %s is in force", w.inForce())
		}
		cancel()
		must(t, <-done)
	})
}

// TestStaleSaysWhatBothChanged, is a conflict, and is over once that is edited away.
func TestStaleSaysWhatBothChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b")
	s := w.open()
	must(t, s.Edit(t.Context(), "", "anna", put("a", "eth1")))
	must(t, s.Edit(t.Context(), "", "anna", put("b", "eth1")))
	w.change(put("a", "eth2"))
	err := s.Apply(t.Context(), "", "anna", 0)
	if !errors.Is(err, ErrStale) || !errors.Is(err, ErrConflict) || errors.Is(err, ErrEmpty) {
		t.Errorf("%v", err)
	}
	for _, part := range []string{"meanwhile: a: interface  -> eth2", "pending: a: interface  -> eth1; b: interface"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in %q", part, err)
		}
	}
	must(t, s.Edit(t.Context(), "", "anna", put("a", "")))
	if st := s.State(); st.Stale || texts(st) != "b: interface  -> eth1 by anna" {
		t.Errorf("stale %t, pending %s", st.Stale, texts(st))
	}
	must(t, s.Apply(t.Context(), "", "anna", 0))
	if w.inForce() != "aeth2,beth1" {
		t.Errorf("in force: %s", w.inForce())
	}
}

func TestSummaryIsBounded(t *testing.T) {
	t.Parallel()
	if got := summary(make([]Change, 1000)); !strings.HasSuffix(got, "; and 992 more") || len(got) > 100 {
		t.Errorf("%q", got)
	}
}

// TestOvertakenWhileApplying: another configuration comes into force in between, and is
// not undone.
func TestOvertakenWhileApplying(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	s := w.open()
	must(t, s.Edit(t.Context(), "", "anna", add("b")))
	judge := s.opts.Tools.Mistakes
	s.opts.Tools.Mistakes = func(c lb.Config) []Mistake { w.change(add("z")); return judge(c) }
	if err := s.Apply(t.Context(), "", "anna", time.Minute); !errors.Is(err, ErrConflict) || w.inForce() != "a,z" {
		t.Errorf("%v, in force %s", err, w.inForce())
	}
	if st := s.State(); st.Trial != nil || texts(st) != "b added by anna" || names(st.Config) != "a,z,b" {
		t.Errorf("trial %v, pending %s of %s", st.Trial, texts(st), names(st.Config))
	}
}

// TestRebaseInDoubt: what cannot be told apart is stale, the rest keeps its order.
func TestRebaseInDoubt(t *testing.T) {
	t.Parallel()
	swap := func(c *lb.Config) error {
		c.Services = slices.Clone(c.Services)
		slices.Reverse(c.Services)
		return nil
	}
	both := func(fs ...func(*lb.Config) error) func(*lb.Config) error {
		return func(c *lb.Config) error {
			for _, f := range fs {
				if err := f(c); err != nil {
					return err
				}
			}
			return nil
		}
	}
	for name, tt := range map[string]struct {
		mine, theirs func(*lb.Config) error
		want         string // "" = stale
	}{
		"my order, their value":      {swap, put("a", "eth1"), "b,aeth1"},
		"my order, their service":    {swap, add("c"), ""},
		"their order, my value":      {put("a", "eth1"), swap, "b,aeth1"},
		"the same order, and more":   {both(swap, put("a", "eth1")), swap, "b,aeth1"},
		"the same value, and more":   {both(put("b", "eth2"), put("a", "eth1")), put("b", "eth2"), "aeth1,beth2"},
		"order and a service added":  {both(swap, put("a", "eth1")), add("c"), ""},
		"several of mine keep order": {both(add("z"), add("y"), add("x")), add("c"), "a,b,c,z,y,x"},
		"a name twice in mine":       {add("a"), put("b", "eth1"), ""},
		"order and a new one":        {both(add("c"), swap), put("a", "eth1"), "c,b,aeth1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "a", "b")
			s := w.open()
			must(t, s.Edit(t.Context(), "", "anna", tt.mine))
			w.change(tt.theirs)
			st := s.State()
			if got := names(st.Config); st.Stale != (tt.want == "") || !st.Stale && got != tt.want {
				t.Errorf("stale %t, wanted: %s, want %s", st.Stale, got, tt.want)
			}
		})
	}
}

// TestEditsShareNothing: what an edit does to its configuration in place is its own.
func TestEditsShareNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b")
	s := w.open()
	no := errors.New("no")
	spoil := func(c *lb.Config) error { c.Services[0].Name = "spoilt"; return no }
	for range 2 { // with and without a draft
		if err := s.Edit(t.Context(), "", "anna", spoil); !errors.Is(err, no) {
			t.Fatal(err)
		}
		if got := names(s.State().Config); !strings.HasPrefix(got, "a,b") || w.inForce() != "a,b" {
			t.Errorf("pending %s, in force %s", got, w.inForce())
		}
		must(t, s.Edit(t.Context(), "", "anna", add("c")))
	}
}

// TestCloneIsDeep: a new list of lb.Config cannot be forgotten.
func TestCloneIsDeep(t *testing.T) {
	t.Parallel()
	var c lb.Config
	fill(reflect.ValueOf(&c).Elem())
	twin := clone(c)
	if !reflect.DeepEqual(c, twin) {
		t.Fatal("not equal")
	}
	var shared func(path string, a, b reflect.Value)
	shared = func(path string, a, b reflect.Value) {
		if a.Kind() == reflect.Pointer || a.Kind() == reflect.Map {
			t.Errorf("%s: clone does not know this kind", path)
		}
		if a.Kind() == reflect.Struct {
			for f, v := range a.Fields() {
				if f.IsExported() {
					shared(path+"."+f.Name, v, b.FieldByIndex(f.Index))
				}
			}
		}
		if a.Kind() == reflect.Slice && (a.Len() == 0 || a.Pointer() == b.Pointer()) {
			t.Errorf("%s is shared", path)
		} else if a.Kind() == reflect.Slice {
			shared(path+"[]", a.Index(0), b.Index(0))
		}
	}
	shared("", reflect.ValueOf(c), reflect.ValueOf(twin))
}

// fill gives every list an item.
func fill(v reflect.Value) {
	if v.Kind() == reflect.Struct {
		for f, field := range v.Fields() {
			if f.IsExported() {
				fill(field)
			}
		}
	}
	if v.Kind() == reflect.Slice {
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	}
}

// TestTagOfALostFile: the counting begins anew, and the tags still differ.
func TestTagOfALostFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	s := w.open()
	must(t, s.Edit(t.Context(), "", "anna", add("b")))
	seen := s.State().Tag
	must(t, os.WriteFile(w.file, []byte("?"), 0o600))
	s = w.open()
	must(t, s.Edit(t.Context(), "", "otto", add("c")))
	if err := s.Apply(t.Context(), seen, "anna", 0); !errors.Is(err, ErrConflict) || w.inForce() != "a" {
		t.Errorf("%v: somebody else's changes are in force: %s", err, w.inForce())
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	s := w.open()
	crowd := func(c *lb.Config) error {
		for i := range lb.MaxServices {
			c.Services = append(c.Services, lb.VirtualService{Name: fmt.Sprint("s", i)})
		}
		return nil
	}
	servers := func(c *lb.Config) error {
		c.Services[0].Reals = make([]lb.RealServer, lb.MaxRealServers+1)
		return nil
	}
	for name, f := range map[string]func(*lb.Config) error{"services": crowd, "servers": servers} {
		if err := s.Edit(t.Context(), "", "anna", f); err == nil || !strings.Contains(err.Error(), "remove one first") {
			t.Errorf("%s without bounds: %v", name, err)
		}
	}
	must(t, s.Edit(t.Context(), "", "anna", add("b")))
	if err := s.Apply(t.Context(), "", "anna", -time.Second); err == nil || w.inForce() != "a" {
		t.Errorf("a trial of the past: %v", err)
	}
	if err := s.Apply(t.Context(), "other", "anna", 0); !errors.Is(err, ErrConflict) {
		t.Errorf("another tag: %v", err)
	}
	if err := s.Discard("other", "anna"); !errors.Is(err, ErrConflict) {
		t.Errorf("another tag: %v", err)
	}
	s.opts.Tools.Decode = func([]byte) (lb.Config, error) { return lb.Config{}, errors.New("no") }
	if err := s.Edit(t.Context(), "", "anna", add("c")); err == nil {
		t.Error("what could not be read again is kept")
	}
	if _, err := Open(Options{File: w.file}); err == nil {
		t.Error("a store without tools is opened")
	}
}

// TestNoFileIsFatal: a folder in its place, no right to set it aside.
func TestNoFileIsFatal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	must(t, os.MkdirAll(filepath.Join(w.file, "x"), 0o700))
	must(t, w.open().Edit(t.Context(), "", "anna", add("b")))
	if info, err := os.Stat(w.file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// TestTheLastOneToChangeAValueIsItsAuthor.
func TestTheLastOneToChangeAValueIsItsAuthor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b")
	s := w.open()
	must(t, s.Edit(t.Context(), "", "anna", put("a", "eth1")))
	must(t, s.Edit(t.Context(), "", "otto", put("b", "eth1")))
	must(t, s.Edit(t.Context(), "", "otto", put("a", "eth2")))
	want := "a: interface  -> eth2 by otto; b: interface  -> eth1 by otto"
	for _, s := range []*Store{s, w.open()} {
		if st := s.State(); texts(st) != want || st.Changes[0].At.IsZero() {
			t.Errorf("pending %s", texts(st))
		}
	}
}

// TestManyPeople edit at once, and none of their changes is lost.
func TestManyPeople(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	s := w.open()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for {
				seen := s.State()
				err := s.Edit(t.Context(), seen.Tag, "anna", add(fmt.Sprint("s", i)))
				if !errors.Is(err, ErrConflict) {
					if err != nil {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	all.Wait()
	if got := s.State(); len(got.Changes) != 8 {
		t.Errorf("pending %s", texts(got))
	}
}

// TestAnySequence: after whatever people and the peer do, the store tells the truth, and
// one that is opened on its file tells the same.
func TestAnySequence(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	runs := 0
	rapid.Check(t, func(r *rapid.T) {
		runs++
		w := newWorld(t, "a", "b")
		w.file = filepath.Join(dir, fmt.Sprint(runs))
		s := w.open()
		edits := []func(*lb.Config) error{add("c"), add("bad"), remove("a"), remove("bad"), put("b", "eth1"), put("b", ""), put("a", "eth1")}
		tags := map[string]string{} // what was seen by each
		for range rapid.IntRange(1, 12).Draw(r, "steps") {
			f := rapid.SampledFrom(edits).Draw(r, "edit")
			force := w.inForce()
			var err error
			what := rapid.SampledFrom([]string{"edit", "edit", "theirs", "discard", "apply", "trial", "keep", "undo"}).Draw(r, "what")
			switch what {
			case "edit":
				err = s.Edit(t.Context(), "", "anna", f)
			case "theirs":
				w.change(f)
			case "discard":
				err = s.Discard("", "anna")
			case "apply":
				err = s.Apply(t.Context(), "", "anna", 0)
			case "trial":
				err = s.Apply(t.Context(), "", "anna", time.Hour)
			case "keep":
				err = s.Keep("anna")
			case "undo":
				err = s.Undo(t.Context(), "anna")
			}
			if moves := what == "theirs" || (what == "apply" || what == "trial" || what == "undo") && err == nil; !moves && w.inForce() != force {
				r.Fatalf("%s (%v) put %s in force", what, err, w.inForce())
			}
			st := s.State()
			if want := diffTexts(diff(w.now, st.Config)); !st.Stale && want != diffTexts(st.Changes) {
				r.Fatalf("after %s pending %q, really %q", what, diffTexts(st.Changes), want)
			}
			view := fmt.Sprint(w.inForce(), "|", diffTexts(st.Changes), "|", names(st.Config))
			if seen, ok := tags[st.Tag]; ok && seen != view {
				r.Fatalf("the tag of %q is that of %q", seen, view)
			}
			tags[st.Tag] = view
			again := w.open().State()
			if st.Trial != nil && again.Trial != nil { // its end is measured anew
				again.Trial.Until = st.Trial.Until
			}
			if !reflect.DeepEqual(st, again) {
				r.Fatalf("after %s and a restart:\n%+v\nbefore:\n%+v", what, again, st)
			}
		}
	})
}

func diffTexts(changes []Change) string {
	var out []string
	for _, c := range changes {
		out = append(out, c.Text)
	}
	return strings.Join(out, "; ")
}

// FuzzOpen: no file makes a store fail or panic, and what it took up can be kept.
func FuzzOpen(f *testing.F) {
	for _, seed := range []string{
		"", "{}", `{"version":1}`, `{"version":1,"count":18446744073709551615}`, `{"version":1,"draft":{}}`,
		`{"version":1,"draft":{"base":"{}","want":"{\"Services\":[{\"Name\":\"x\"}]}"}}`,
		`{"version":1,"trial":{"former":"{}","until":"0001-01-01T00:00:00Z","within":-1}}`,
		`{"version":1,"trial":{"former":"{}","until":"9999-12-31T23:59:59Z","within":9223372036854775807}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		w := newWorld(t, "a")
		must(t, os.WriteFile(w.file, data, 0o600))
		s := w.open()
		s.State()
		if err := s.Edit(t.Context(), "", "anna", add("b")); err != nil && !strings.Contains(err.Error(), "remove one first") {
			t.Error(err)
		}
		w.open().State()
	})
}
