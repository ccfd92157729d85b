package relay

import (
	"errors"

	"golang.org/x/sys/unix"
)

// End is one socket of a relayed connection with what epoll last said of it.
type End struct {
	FD       int
	Readable bool
	Writable bool
	// Closed: the peer sends no more. Reads must go on until they return 0, as no
	// further event will come.
	Closed bool
}

// Outcome is why a turn of a flow ended.
type Outcome int

// Outcomes.
const (
	// Waiting for the source or the destination.
	Waiting Outcome = iota
	// More could be moved, but others deserve a turn.
	More
	// Finished: the source has ended and everything has been handed to the kernel.
	Finished
	// Broken: one of the sockets failed.
	Broken
)

const (
	// turnBudget bounds the bytes of one turn, so that a fast flow does not starve
	// the others on its loop.
	turnBudget = 2 << 20
	// bulkTurn is the least size of a turn that counts as load, and promoteAfter
	// the load in a row that promotes a flow to splice.
	bulkTurn     = 16 << 10
	promoteAfter = 1 << 20
	// cautious is the read size towards a receiver that was full of late: it bounds
	// what a slow receiver can make the relay hold.
	cautious = 32 << 10
)

// Flow is one direction. The zero value is ready.
type Flow struct {
	held    []byte // read, not yet written
	buf     []byte // the pooled buffer behind held
	pipe    *pipe  // kept while it holds bytes
	load    int    // bytes moved in large turns without a break
	slow    bool   // the destination was full lately
	spliced bool
	ended   bool // the source returned end of file
}

// Move relays from src to dst until one of them is not ready. It returns the bytes
// that were handed to dst.
func (f *Flow) Move(s *Scratch, src, dst *End) (moved int, out Outcome) {
	for moved < turnBudget {
		n, done := f.flush(s, dst)
		moved += n
		switch {
		case done != nil:
			return moved, Broken
		case f.holding():
			f.slow = true
			f.count(moved)
			return moved, Waiting
		case f.ended:
			return moved, Finished
		case !src.Readable:
			f.count(moved)
			return moved, Waiting
		}
		n, err := f.fill(s, src, dst)
		moved += n
		if err != nil {
			return moved, Broken
		}
	}
	f.count(moved)
	return moved, More
}

// count promotes a flow that has carried promoteAfter in large turns and demotes it
// after a small one.
func (f *Flow) count(moved int) {
	switch {
	case moved == 0:
	case moved < bulkTurn:
		f.load, f.spliced = 0, false
	case f.load < promoteAfter:
		f.load += moved
	default:
		f.spliced = true
	}
}

func (f *Flow) holding() bool { return len(f.held) > 0 || f.pipe != nil }

// fill takes the next bytes from the source, and passes on what it can at once.
func (f *Flow) fill(s *Scratch, src, dst *End) (int, error) {
	if f.spliced {
		if p := s.pipe(); p != nil {
			f.pipe = p
			return 0, f.fillPipe(s, src)
		}
	}
	return f.copy(s, src, dst)
}

// copy reads into the shared buffer and writes from it; what the destination does
// not take moves to a buffer of the flow's own.
func (f *Flow) copy(s *Scratch, src, dst *End) (int, error) {
	buf := s.buf
	if f.slow {
		buf = buf[:cautious]
	}
	n, err := recv(src.FD, buf)
	switch {
	case errors.Is(err, unix.EAGAIN):
		src.Readable = false
		return 0, nil
	case err != nil:
		return 0, err
	case n == 0:
		f.ended = true
		return 0, nil
	case n < len(buf) && !src.Closed:
		// A short read has emptied the socket: the next bytes raise a new event.
		src.Readable = false
	}
	sent, err := write(dst, buf[:n])
	if err != nil {
		return sent, err
	}
	if sent < n {
		f.keep(s, buf[sent:n])
	} else if n == len(s.buf) {
		f.slow = false
	}
	return sent, nil
}

func (f *Flow) keep(s *Scratch, rest []byte) {
	f.buf = s.rent(len(rest))
	f.held = f.buf[:copy(f.buf, rest)]
}

// flush hands over what is held from earlier turns.
func (f *Flow) flush(s *Scratch, dst *End) (int, error) {
	switch {
	case f.pipe != nil:
		return f.drainPipe(s, dst)
	case len(f.held) > 0:
		n, err := write(dst, f.held)
		f.held = f.held[n:]
		if len(f.held) == 0 {
			s.give(f.buf)
			f.buf, f.held = nil, nil
		}
		return n, err
	}
	return 0, nil
}

// Release gives back what the flow holds; the bytes in it are lost.
func (f *Flow) Release(s *Scratch) {
	if f.buf != nil {
		s.give(f.buf)
		f.buf, f.held = nil, nil
	}
	if f.pipe != nil {
		s.discard(f.pipe)
		f.pipe = nil
	}
}

// write sends what the socket takes; a full socket is not an error.
func write(dst *End, b []byte) (int, error) {
	sent := 0
	for dst.Writable && sent < len(b) {
		n, err := send(dst.FD, b[sent:])
		if errors.Is(err, unix.EAGAIN) {
			dst.Writable = false
			break
		}
		if err != nil {
			return sent, err
		}
		sent += n
	}
	return sent, nil
}
