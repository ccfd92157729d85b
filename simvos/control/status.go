package control

import "net/netip"

// Names of the services of a node. Fault.Service and Service.Name use them.
const (
	ServiceHTTPS    = "https"     // management over TLS
	ServiceHTTP     = "http"      // management in clear, and /live.ts
	ServiceRTSP     = "rtsp"      // RTSP control and its RTP/RTCP ports
	ServiceRTMP     = "rtmp"      // RTMP publish and play
	ServiceTSTCP    = "ts-tcp"    // MPEG-TS over TCP
	ServiceTSUDP    = "ts-udp"    // MPEG-TS over UDP, to subscribers
	ServiceTSIngest = "ts-ingest" // MPEG-TS over UDP, received
	ServiceProbeUDP = "probe-udp" // probe responder over UDP
	ServiceProbeTCP = "probe-tcp" // probe responder over TCP
	ServiceBulk     = "bulk"      // throughput streams over TCP
)

// Services returns the names of all services.
func Services() []string {
	return []string{
		ServiceHTTPS, ServiceHTTP, ServiceRTSP, ServiceRTMP, ServiceTSTCP,
		ServiceTSUDP, ServiceTSIngest, ServiceProbeUDP, ServiceProbeTCP, ServiceBulk,
	}
}

// Names of the protocols in the ledger: those of the services, and for RTSP
// the media of its sessions apart from its control connections.
const (
	ProtoTSHTTP     = "ts-http"     // MPEG-TS over HTTP
	ProtoRTSPPlay   = "rtsp-play"   // Sessions in PLAY, RTP sent
	ProtoRTSPRecord = "rtsp-record" // Sessions in RECORD, RTP received
	ProtoRTMPPlay   = "rtmp-play"   // frames sent
	ProtoRTMPRecord = "rtmp-record" // access units received
)

// Service is one listener of a node.
type Service struct {
	Name string `json:"name"`
	// Network is "tcp" or "udp".
	Network string `json:"network"`
	// Addr is the listen address, for example "[::]:8443".
	Addr string `json:"addr"`
	// State is "listening", or "refused" while a Refuse fault holds.
	State string `json:"state"`
}

// Counters is what a node has counted for one protocol, or for one client of
// one protocol, since its start.
type Counters struct {
	// Sessions counts connections or media sessions that were opened; Active
	// those that are open now.
	Sessions uint64 `json:"sessions"`
	Active   int64  `json:"active"`
	// Packets are datagrams, RTP packets, TS packets, access units or probe
	// frames, according to the protocol; bytes are their payloads.
	ReceivedPackets uint64 `json:"received_packets"`
	ReceivedBytes   uint64 `json:"received_bytes"`
	SentPackets     uint64 `json:"sent_packets"`
	SentBytes       uint64 `json:"sent_bytes"`
	// Lost counts gaps in RTP sequence numbers and TS continuity counters of
	// what was received.
	Lost uint64 `json:"lost,omitempty"`
	// Stray counts packets that belong to no session of their sender: RTP that
	// reached the port of another client's session.
	Stray uint64 `json:"stray,omitempty"`
}

// Status is what a node says about itself.
type Status struct {
	Name string `json:"name"`
	// ID is the server id in every marker; Epoch the Unix time of the node's
	// start in milliseconds, also in every marker.
	ID       uint16       `json:"id"`
	Epoch    uint64       `json:"epoch"`
	UptimeMS int64        `json:"uptime_ms"`
	RIPs     []netip.Addr `json:"rips"`
	VIPs     []netip.Addr `json:"vips"`
	// ARP is "solved" or "unsolved".
	ARP      string    `json:"arp"`
	Services []Service `json:"services"`
	Faults   []Fault   `json:"faults"`
	// Protocols is the ledger by protocol; Clients by client address and
	// protocol.
	Protocols map[string]Counters                `json:"protocols"`
	Clients   map[netip.Addr]map[string]Counters `json:"clients"`
}

// Client returns the counters of one client for one protocol; all zero when
// the node never met it.
func (s Status) Client(ip netip.Addr, proto string) Counters {
	return s.Clients[ip][proto]
}
