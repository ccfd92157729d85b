package sentinel

import (
	"context"
	"fmt"
	"os"
	ossignal "os/signal"
	"runtime"

	"golang.org/x/sys/unix"
)

// SocketFd is the descriptor on which a sentinel finds its socket.
const SocketFd = 3

// Main is the whole life of a sentinel process. conn is the inherited socket,
// openLease maps the data plane's lease (nil = there is none). It returns when the
// main daemon is gone or ctx ends, leaving lease and addresses as they are.
//
// Main changes the process: all threads become real-time where that is allowed, and
// the signals that a terminal sends to the group are ignored, because the main
// daemon may need the sentinel for an orderly end.
func Main(ctx context.Context, conn *os.File, openLease func(dir string) (Leaser, error)) error {
	ossignal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	// Two: the loop's thread, and one for the carrier goroutine and the runtime.
	runtime.GOMAXPROCS(2)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	realTime := goRealTime()
	fd := int(conn.Fd()) // blocking mode: the loop polls
	wake, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("make an eventfd: %w", err)
	}
	// An ended ctx looks like a main daemon that is gone.
	stop := context.AfterFunc(ctx, func() { _ = unix.Shutdown(fd, unix.SHUT_RDWR) })
	defer stop()
	l := &loop{conn: fd, wake: wake, openLease: openLease, realTime: realTime, buf: make([]byte, maxMessage)}
	err = l.run()
	runtime.KeepAlive(conn)
	return err
}
