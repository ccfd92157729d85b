package lab

import "testing"

func TestCPUTimeOfOthers(t *testing.T) {
	before := cpu{total: 1000, stolen: 10, used: 500, mine: 300}
	for _, tt := range []struct {
		name            string
		now             cpu
		stolen, foreign float64
	}{
		{"idle", cpu{total: 1200, stolen: 10, used: 500, mine: 300}, 0, 0},
		{"the lab works", cpu{total: 1200, stolen: 10, used: 600, mine: 400}, 0, 0},
		{"others work", cpu{total: 1200, stolen: 10, used: 650, mine: 350}, 0, 50},
		{"the host works", cpu{total: 1200, stolen: 60, used: 500, mine: 300}, 25, 0},
		{"ticks are coarse", cpu{total: 1200, stolen: 10, used: 510, mine: 312}, 0, 0},
		{"no time has passed", before, 0, 0},
	} {
		stolen, foreign := tt.now.since(before)
		if stolen != tt.stolen || foreign != tt.foreign {
			t.Errorf("%s: stolen %v, foreign %v; want %v and %v", tt.name, stolen, foreign, tt.stolen, tt.foreign)
		}
	}
}

func TestProcessTime(t *testing.T) {
	for stat, want := range map[string]float64{
		"42 (a) b) c) S 1 42 42 0 -1 4194560 123 0 0 0 7 5 30 11 20 0 1 0 100 0 0": 53,
		"42 (short) S 1": 0,
		"":               0,
	} {
		if got := processTime([]byte(stat)); got != want {
			t.Errorf("%q: %v, want %v", stat, got, want)
		}
	}
	if c := cpuTimes(); c.total <= 0 || c.mine <= 0 || c.used <= 0 {
		t.Errorf("this machine: %+v", c)
	}
}
