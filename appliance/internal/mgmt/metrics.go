package mgmt

import (
	"bytes"
	"context"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/buildinfo"
)

// metrics returns the handler of /metrics, on a registry of its own.
func (s *Server) metrics() http.Handler { return metricsOf(s.opts.Backend.Status) }

func metricsOf(source StatusSource) http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newCollector(source),
	)
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// MetricsText is what /metrics answers, for who keeps it.
func MetricsText(ctx context.Context, source StatusSource) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, api.PathMetrics, http.NoBody)
	if err != nil {
		return nil, err
	}
	to := &sheet{header: http.Header{}, status: http.StatusOK}
	metricsOf(source).ServeHTTP(to, r)
	if to.status != http.StatusOK {
		return nil, fmt.Errorf("the metrics were not gathered: %s", to.text.Bytes())
	}
	return to.text.Bytes(), nil
}

// sheet keeps an answer.
type sheet struct {
	header http.Header
	status int
	text   bytes.Buffer
}

func (s *sheet) Header() http.Header         { return s.header }
func (s *sheet) WriteHeader(status int)      { s.status = status }
func (s *sheet) Write(p []byte) (int, error) { return s.text.Write(p) }

// collector reads one Status per scrape, so all values are of the same moment.
type collector struct {
	source StatusSource
	descs  descs
}

// descs names every metric once.
type descs struct {
	build, role, term, peerUp, inSync, lag, lease, realTime *prometheus.Desc
	pathUp, pathSeen, pathRejected, pingUp                  *prometheus.Desc
	entries, entryCap, flows, flowCap                       *prometheus.Desc
	drops, dropBytes, tableLost                             *prometheus.Desc
	sessions, sessionCap, refused, l7Entries, l7Cap, l7Out  *prometheus.Desc
	svcInfo, svcConns, svcActive, svcPackets, svcBytes      *prometheus.Desc
	svcPage                                                 *prometheus.Desc
	srvUp, srvState, srvWeight, srvConns, srvActive         *prometheus.Desc
	srvPackets, srvBytes, srvCheck, srvFailed, srvRetried   *prometheus.Desc
	conflicts, problems, certEnd                            *prometheus.Desc
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("vosbed_"+name, help, labels, nil)
}

