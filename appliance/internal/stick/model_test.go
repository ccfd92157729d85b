package stick

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vosbed/vosbed/appliance/internal/dataplane"
	"github.com/vosbed/vosbed/appliance/lb"
)

// model is the table as one would explain it: a list in order of last use.
type model struct {
	timeout  time.Duration
	capacity int
	list     []modelEntry // the least recently used first
}

type modelEntry struct {
	key
	server string
	used   time.Time
}

func (m *model) expire(now time.Time) {
	m.list = slices.DeleteFunc(m.list, func(e modelEntry) bool { return now.Sub(e.used) >= m.timeout })
}

func (m *model) find(k key) int {
	return slices.IndexFunc(m.list, func(e modelEntry) bool { return e.key == k })
}

func (m *model) put(e modelEntry) {
	if i := m.find(e.key); i >= 0 {
		m.list = slices.Delete(m.list, i, i+1)
	} else if len(m.list) == m.capacity {
		m.list = m.list[1:]
	}
	m.list = append(m.list, e)
}

// TestAgainstModel runs random operations on the table and on the model. Time moves
// with every step, so that the order of use is total.
func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{timeout: time.Minute, capacity: rapid.IntRange(1, 8).Draw(t, "capacity")}
		table := New(Options{Capacity: m.capacity, Timeout: m.timeout})
		now := epoch
		draw := func() (key, string) {
			service := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "service")
			client := ip(rapid.IntRange(0, 5).Draw(t, "client"))
			return key{service, client}, rapid.SampledFrom([]string{"s1", "s2", "s3"}).Draw(t, "server")
		}
		step := func(f func(k key, server string)) func(*rapid.T) {
			return func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 20_000).Draw(t, "ms")) * time.Millisecond)
				m.expire(now)
				// An expired entry still takes room until it is met or swept.
				table.Sweep(now)
				k, s := draw()
				f(k, s)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"reserve": step(func(k key, s string) {
				want, exists := s, false
				if i := m.find(k); i >= 0 {
					want, exists = m.list[i].server, true
				}
				got, existed, ok := table.Reserve(now, k.service, k.client, to(s))
				if got != want || existed != exists || !ok {
					t.Fatalf("Reserve = %q, %v, %v, want %q, %v", got, existed, ok, want, exists)
				}
				m.put(modelEntry{k, want, now})
			}),
			"move": step(func(k key, s string) {
				want := "s9"
				if i := m.find(k); i >= 0 && m.list[i].server != s {
					want = m.list[i].server
				}
				got, _, ok := table.Move(now, k.service, k.client, s, to("s9"))
				if got != want || !ok {
					t.Fatalf("Move = %q, %v, want %q", got, ok, want)
				}
				m.put(modelEntry{k, want, now})
			}),
			"drop": step(func(k key, s string) {
				i := m.find(k)
				match := i >= 0 && m.list[i].server == s
				if got := table.Drop(k.service, k.client, s); got != match {
					t.Fatalf("Drop = %v, want %v", got, match)
				}
				if match {
					m.list = slices.Delete(m.list, i, i+1)
				}
			}),
			"import": step(func(k key, s string) {
				idle := time.Duration(rapid.IntRange(0, 90_000).Draw(t, "idle")) * time.Millisecond
				used := now.Add(-idle)
				i := m.find(k)
				full := len(m.list) == m.capacity && !used.After(m.list[0].used)
				take := idle < m.timeout && (i >= 0 && used.After(m.list[max(i, 0)].used) || i < 0 && !full)
				n := table.Import(now, []lb.PersistenceEntry{{Service: k.service, Client: k.client, Server: s, Idle: idle}})
				if (n == 1) != take {
					t.Fatalf("Import took %d, want %v", n, take)
				}
				if take {
					m.put(modelEntry{k, s, used})
					slices.SortStableFunc(m.list, func(a, b modelEntry) int { return a.used.Compare(b.used) })
				}
			}),
			"clear": step(func(k key, s string) {
				n := len(m.list)
				m.list = slices.DeleteFunc(m.list, func(e modelEntry) bool { return e.service == k.service && e.server == s })
				if got := table.Clear(dataplane.Selector{Service: k.service, Server: s}); got != n-len(m.list) {
					t.Fatalf("Clear = %d, want %d", got, n-len(m.list))
				}
			}),
			"": func(t *rapid.T) {
				var want []lb.PersistenceEntry
				for _, e := range m.list {
					want = append(want, lb.PersistenceEntry{Service: e.service, Client: e.client, Server: e.server, Idle: now.Sub(e.used)})
				}
				got := table.Export(now)
				byClient := func(a, b lb.PersistenceEntry) int {
					return cmp.Or(cmp.Compare(a.Service, b.Service), a.Client.Compare(b.Client))
				}
				slices.SortFunc(want, byClient)
				slices.SortFunc(got, byClient)
				if !slices.Equal(want, got) {
					t.Fatalf("entries = %v, want %v", got, want)
				}
				if s := table.Stats(); s.Entries > s.Capacity {
					t.Fatalf("stats = %+v: over capacity", s)
				}
			},
		})
	})
}

// TestImportOrderDoesNotMatter: replication may deliver in any order and twice.
func TestImportOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entry := rapid.Custom(func(t *rapid.T) lb.PersistenceEntry {
			n := rapid.IntRange(0, 1000).Draw(t, "n")
			return lb.PersistenceEntry{
				Service: "a", Client: ip(n % 7), Server: rapid.SampledFrom([]string{"s1", "s2"}).Draw(t, "server"),
				Idle: time.Duration(n) * time.Second,
			}
		})
		in := rapid.SliceOfNDistinct(entry, 0, 30, func(e lb.PersistenceEntry) [2]any { return [2]any{e.Client, e.Idle} }).Draw(t, "entries")
		once, twice := New(Options{}), New(Options{})
		once.Import(epoch, in)
		for _, i := range rapid.Permutation(append(slices.Clone(in), in...)).Draw(t, "order") {
			twice.Import(epoch, []lb.PersistenceEntry{i})
		}
		a, b := table(once), table(twice)
		if !slices.Equal(a, b) {
			t.Fatalf("tables differ:\n%v\n%v", a, b)
		}
	})
}

func table(t *Table) []lb.PersistenceEntry {
	out := t.Export(epoch)
	slices.SortFunc(out, func(a, b lb.PersistenceEntry) int { return a.Client.Compare(b.Client) })
	return out
}
