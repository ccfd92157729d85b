package relay

import "sync/atomic"

// BufferSize is the size of the shared buffer of a loop.
const BufferSize = 128 << 10

// Pipes bounds the pipes of all loops together: each costs two descriptors.
type Pipes struct{ left atomic.Int64 }

// NewPipes allows n pipes.
func NewPipes(n int) *Pipes {
	p := &Pipes{}
	p.left.Store(int64(max(n, 0)))
	return p
}

func (p *Pipes) take() bool {
	if p.left.Add(-1) >= 0 {
		return true
	}
	p.left.Add(1)
	return false
}

// Scratch is what the flows of one loop share. It is not safe for concurrent use.
type Scratch struct {
	buf   []byte
	pipes *Pipes
	idle  []*pipe
	rents [len(rentSizes)][][]byte
}

// idlePipes and idleRents bound what a loop keeps for later.
const (
	idlePipes = 4
	idleRents = 64
)

// rentSizes are the sizes of the buffers lent to flows with a slow receiver.
var rentSizes = [...]int{4 << 10, cautious, BufferSize}

// NewScratch makes the shared part of one loop.
func NewScratch(pipes *Pipes) *Scratch {
	return &Scratch{buf: make([]byte, BufferSize), pipes: pipes}
}

// Close releases the idle pipes.
func (s *Scratch) Close() {
	for _, p := range s.idle {
		s.discard(p)
	}
	s.idle = nil
}

// pipe borrows an empty pipe; nil means that none may be had and the flow copies.
func (s *Scratch) pipe() *pipe {
	if n := len(s.idle); n > 0 {
		p := s.idle[n-1]
		s.idle = s.idle[:n-1]
		return p
	}
	if !s.pipes.take() {
		return nil
	}
	p, err := newPipe()
	if err != nil {
		s.pipes.left.Add(1)
		return nil
	}
	return p
}

func (s *Scratch) returnPipe(p *pipe) {
	if len(s.idle) >= idlePipes {
		s.discard(p)
		return
	}
	s.idle = append(s.idle, p)
}

func (s *Scratch) discard(p *pipe) {
	p.close()
	s.pipes.left.Add(1)
}

// rent returns a buffer of at least n bytes, n <= BufferSize.
func (s *Scratch) rent(n int) []byte {
	i := class(n)
	if have := s.rents[i]; len(have) > 0 {
		b := have[len(have)-1]
		s.rents[i] = have[:len(have)-1]
		return b
	}
	return make([]byte, rentSizes[i])
}

func (s *Scratch) give(b []byte) {
	b = b[:cap(b)]
	if i := class(len(b)); len(s.rents[i]) < idleRents {
		s.rents[i] = append(s.rents[i], b)
	}
}

func class(n int) int {
	for i, size := range rentSizes {
		if n <= size {
			return i
		}
	}
	return len(rentSizes) - 1
}