func newCollector(source StatusSource) *collector {
	return &collector{source, descs{
		build:        desc("build_info", "Which build runs, always 1.", "version", "revision", "go"),
		role:         desc("role", "1 for the node's present role.", "role"),
		term:         desc("pair_term", "Term of the present ownership of the VIPs."),
		peerUp:       desc("pair_peer_up", "1 if the peer is alive."),
		inSync:       desc("pair_in_sync", "1 if the persistence table is in sync with the peer."),
		lag:          desc("pair_replication_lag_seconds", "How far the peer's persistence table is behind."),
		lease:        desc("pair_lease_held", "1 if the kernel may serve the VIPs."),
		realTime:     desc("pair_real_time", "1 if the heartbeat runs with real-time priority."),
		pathUp:       desc("heartbeat_path_up", "1 if authentic heartbeats arrive on the path.", "path"),
		pathSeen:     desc("heartbeat_path_last_seen_seconds", "Time since the last authentic heartbeat.", "path"),
		pathRejected: desc("heartbeat_path_rejected_total", "Heartbeats with a wrong key, replayed or malformed.", "path"),
		pingUp:       desc("ping_node_up", "1 if the ping node answers.", "address"),
		entries:      desc("persistence_entries", "Entries in the persistence table."),
		entryCap:     desc("persistence_capacity", "Capacity of the persistence table."),
		flows:        desc("flows", "Entries in the flow table."),
		flowCap:      desc("flows_capacity", "Capacity of the flow table."),
		drops:        desc("dropped_packets_total", "Packets dropped by the data plane.", "reason"),
		dropBytes:    desc("dropped_bytes_total", "Bytes dropped by the data plane.", "reason"),
		tableLost:    desc("table_lost_total", "Flows and persistence entries that the tables of the data plane lost or had no room for.", "reason"),
		sessions:     desc("proxy_sessions", "Present sessions of the proxy."),
		sessionCap:   desc("proxy_sessions_capacity", "Sessions that the proxy's descriptors allow."),
		refused:      desc("proxy_refused_total", "Connections refused, attempts failed and sessions cut by the proxy.", "reason"),
		l7Entries:    desc("proxy_persistence_entries", "Entries in the proxy's persistence table."),
		l7Cap:        desc("proxy_persistence_capacity", "Capacity of the proxy's persistence table."),
		l7Out:        desc("proxy_persistence_evicted_total", "Entries of the proxy's persistence table that made room for others."),
		svcInfo:      desc("service_info", "What a virtual service is, always 1.", "service", "address", "layer", "method"),
		svcConns:     desc("service_connections_total", "Connections and UDP flows of a virtual service.", "service"),
		svcActive:    desc("service_active_connections", "Present connections of a virtual service.", "service"),
		svcPackets:   desc("service_packets_total", "Packets of a virtual service.", "service", "direction"),
		svcBytes:     desc("service_bytes_total", "Bytes of a virtual service.", "service", "direction"),
		svcPage:      desc("service_fallback", "1 while clients of a virtual service get the fallback page.", "service"),
		srvUp:        desc("server_up", "1 if the health checks of a real server pass.", "service", "server"),
		srvState:     desc("server_state", "1 for the real server's present state.", "service", "server", "state"),
		srvWeight:    desc("server_weight", "Configured weight.", "service", "server"),
		srvConns:     desc("server_connections_total", "Connections and UDP flows of a real server.", "service", "server"),
		srvActive:    desc("server_active_connections", "Present connections of a real server.", "service", "server"),
		srvPackets:   desc("server_packets_total", "Packets of a real server.", "service", "server", "direction"),
		srvBytes:     desc("server_bytes_total", "Bytes of a real server.", "service", "server", "direction"),
		srvCheck:     desc("server_check_duration_seconds", "Duration of the latest health check.", "service", "server"),
		srvFailed:    desc("server_connect_failures_total", "Attempts of layer 7 to connect to a real server that failed.", "service", "server"),
		srvRetried:   desc("server_connect_retries_total", "Failed attempts after which layer 7 tried another real server.", "service", "server"),
		conflicts:    desc("arp_conflicts_total", "Foreign claims to a VIP.", "vip", "mac"),
		certEnd:      desc("certificate_expiry_timestamp_seconds", "When the certificate of the WebUI ends, in Unix time."),
		problems:     desc("problems", "Problems that an operator must know."),
	}}
}

// Describe sends nothing: an unchecked collector, its labels follow the
// configuration.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := c.source.Status()
	e := emitter{ch}
	b := buildinfo.Get()
	e.gauge(c.descs.build, 1, b.Version, b.Revision, b.Go)
	c.pair(e, s.Pair)
	c.dataplane(e, s.Dataplane)
	c.proxy(e, s.Proxy)
	for _, svc := range s.Services {
		c.service(e, svc)
	}
	for _, k := range s.Conflicts {
		e.counter(c.descs.conflicts, k.Count, k.VIP.String(), k.MAC)
	}
	if !s.CertificateEnd.IsZero() {
		e.gauge(c.descs.certEnd, float64(s.CertificateEnd.Unix()))
	}
	e.gauge(c.descs.problems, float64(len(s.Problems)))
}

func (c *collector) pair(e emitter, p lb.PairStatus) {
	d := c.descs
	for _, r := range []lb.Role{lb.Passive, lb.Active, lb.Standalone} {
		e.flag(d.role, p.Role == r, r.String())
	}
	e.gauge(d.term, float64(p.Term))
	e.flag(d.peerUp, p.PeerAlive)
	e.flag(d.inSync, p.InSync)
	e.gauge(d.lag, p.Lag.Seconds())
	e.flag(d.lease, p.LeaseHeld)
	e.flag(d.realTime, p.RealTime)
	for _, h := range p.Paths {
		e.flag(d.pathUp, h.Up, h.Name)
		e.gauge(d.pathSeen, h.LastSeen.Seconds(), h.Name)
		e.counter(d.pathRejected, h.Rejected, h.Name)
	}
	for _, n := range p.Pings {
		e.flag(d.pingUp, n.Up, n.Addr.String())
	}
}

