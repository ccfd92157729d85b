package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// host is what is worth knowing of the machine, without its name.
type host struct {
	Kernel     string `json:"kernel"`
	CPU        string `json:"cpu"`
	CPUs       int    `json:"cpus"`
	Go         string `json:"go"`
	Commit     string `json:"commit,omitempty"`
	LoadBefore string `json:"load_before"`
	LoadAfter  string `json:"load_after"`
	// BusyPercent and StealPercent are shares of all CPU time of the run: all that
	// was not idle, and what the hypervisor gave to others.
	BusyPercent  float64 `json:"busy_percent"`
	StealPercent float64 `json:"steal_percent"`
}

func machine(ctx context.Context) host {
	return host{
		Kernel: kernel(), CPU: cpuModel(), CPUs: runtime.NumCPU(),
		Go: runtime.Version(), Commit: commit(ctx), LoadBefore: loadAverage(),
	}
}

// lines are the machine in words.
func (h host) lines() []string {
	first := fmt.Sprintf("machine: Linux %s, %d CPUs (%s), %s", h.Kernel, h.CPUs, h.CPU, h.Go)
	if h.Commit != "" {
		first += ", commit " + h.Commit
	}
	return []string{first, fmt.Sprintf("noise: load average %s before and %s after, %.0f %% of CPU time busy, %.1f %% stolen", h.LoadBefore, h.LoadAfter, h.BusyPercent, h.StealPercent)}
}

func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}

// cpuModel reads the first model name (proc(5), /proc/cpuinfo).
func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return runtime.GOARCH
}

// commit is the short name of the tree, empty outside a repository.
func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// loadAverage is that of the last minute.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

// cpu is CPU time since boot, in ticks.
type cpu struct{ total, idle, stolen float64 }

// cpuTimes reads the first line of /proc/stat (proc(5)): user, nice, system,
// idle, iowait, irq, softirq, steal.
func cpuTimes() cpu {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return cpu{}
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	var c cpu
	for i := 1; i < len(fields) && i <= 8; i++ {
		v, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return cpu{}
		}
		c.total += v
		switch i {
		case 4, 5:
			c.idle += v
		case 8:
			c.stolen = v
		}
	}
	return c
}

// since returns the shares in percent since before.
func (c cpu) since(before cpu) (busy, stolen float64) {
	all := c.total - before.total
	if all <= 0 {
		return 0, 0
	}
	return 100 * (1 - (c.idle-before.idle)/all), 100 * (c.stolen - before.stolen) / all
}
