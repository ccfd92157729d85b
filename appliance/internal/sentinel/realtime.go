package sentinel

import (
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fifoPriority is above ordinary real-time work and below the kernel's own threads.
const fifoPriority = 40

// memoryLimit keeps the collector idle: the loop allocates some kilobytes a second,
// so it runs every hour or so instead of whenever the small heap has doubled.
const memoryLimit = 48 << 20

// goRealTime gives every thread of the process SCHED_FIFO and locks its memory; new
// threads inherit both. The error says why the first did not work.
func goRealTime() error {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(memoryLimit)
	// Without it a page fault may cost milliseconds under memory pressure; where it
	// is not allowed the sentinel works all the same.
	_ = unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT)
	return scheduleAll()
}

// scheduleAll repeats until it has seen no new thread: one may be born meanwhile.
func scheduleAll() error {
	done := map[int]bool{}
	for {
		fresh := false
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("list threads: %w", err)
		}
		for _, t := range tasks {
			tid, err := strconv.Atoi(t.Name())
			if err != nil || done[tid] {
				continue
			}
			done[tid], fresh = true, true
			if err := fifo(tid); err != nil {
				return err
			}
		}
		if !fresh {
			return nil
		}
	}
}

func fifo(tid int) error {
	param := struct{ priority int32 }{fifoPriority}
	_, _, errno := unix.RawSyscall(unix.SYS_SCHED_SETSCHEDULER, uintptr(tid), unix.SCHED_FIFO, uintptr(unsafe.Pointer(&param)))
	if errno != 0 && errno != unix.ESRCH {
		return fmt.Errorf("real-time scheduling (CAP_SYS_NICE is needed): %w", errno)
	}
	return nil
}