func (c *collector) dataplane(e emitter, p lb.DataplaneStatus) {
	d := c.descs
	e.gauge(d.entries, float64(p.Entries))
	e.gauge(d.entryCap, float64(p.EntryCapacity))
	e.gauge(d.flows, float64(p.Flows))
	e.gauge(d.flowCap, float64(p.FlowCapacity))
	for reason, n := range p.Drops {
		if api.DropsNothing(reason) {
			e.counter(d.tableLost, n.Packets, reason)
			continue
		}
		e.counter(d.drops, n.Packets, reason)
		e.counter(d.dropBytes, n.Bytes, reason)
	}
}

func (c *collector) proxy(e emitter, p lb.ProxyStatus) {
	d := c.descs
	e.gauge(d.sessions, float64(p.Sessions))
	e.gauge(d.sessionCap, float64(p.Capacity))
	e.gauge(d.l7Entries, float64(p.Entries))
	e.gauge(d.l7Cap, float64(p.EntryCapacity))
	e.counter(d.l7Out, p.Evicted)
	for reason, n := range p.Refused {
		e.counter(d.refused, n, reason)
	}
}

func (c *collector) service(e emitter, s lb.ServiceStatus) {
	d := c.descs
	e.gauge(d.svcInfo, 1, s.Name, s.Addr.String(), s.Layer.String(), s.Method.String())
	e.counter(d.svcConns, s.Counters.Conns, s.Name)
	if s.Layer == lb.Layer7 {
		e.flag(d.svcPage, s.Fallback, s.Name)
	}
	e.gauge(d.svcActive, float64(s.Counters.ActiveConns), s.Name)
	e.traffic(d.svcPackets, d.svcBytes, [2]lb.Counter{s.Counters.In, s.Counters.Out}, s.Name)
	for _, r := range s.Reals {
		c.server(e, s.Name, r)
		if s.Layer == lb.Layer7 {
			e.counter(d.srvFailed, r.Counters.ConnectFailed, s.Name, r.Name)
			e.counter(d.srvRetried, r.Counters.Retried, s.Name, r.Name)
		}
	}
}

func (c *collector) server(e emitter, service string, r lb.RealStatus) {
	d := c.descs
	e.flag(d.srvUp, r.Health.Up, service, r.Name)
	for _, state := range []lb.ServeState{lb.Serving, lb.Draining, lb.Down, lb.Halted, lb.Unchecked} {
		e.flag(d.srvState, r.State == state, service, r.Name, state.String())
	}
	e.gauge(d.srvWeight, float64(r.Weight), service, r.Name)
	e.counter(d.srvConns, r.Counters.Conns, service, r.Name)
	e.gauge(d.srvActive, float64(r.Counters.ActiveConns), service, r.Name)
	e.traffic(d.srvPackets, d.srvBytes, [2]lb.Counter{r.Counters.In, r.Counters.Out}, service, r.Name)
	if !r.Health.Last.At.IsZero() {
		e.gauge(d.srvCheck, r.Health.Last.Total.Seconds(), service, r.Name)
	}
}

// emitter writes constant metrics.
type emitter struct{ ch chan<- prometheus.Metric }

func (e emitter) gauge(d *prometheus.Desc, v float64, labels ...string) {
	e.ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (e emitter) counter(d *prometheus.Desc, v uint64, labels ...string) {
	e.ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

func (e emitter) flag(d *prometheus.Desc, on bool, labels ...string) {
	v := 0.0
	if on {
		v = 1
	}
	e.gauge(d, v, labels...)
}

// traffic emits the counts in and out.
func (e emitter) traffic(packets, octets *prometheus.Desc, inOut [2]lb.Counter, labels ...string) {
	for i, direction := range []string{"in", "out"} {
		all := append(append([]string{}, labels...), direction)
		e.counter(packets, inOut[i].Packets, all...)
		e.counter(octets, inOut[i].Bytes, all...)
	}
}
