package traffic

import (
	"context"
	"sync"
	"sync/atomic"
)

// burnTurn is how many rounds a busy loop does between two looks at the time.
const burnTurn = 1 << 16

// runBurn keeps every processor busy: Flows loops (default one per processor) that
// compute and never wait. It sends nothing.
func runBurn(ctx context.Context, a *agent) error {
	var turns atomic.Int64
	var wg sync.WaitGroup
	for i := range a.flows() {
		wg.Go(func() {
			x := uint64(i + 1)
			for ctx.Err() == nil && x != 0 { // it never is: the compiler does not know
				x = spin(x)
				turns.Add(1)
			}
		})
	}
	wg.Wait()
	a.sample("burn_turns", float64(turns.Load()), "", nil)
	return nil
}

// spin computes for a while (xorshift, never 0 from anything but 0).
func spin(x uint64) uint64 {
	for range burnTurn {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	return x
}
