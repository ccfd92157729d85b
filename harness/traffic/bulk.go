package traffic

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/simvos/control"
)

// bulkChunk is the size of one read or write in bytes.
const bulkChunk = 256 << 10

// bulkLoad is a measurement of throughput.
type bulkLoad struct {
	*agent
	up    bool
	http  bool
	bytes atomic.Int64 // delivered so far, over all flows
	sock  sync.Map     // net.Conn of uploads: bytes acknowledged so far
	fails atomic.Int64
}

// runBulk moves data over Flows connections (default 1) until ctx ends, or Bytes
// per connection. Direction is upload or download (default). With the scheme
// http or https in To it uses GET /bytes and POST /sink, else the throughput
// service of simvos. The main result is goodput in Mbit/s from the end of the
// ramp to the end: bytes that were received, or acknowledged by the other end.
func runBulk(ctx context.Context, a *agent) error {
	b := &bulkLoad{agent: a, up: a.Direction == "upload", http: a.target.scheme == "http" || a.target.scheme == "https"}
	if a.Direction != "" && a.Direction != "upload" && a.Direction != "download" {
		return fmt.Errorf("direction is %q: use upload or download", a.Direction)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var flows, watch sync.WaitGroup
	watch.Go(func() { b.meter(ctx) })
	for i := range a.flows() {
		flows.Go(func() {
			if err := b.transfer(ctx, b.source(i)); err != nil && ctx.Err() == nil {
				b.fails.Add(1)
				b.emit(observe.KindEvent, observe.Note{Text: fmt.Sprintf("transfer to %s failed: %v", b.To, err)})
			}
		})
	}
	flows.Wait()
	cancel()
	watch.Wait()
	b.sample("bulk_failed", float64(b.fails.Load()), "", nil)
	return nil
}

// meter reports progress and emits the result when ctx ends.
func (b *bulkLoad) meter(ctx context.Context) {
	const interval = 100 * time.Millisecond
	begun := b.now()
	var atRamp, before int64
	rampAt := time.Duration(0)
	last, lastAt := int64(0), begun
	every(ctx, interval, func() {
		now, total := b.now(), b.delivered()
		b.emit(observe.KindSeries, observe.Series{Interval: now - lastAt, Values: map[string]float64{"bytes": float64(total - before)}})
		before = total
		if total > last || rampAt == 0 {
			last = total
		}
		lastAt = now
		if rampAt == 0 && now-begun >= ramp && total > 0 {
			rampAt, atRamp = now, total
		}
	})
	if spent := lastAt - rampAt; rampAt > 0 && spent > 0 && last > atRamp {
		b.measure("goodput", float64(last-atRamp)*8/spent.Seconds()/1e6, "Mbit/s")
	}
	b.sample("bulk_bytes", float64(last), "B", nil)
}

// delivered counts what has arrived at the receiver.
func (b *bulkLoad) delivered() int64 {
	n := b.bytes.Load()
	b.sock.Range(func(c, _ any) bool {
		n += acknowledged(c)
		return true
	})
	return n
}

// acknowledged is how many bytes the other end of a TCP connection has
// acknowledged (tcp(7), TCP_INFO); 0 when the socket cannot tell.
func acknowledged(c any) int64 {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return 0
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0
	}
	var n int64
	_ = raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			n = int64(info.Bytes_acked)
		}
	})
	return n
}

// dial opens a connection whose acknowledged bytes count if this is an upload.
func (b *bulkLoad) dial(ctx context.Context, source, addr string) (net.Conn, error) {
	c, err := dialer{source}.tcp(ctx, addr)
	if err == nil && b.up {
		b.sock.Store(c, nil)
	}
	return c, err
}

// forget keeps the count of a connection that ends.
func (b *bulkLoad) forget(c net.Conn) {
	n := acknowledged(c)
	if _, ok := b.sock.LoadAndDelete(c); ok {
		b.bytes.Add(n)
	}
}

func (b *bulkLoad) transfer(ctx context.Context, source string) error {
	switch {
	case b.http:
		return b.transferHTTP(ctx, source)
	case b.up:
		return b.upload(ctx, source)
	}
	return b.download(ctx, source)
}

func (b *bulkLoad) begin(ctx context.Context, source string, mode control.BulkMode) (net.Conn, error) {
	c, err := b.dial(ctx, source, b.target.addr.String())
	if err != nil {
		return nil, err
	}
	req := control.BulkRequest{Mode: mode, Bytes: uint64(max(b.Bytes, 0))}
	if _, err := c.Write(req.AppendTo(nil)); err != nil {
		b.forget(c)
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

func (b *bulkLoad) download(ctx context.Context, source string) error {
	c, err := b.begin(ctx, source, control.Download)
	if err != nil {
		return err
	}
	defer bounded(ctx, c)()
	return b.consume(c)
}

// consume reads to the end and counts.
func (b *bulkLoad) consume(r io.Reader) error {
	buf := make([]byte, bulkChunk)
	for {
		n, err := r.Read(buf)
		b.bytes.Add(int64(n))
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (b *bulkLoad) upload(ctx context.Context, source string) error {
	c, err := b.begin(ctx, source, control.Upload)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() {
		b.forget(c)
		_ = c.Close()
	})
	defer stop()
	defer c.Close()
	defer b.forget(c)
	if _, err := io.CopyBuffer(onlyWriter{c}, b.data(), make([]byte, bulkChunk)); err != nil {
		return err
	}
	var count [control.BulkCountSize]byte
	if err := readFull(c, count[:]); err != nil {
		return fmt.Errorf("read the server's count: %w", err)
	}
	if got := binary.BigEndian.Uint64(count[:]); got != uint64(b.Bytes) {
		return fmt.Errorf("the server counted %d of %d bytes", got, b.Bytes)
	}
	return nil
}

// onlyWriter hides ReadFrom, so that the buffer given to CopyBuffer is used.
type onlyWriter struct{ io.Writer }

// zeros is an endless supply of zero bytes.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// data is what an upload sends: Bytes, or without end.
func (b *bulkLoad) data() io.Reader {
	if b.Bytes > 0 {
		return io.LimitReader(zeros{}, b.Bytes)
	}
	return zeros{}
}

// endless is the size of a download that only ctx ends.
const endless = 1 << 40

// transferHTTP makes one request by hand, so that the client costs as little as it
// can: a library's copies would hide what the way costs.
func (b *bulkLoad) transferHTTP(ctx context.Context, source string) error {
	plain, err := b.dial(ctx, source, b.target.addr.String())
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { b.forget(plain); _ = plain.Close() })
	defer stop()
	defer plain.Close()
	defer b.forget(plain)
	c, err := b.target.over(ctx, plain)
	if err != nil {
		return err
	}
	size := b.Bytes
	if size <= 0 {
		size = endless
	}
	ask := fmt.Sprintf("GET /bytes?n=%d HTTP/1.1\r\nHost: %s\r\n\r\n", size, b.target.addr)
	if b.up {
		ask = fmt.Sprintf("POST /sink HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n", b.target.addr, size)
	}
	if _, err := io.WriteString(c, ask); err != nil {
		return err
	}
	if b.up {
		if _, err := io.CopyBuffer(onlyWriter{c}, io.LimitReader(b.data(), size), make([]byte, bulkChunk)); err != nil {
			return err
		}
	}
	return b.answer(c)
}

// answer reads the answer to a request, and counts the body of a download.
func (b *bulkLoad) answer(c net.Conn) error {
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("HTTP status %d", resp.StatusCode)
	}
	if b.up {
		_, err := io.Copy(io.Discard, resp.Body)
		return err
	}
	return b.consume(resp.Body)
}
