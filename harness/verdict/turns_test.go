package verdict_test

import (
	"strconv"
	"testing"

	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/harness/verdict"
)

func TestTriplesGiveARatioForEachPath(t *testing.T) {
	var history []observe.Record
	for pair, by := range []map[string]float64{
		{"direct": 100, "vip": 70, "haproxy": 40},
		{"direct": 200, "vip": 120, "haproxy": 82},
		{"direct": 100, "vip": 65, "haproxy": 39},
	} {
		for path, v := range by {
			r, err := observe.New(0, observe.KindSample, "load", observe.Sample{
				Metric: "rate", Value: v, Labels: map[string]string{"path": path, "pair": strconv.Itoa(pair + 1)},
			})
			if err != nil {
				t.Fatal(err)
			}
			history = append(history, r)
		}
	}
	m := verdict.Compute(history)
	for name, want := range map[string]float64{"rate_ratio": 0.65, "rate_haproxy_ratio": 0.4} {
		s, ok := m.Find(verdict.Ref{Metric: name})
		if !ok || s.Median != want || s.N != 3 {
			t.Errorf("%s is %+v, want the median %g of 3", name, s, want)
		}
	}
}
