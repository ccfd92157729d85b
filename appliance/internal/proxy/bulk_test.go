package proxy

import (
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/appliance/lb"
)

// noise returns a reproducible stream and its hash once it has been read.
func noise(seed byte, n int64) (io.Reader, func() [32]byte) {
	h := sha256.New()
	r := io.TeeReader(io.LimitReader(rand.NewChaCha8([32]byte{seed}), n), h)
	return r, func() [32]byte { return [32]byte(h.Sum(nil)) }
}

// TestBulkIsIntact sends 200 MB in both directions at once and compares hashes, by
// splice, by copy, and with splice on pipes that run out.
func TestBulkIsIntact(t *testing.T) {
	const size = 100 << 20
	for name, pipes := range map[string]int{"splice": 16, "copy": -1, "one pipe": 1} {
		t.Run(name, func(t *testing.T) {
			type sums struct{ Sent, Got [32]byte }
			far := make(chan sums, 1)
			exchange := func(c *net.TCPConn, seed byte) sums {
				src, sent := noise(seed, size)
				done := make(chan struct{})
				go func() {
					defer close(done)
					if _, err := io.CopyBuffer(struct{ io.Writer }{c}, src, make([]byte, 256<<10)); err != nil {
						t.Error(err)
					}
					_ = c.CloseWrite()
				}()
				h := sha256.New()
				if _, err := io.CopyBuffer(h, struct{ io.Reader }{c}, make([]byte, 256<<10)); err != nil {
					t.Error(err)
				}
				<-done
				return sums{sent(), [32]byte(h.Sum(nil))}
			}
			serve(t, "127.0.1.1:8080", func(c *net.TCPConn) { far <- exchange(c, 2) })
			r := newRig(t, Options{Pipes: pipes})
			r.set(vip(lb.Ports(8080), 1))
			near := exchange(dial(t, "", "127.0.0.100:8080").TCPConn, 1)
			if diff := cmp.Diff(sums{near.Got, near.Sent}, <-far); diff != "" {
				t.Errorf("hashes differ (-near +far):\n%s", diff)
			}
			eventually(t, "session over", func() bool { return r.proxy.Counters().Sessions == 0 })
			got := r.proxy.Counters().Services["VIP1"]
			if got.In.Bytes != size || got.Out.Bytes != size {
				t.Errorf("counted %d in, %d out, want %d each", got.In.Bytes, got.Out.Bytes, size)
			}
		})
	}
}
