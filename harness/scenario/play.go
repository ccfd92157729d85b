package scenario

import (
	"cmp"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/vosbed/vosbed/harness/topo"
)

// Players that a play step may run.
const (
	FFprobe = "ffprobe"
	FFmpeg  = "ffmpeg"
)

// Bounds of a play step.
const (
	defaultPlayTime = 20 * time.Second
	maxPlayTime     = time.Minute
	maxFrames       = 1000
	maxPublish      = 30 * time.Second
)

// MetricPlayed is the sample of a play step unless another name is written.
const MetricPlayed = "played"

// PlayStep runs an independent player on a clients node. It emits one sample:
// 1 if the player was content, 0 if not.
type PlayStep struct {
	From   string `yaml:"from" strict:"required"`   // a clients node, whose own address is the source
	Player string `yaml:"player" strict:"required"` // ffprobe or ffmpeg
	// URL is rtsp, rtmp, or of MPEG-TS http, tcp or udp (which is asked for in the
	// player's name); ${vip.NAME} and ${NODE} are resolved.
	URL string `yaml:"url" strict:"required"`
	// Transport of RTSP: udp (default) or tcp. Strict takes RTP, or MPEG-TS over UDP,
	// from the address that was asked only.
	Transport string `yaml:"transport,omitempty"`
	Strict    bool   `yaml:"strict,omitempty"`
	// Frames is how many packets ffprobe must read, or pictures ffmpeg decode
	// without a complaint; default 25, a second.
	Frames int `yaml:"frames,omitempty"`
	// Publish makes ffmpeg send a synthetic H.264 stream for Duration (default 3s), to a
	// udp URL as MPEG-TS.
	Publish  bool          `yaml:"publish,omitempty"`
	Duration time.Duration `yaml:"duration,omitempty"`
	// Timeout bounds the player, default 20s; one that has not ended by then has
	// not played.
	Timeout time.Duration `yaml:"timeout,omitempty"`
	// Service is a label of the sample; default the URL's scheme.
	Service string            `yaml:"service,omitempty"`
	Metric  string            `yaml:"metric,omitempty"`
	Labels  map[string]string `yaml:"labels,omitempty"`
}

// WithDefaults returns p with everything written out.
func (p PlayStep) WithDefaults() PlayStep {
	p.Timeout = cmp.Or(p.Timeout, defaultPlayTime)
	p.Frames = cmp.Or(p.Frames, 25)
	p.Duration = cmp.Or(p.Duration, 3*time.Second)
	p.Metric = cmp.Or(p.Metric, MetricPlayed)
	p.Service = cmp.Or(p.Service, p.scheme())
	if p.scheme() == "rtsp" {
		p.Transport = cmp.Or(p.Transport, "udp")
	}
	return p
}

// scheme is the URL's, "" if it has none.
func (p PlayStep) scheme() string {
	s, _, ok := strings.Cut(p.URL, "://")
	if !ok {
		return ""
	}
	return s
}

// playSchemes lists what players open: only addresses of the lab, no files.
func playSchemes() []string { return []string{"http", "rtmp", "rtsp", "tcp", "udp"} }

func (c *checker) play(at string, p PlayStep) {
	if m := c.plan.Node(p.From); m == nil {
		c.node(at+".from", p.From)
	} else if m.Kind != topo.KindClients {
		c.failf(at+".from", "players run on clients nodes, %s is of kind %s", m.Name, m.Kind)
	}
	if p.Player != FFprobe && p.Player != FFmpeg {
		c.failf(at+".player", "unknown player %q -- use ffprobe or ffmpeg", p.Player)
	}
	c.playURL(at+".url", p)
	c.playTransport(at, p)
	c.playBounds(at, p)
}

func (c *checker) playURL(at string, p PlayStep) {
	if !slices.Contains(playSchemes(), p.scheme()) {
		c.failf(at, "a player plays %s, not %q", strings.Join(playSchemes(), ", "), p.URL)
		return
	}
	text, err := c.plan.Resolve(p.URL)
	if err != nil {
		c.failf(at, "%v", err)
		return
	}
	u, err := url.Parse(text)
	if err != nil {
		c.failf(at, "%v", err)
		return
	}
	if _, err := netip.ParseAddrPort(u.Host); p.scheme() == "udp" && (err != nil || u.Path+u.RawQuery != "") {
		c.failf(at, "over UDP a stream is udp://address:port, nothing more")
	}
}

func (c *checker) playTransport(at string, p PlayStep) {
	rtsp := p.scheme() == "rtsp"
	switch p.Transport {
	case "":
	case "udp", "tcp":
		if !rtsp {
			c.failf(at+".transport", "only RTSP has a choice of transports")
		}
	default:
		c.failf(at+".transport", "unknown transport %q -- use udp or tcp", p.Transport)
	}
	udp := rtsp && p.Transport != "tcp" || p.scheme() == "udp"
	if p.Strict && (!udp || p.Publish) {
		c.failf(at+".strict", "the source is checked of RTSP over UDP or MPEG-TS over UDP that is played")
	}
	if p.Publish && (p.Player != FFmpeg || !slices.Contains([]string{"rtsp", "rtmp", "udp"}, p.scheme())) {
		c.failf(at+".publish", "ffmpeg publishes by RTSP, RTMP or MPEG-TS over UDP")
	}
}

func (c *checker) playBounds(at string, p PlayStep) {
	if p.Frames < 0 || p.Frames > maxFrames {
		c.failf(at+".frames", "at most %d -- loads are bounded", maxFrames)
	}
	if p.Duration < 0 || p.Duration > maxPublish {
		c.failf(at+".duration", "at most %s -- loads are bounded", maxPublish)
	}
	if p.Timeout < 0 || p.Timeout > maxPlayTime {
		c.failf(at+".timeout", "at most %s -- loads are bounded", maxPlayTime)
	}
}
