package rtsp

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/vosbed/vosbed/simvos/internal/sock"
)

// errExhausted reports that no pair of ports is free.
var errExhausted = errors.New("no pair of RTP ports is free")

// pool hands out pairs of UDP ports.
type pool struct {
	opener    sock.Opener
	low, size int // first even port, number of pairs

	mu   sync.Mutex
	used map[int]bool
	next int
}

// newPool returns a pool of the ports low to high, both included. It starts at
// a random pair: after a restart, late packets of old sessions should not reach
// new ones.
func newPool(o sock.Opener, low, high uint16) *pool {
	first := (int(low) + 1) &^ 1
	size := (int(high) + 1 - first) / 2
	return &pool{opener: o, low: first, size: size, used: make(map[int]bool), next: rand.IntN(max(size, 1))}
}

// pair is two bound sockets: RTP on the even port, RTCP on the next.
type pair struct {
	rtp, rtcp *sock.UDP
	pool      *pool
	index     int
}

// port is the lower port of the pair.
func (p *pair) port() uint16 { return uint16(p.pool.low + 2*p.index) }

// take binds a free pair, passing over those that something else has bound.
func (p *pool) take(ctx context.Context) (*pair, error) {
	for range p.size {
		i, ok := p.reserve()
		if !ok {
			break
		}
		got, err := p.bind(ctx, i)
		if err == nil {
			return got, nil
		}
		p.release(i)
		if !sock.IsInUse(err) {
			return nil, fmt.Errorf("bind RTP ports: %w", err)
		}
	}
	return nil, errExhausted
}

// reserve marks the next free pair as used.
func (p *pool) reserve() (int, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range p.size {
		i := p.next
		p.next = (p.next + 1) % p.size
		if !p.used[i] {
			p.used[i] = true
			return i, true
		}
	}
	return 0, false
}

func (p *pool) release(i int) {
	p.mu.Lock()
	delete(p.used, i)
	p.mu.Unlock()
}

func (p *pool) bind(ctx context.Context, i int) (*pair, error) {
	port := uint16(p.low + 2*i)
	rtp, err := p.opener.ListenUDP(ctx, port)
	if err != nil {
		return nil, err
	}
	rtcp, err := p.opener.ListenUDP(ctx, port+1)
	if err != nil {
		rtp.Close()
		return nil, err
	}
	return &pair{rtp: rtp, rtcp: rtcp, pool: p, index: i}, nil
}

// close closes both sockets and gives the pair back. It may be called again.
func (p *pair) close() {
	if p.rtp.Close() != nil {
		return
	}
	p.rtcp.Close()
	p.pool.release(p.index)
}
