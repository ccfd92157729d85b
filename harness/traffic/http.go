package traffic

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/vosbed/vosbed/harness/observe"
)

// ramp is excluded from the beginning of every throughput measurement: slow
// start and first connections.
const ramp = 200 * time.Millisecond

// newHTTPClient returns a client for one client address. Servers' certificates
// are self-signed (guide 10.1), so they are not verified.
func newHTTPClient(d dialer, fresh bool) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:         func(ctx context.Context, _, addr string) (net.Conn, error) { return d.tcp(ctx, addr) },
			TLSClientConfig:     &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12},
			DisableKeepAlives:   fresh,
			DisableCompression:  true,
			MaxIdleConnsPerHost: 4,
			WriteBufferSize:     64 << 10,
			ReadBufferSize:      64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// url is a path at the target.
func (t target) url(path string) string {
	scheme := "http"
	if t.secure() {
		scheme = "https"
	}
	return scheme + "://" + t.addr.String() + path
}

// secure tells HTTPS from HTTP; without a scheme ports 443 and 8443 are HTTPS.
func (t target) secure() bool {
	if t.scheme == "http" || t.scheme == "https" {
		return t.scheme == "https"
	}
	return t.addr.Port() == 443 || t.addr.Port() == 8443
}

func get(ctx context.Context, c *http.Client, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return c.Do(req)
}

// httpLoad makes requests and counts.
type httpLoad struct {
	*agent
	url   string
	start time.Duration // of the measurement, after the ramp

	mu     sync.Mutex
	hist   *hdrhistogram.Histogram
	done   float64 // requests that succeeded since start
	last   time.Duration
	gap    time.Duration // silence beyond which a stall is emitted
	reason map[string]int
}

// runHTTP makes requests for Path (default /admin/status). With Rate it is an
// open loop over all flows, one per client address unless Flows is written, else a closed loop of Flows connections, whose main
// result is rps, or cps with Fresh. Metrics: http_ok, http_errors, http_success,
// http_latency_us{q=...}, http_stall_ms per time without any success.
func runHTTP(ctx context.Context, a *agent) error {
	path := a.Path
	if path == "" {
		path = "/admin/status"
	}
	h := &httpLoad{agent: a, url: a.target.url(path), hist: newHist(), reason: make(map[string]int), gap: smallestStall}
	h.start = a.now() + ramp
	h.last = a.now()
	reporting, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		every(reporting, 500*time.Millisecond, func() {
			a.emit(observe.KindSeries, observe.Series{Interval: 500 * time.Millisecond, Values: a.take()})
		})
	})
	if a.Rate > 0 {
		h.gap = max(h.gap, 3*a.period()/time.Duration(a.flows()))
		h.open(ctx)
	} else {
		h.closed(ctx)
	}
	end := a.now()
	stop()
	wg.Wait()
	h.finish(end)
	return nil
}

// open is the open loop: requests start by plan, whatever became of those
// before, on at most workers connections at a time.
func (h *httpLoad) open(ctx context.Context) {
	clients := make([]*http.Client, h.flows())
	for i := range clients {
		clients[i] = newHTTPClient(dialer{h.source(i)}, h.Fresh)
		defer clients[i].CloseIdleConnections()
	}
	slots := make(chan struct{}, workers)
	var wg sync.WaitGroup
	p := pacer{start: monotonic(), rate: h.rate() * float64(len(clients)), count: h.Count}
	h.pace(ctx, p, func(n int, due int64) {
		select {
		case slots <- struct{}{}:
		default:
			h.note(fmt.Errorf("%d requests are already under way", workers), due)
			return
		}
		wg.Go(func() {
			defer func() { <-slots }()
			h.late.note(due)
			h.request(ctx, clients[n%len(clients)], due)
		})
	})
	wg.Wait()
}

// closed is the closed loop: each connection asks again once it is answered.
func (h *httpLoad) closed(ctx context.Context) {
	var wg sync.WaitGroup
	for i := range h.flows() {
		wg.Go(func() {
			c := newHTTPClient(dialer{h.source(i)}, h.Fresh)
			defer c.CloseIdleConnections()
			for n := 0; ctx.Err() == nil && (h.Count == 0 || n < h.Count); n++ {
				if !h.request(ctx, c, monotonic()) && !wait(ctx, 10*time.Millisecond) {
					return
				}
			}
		})
	}
	wg.Wait()
}

// request makes one request; its latency counts from due.
func (h *httpLoad) request(ctx context.Context, c *http.Client, due int64) bool {
	limited, cancel := context.WithTimeout(ctx, h.timeout(5*time.Second))
	defer cancel()
	err := h.fetch(limited, c)
	if err != nil && ctx.Err() != nil {
		return false // cut short by the end of the load
	}
	h.note(err, due)
	return err == nil
}

func (h *httpLoad) fetch(ctx context.Context, c *http.Client) error {
	resp, err := get(ctx, c, h.url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("HTTP status %d", resp.StatusCode)
	}
	h.add("bytes", float64(n))
	if name := resp.Header.Get("X-Simvos-Server"); name != "" {
		h.add("server_"+name, 1)
	}
	return nil
}

// note counts one outcome.
func (h *httpLoad) note(err error, due int64) {
	now := h.now()
	if err != nil {
		h.add("errors", 1)
		h.mu.Lock()
		h.reason[errorClass(err)]++
		h.mu.Unlock()
		return
	}
	h.add("ok", 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if now >= h.start {
		h.done++
		recordUS(h.hist, monotonic()-due)
	}
	if hole := now - h.last; hole > h.gap {
		h.sampleAt(now, observe.Sample{Metric: "http" + observe.SuffixStall, Value: hole.Seconds() * 1000, Unit: "ms"})
	}
	h.last = now
}

// finish emits totals; end is when the loops had ended.
func (h *httpLoad) finish(end time.Duration) {
	errors := 0
	for reason, n := range h.reason {
		errors += n
		h.sample("http_errors_by", float64(n), "", map[string]string{"reason": reason})
	}
	h.sample("http_ok", h.done, "", nil)
	h.sample("http_errors", float64(errors), "", nil)
	h.sample("http"+observe.SuffixFlows, float64(h.flows()), "", nil)
	if all := h.done + float64(errors); all > 0 {
		h.sample("http_success", h.done/all, "", nil)
	}
	if hole := end - h.last; hole > h.gap && hole > time.Second {
		h.sample("http"+observe.SuffixStall, hole.Seconds()*1000, "ms", nil)
	}
	h.emitLatency("http_latency_us", h.hist)
	if spent := end - h.start; h.Rate == 0 && spent > 0 {
		metric := "rps"
		if h.Fresh {
			metric = "cps"
		}
		h.measure(metric, h.done/spent.Seconds(), "1/s")
	}
}
