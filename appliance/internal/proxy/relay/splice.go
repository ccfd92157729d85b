package relay

import (
	"errors"

	"golang.org/x/sys/unix"
)

// pipeSize is asked of every pipe. Without CAP_SYS_RESOURCE the kernel grants it
// to the first 64 pipes of a user only (fs.pipe-user-pages-soft).
const pipeSize = 1 << 20

const spliceFlags = unix.SPLICE_F_NONBLOCK | unix.SPLICE_F_MOVE

// pipe carries bytes between two sockets without a copy through user space.
type pipe struct {
	r, w  int
	bytes int // inside
}

func newPipe() (*pipe, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, err
	}
	// A refusal leaves the default size: slower, not wrong.
	_, _ = unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, pipeSize)
	return &pipe{r: fds[0], w: fds[1]}, nil
}

func (p *pipe) close() {
	_ = unix.Close(p.r)
	_ = unix.Close(p.w)
}

// fillPipe moves what the source has into the flow's empty pipe.
func (f *Flow) fillPipe(s *Scratch, src *End) error {
	n, err := splice(src.FD, f.pipe.w, pipeSize)
	switch {
	case errors.Is(err, unix.EAGAIN):
		src.Readable = false
	case err != nil:
		return err
	case n == 0:
		f.ended = true
	}
	f.pipe.bytes += max(n, 0)
	if f.pipe.bytes == 0 {
		f.returnPipe(s)
	}
	return nil
}

// drainPipe moves what the pipe holds to the destination and gives an empty pipe back.
func (f *Flow) drainPipe(s *Scratch, dst *End) (int, error) {
	sent := 0
	for dst.Writable && f.pipe.bytes > 0 {
		n, err := splice(f.pipe.r, dst.FD, f.pipe.bytes)
		if errors.Is(err, unix.EAGAIN) {
			dst.Writable = false
			break
		}
		if err != nil {
			return sent, err
		}
		sent += n
		f.pipe.bytes -= n
	}
	if f.pipe.bytes == 0 {
		f.returnPipe(s)
	}
	return sent, nil
}

func (f *Flow) returnPipe(s *Scratch) {
	s.returnPipe(f.pipe)
	f.pipe = nil
}

func splice(from, to, n int) (int, error) {
	for {
		m, err := unix.Splice(from, nil, to, nil, n, spliceFlags)
		if !errors.Is(err, unix.EINTR) {
			return int(m), err
		}
	}
}
