package lab

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/harness/observe"
)

// guardNap is the timer whose lateness is measured.
const guardNap = 10 * time.Millisecond

// Guard samples what could spoil a measurement, once a second until ctx ends: CPU
// time stolen by the host, CPU time that processes outside the lab took, and how
// late a 10 ms timer fires at worst.
func (l *Lab) Guard(ctx context.Context) {
	before := cpuTimes()
	next := Monotonic() + time.Second
	var worst time.Duration
	for ctx.Err() == nil {
		start := Monotonic()
		ts := unix.NsecToTimespec(int64(guardNap))
		_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &ts, nil)
		worst = max(worst, Monotonic()-start-guardNap)
		if Monotonic() < next && ctx.Err() == nil { // the last second may be short
			continue
		}
		now := cpuTimes()
		stolen, foreign := now.since(before)
		for _, s := range []observe.Sample{
			{Metric: observe.MetricSteal, Value: stolen, Unit: "%"},
			{Metric: observe.MetricForeign, Value: foreign, Unit: "%"},
			{Metric: observe.MetricTimerLate, Value: float64(worst) / 1e6, Unit: "ms"},
		} {
			l.Record(observe.KindSample, "", "", s)
		}
		before, worst = now, 0
		next = Monotonic() + time.Second
	}
}

// cpu is CPU time since boot, in ticks: of all processors, stolen, used by
// processes, and used by those that this process sees. In a run these are the lab's.
type cpu struct{ total, stolen, used, mine float64 }

// since returns what was stolen and what others used since before, in percent of
// all CPU time.
func (c cpu) since(before cpu) (stolen, foreign float64) {
	total := c.total - before.total
	if total <= 0 {
		return 0, 0
	}
	others := (c.used - before.used) - (c.mine - before.mine)
	return 100 * (c.stolen - before.stolen) / total, 100 * max(0, others) / total
}

// cpuTimes reads the first line of /proc/stat (proc(5)): user, nice, system, idle,
// iowait, irq, softirq, steal.
func cpuTimes() cpu {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return cpu{}
	}
	line, _, _ := strings.Cut(string(b), "\n")
	// One that is reaped while its parent has been read already is in neither: the
	// second reading has it.
	c := cpu{mine: max(processTimes(), processTimes())}
	for i, f := range strings.Fields(line) {
		v, err := strconv.ParseFloat(f, 64)
		if err != nil || i > 8 {
			continue
		}
		c.total += v
		switch i {
		case 1, 2, 3:
			c.used += v
		case 8:
			c.stolen = v
		}
	}
	return c
}

// processTimes is the CPU time of all processes of /proc, in ticks, with that of
// their children that have ended.
func processTimes() float64 {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	sum := 0.0
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil { // else it has ended
			sum += processTime(b)
		}
	}
	return sum
}

// processTime reads utime, stime, cutime and cstime of /proc/PID/stat (proc(5)),
// fields 14 to 17; the name in field 2 may hold anything but ends with the last
// parenthesis.
func processTime(stat []byte) float64 {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 15 {
		return 0
	}
	sum := 0.0
	for _, f := range fields[11:15] {
		v, _ := strconv.ParseFloat(string(f), 64)
		sum += v
	}
	return sum
}
