// Package jail gives a run namespaces of its own (processes, mounts, network,
// host name, IPC), so that it leaves nothing behind however it ends. The front
// stays outside; its child is process 1 of the new namespaces, starts the engine
// and watches a pipe from the front. When the front is gone the pipe ends, process
// 1 returns, and the kernel kills everything else and takes the mounts down.
package jail

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pipeFD is where process 1 finds its end of the front's pipe.
const pipeFD = 3

// stopByte asks process 1 to end the run early, with a verdict.
const stopByte = 's'

// patience is the time within which further signals count as the first: a
// terminal or a supervisor may send it to the process and to its group.
const patience = time.Second

// ErrNotPermitted reports that the namespaces cannot be made.
var ErrNotPermitted = errors.New("namespaces cannot be made: run as root, for example with sudo")

// Front runs argv as process 1 of new namespaces and returns its exit status.
// The first SIGINT or SIGTERM is passed on as a wish to stop early, the second
// kills. started is called with the child's process id.
func Front(ctx context.Context, argv []string, started func(pid int)) (int, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("make a pipe: %w", err)
	}
	defer w.Close()
	cmd := &exec.Cmd{Path: argv[0], Args: argv, Stdout: os.Stdout, Stderr: os.Stderr, ExtraFiles: []*os.File{r}}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:    true,
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
	}
	sig := make(chan os.Signal, 4)
	signal.Notify(sig, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(sig)
	err = cmd.Start()
	_ = r.Close()
	if errors.Is(err, syscall.EPERM) {
		return 0, ErrNotPermitted
	}
	if err != nil {
		return 0, fmt.Errorf("start the run: %w", err)
	}
	started(cmd.Process.Pid)
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	return follow(ctx, cmd, w, sig, done)
}

// follow passes signals on until the child has ended.
func follow(ctx context.Context, cmd *exec.Cmd, w *os.File, sig <-chan os.Signal, done <-chan error) (int, error) {
	var first time.Time
	stop := ctx.Done()
	for {
		select {
		case err := <-done:
			return status(err)
		case <-stop:
			stop = nil
			_ = cmd.Process.Kill()
		case <-sig:
			switch {
			case first.IsZero():
				first = time.Now()
				_, _ = w.Write([]byte{stopByte})
			case time.Since(first) > patience:
				_ = cmd.Process.Kill()
			}
		}
	}
}

func status(err error) (int, error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit):
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return 128 + int(ws.Signal()), nil
		}
		return exit.ExitCode(), nil
	}
	return 0, fmt.Errorf("wait for the run: %w", err)
}

// Init is process 1: it makes mounts private, mounts /proc, starts argv, reaps,
// and returns the exit status of argv, or earlier when the front is gone.
func Init(argv []string) (int, error) {
	if os.Getpid() != 1 {
		return 0, errors.New("this command is started by `vosbed run` alone")
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return 0, fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return 0, fmt.Errorf("mount /proc: %w", err)
	}
	unix.CloseOnExec(pipeFD)
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	defer null.Close()
	p, err := os.StartProcess(argv[0], argv, &os.ProcAttr{
		Env: os.Environ(), Files: []*os.File{null, os.Stdout, os.Stderr},
		Sys: &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return 0, fmt.Errorf("start the engine: %w", err)
	}
	gone := make(chan struct{})
	go listen(p.Pid, gone)
	ended := make(chan int, 1)
	go func() { ended <- reap(p.Pid) }()
	select {
	case code := <-ended:
		return code, nil
	case <-gone:
		return 128 + int(unix.SIGKILL), nil
	}
}

// listen reads the front's pipe: a byte is a wish to stop, the end means that the
// front is gone.
func listen(engine int, gone chan<- struct{}) {
	pipe := os.NewFile(pipeFD, "front")
	b := make([]byte, 1)
	for {
		if _, err := pipe.Read(b); err != nil {
			close(gone)
			return
		}
		_ = unix.Kill(engine, unix.SIGINT)
	}
}

// reap collects ended processes until the engine is among them.
func reap(engine int) int {
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 1
		case pid == engine && ws.Exited():
			return ws.ExitStatus()
		case pid == engine && ws.Signaled():
			return 128 + int(ws.Signal())
		}
	}
}
