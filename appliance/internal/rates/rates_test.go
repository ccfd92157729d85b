package rates

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/appliance/lb"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// counted is a service with one server that has counted so many connections.
func counted(conns uint64) []lb.ServiceStatus {
	in, out := lb.Counter{Packets: 10 * conns, Bytes: 1000 * conns}, lb.Counter{Packets: conns, Bytes: conns}
	return []lb.ServiceStatus{{
		Name: "V", Counters: lb.ServiceCounters{Conns: conns, In: in, Out: out},
		Reals: []lb.RealStatus{{Name: "A", Counters: lb.RealCounters{Conns: conns, In: in, Out: out}}},
	}}
}

// of is the flow of so many connections a second.
func of(conns float64) Flow { return Flow{conns, 10 * conns, conns, 1000 * conns, conns} }

func TestRates(t *testing.T) {
	t.Parallel()
	type step struct {
		after time.Duration
		conns uint64
	}
	const s = time.Second
	for name, tt := range map[string]struct {
		steps []step
		want  *Rate // nil = none
	}{
		"nothing":                {nil, nil},
		"one reading":            {[]step{{0, 5}}, nil},
		"two readings":           {[]step{{0, 5}, {5 * s, 15}}, &Rate{of(2), of(2), of(2)}},
		"too close":              {[]step{{0, 5}, {4 * s, 15}}, nil},
		"too close is summed":    {[]step{{0, 5}, {4 * s, 15}, {4 * s, 21}}, &Rate{of(2), of(2), of(2)}},
		"the longer counts more": {[]step{{0, 0}, {5 * s, 50}, {15 * s, 50}}, &Rate{of(0), of(2.5), of(10)}},
		"counters begin anew":    {[]step{{0, 50}, {5 * s, 60}, {5 * s, 3}, {5 * s, 8}}, &Rate{of(1), of(1.5), of(2)}},
		"only begun anew":        {[]step{{0, 50}, {5 * s, 3}}, nil},
		"the clock goes back":    {[]step{{0, 0}, {5 * s, 10}, {-time.Hour, 20}, {5 * s, 25}}, &Rate{of(1), of(1.5), of(2)}},
		"old ones are dropped":   {[]step{{0, 0}, {5 * s, 500}, {5 * s, 505}, {5 * s, 510}, {5 * s, 520}}, &Rate{of(2), of(4. / 3), of(2)}},
	} {
		tr := New(5*s, 3)
		at := noon
		for _, st := range tt.steps {
			at = at.Add(st.after)
			tr.Add(at, counted(st.conns))
		}
		want := map[lb.RealID]Rate{}
		if tt.want != nil {
			want[lb.RealID{Service: "V"}], want[lb.RealID{Service: "V", Real: "A"}] = *tt.want, *tt.want
		}
		near := cmp.Comparer(func(a, b float64) bool { return a-b < 1e-6 && b-a < 1e-6 })
		if diff := cmp.Diff(want, tr.Rates(), near); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestForgets: what is not configured any more takes no memory, and who comes back begins.
func TestForgets(t *testing.T) {
	t.Parallel()
	tr := New(time.Second, 3)
	for i := range 3 {
		tr.Add(noon.Add(time.Duration(i)*time.Second), counted(uint64(i)))
	}
	tr.Add(noon.Add(3*time.Second), nil)
	if len(tr.Rates()) != 0 || len(tr.lines) != 0 {
		t.Errorf("%v", tr.Rates())
	}
	tr.Add(noon.Add(4*time.Second), counted(1000))
	if len(tr.Rates()) != 0 {
		t.Errorf("a service that came back has the rate %v", tr.Rates())
	}
}
