package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/lb"
)

// usualPorts are the ports on which a scheme is found, VOS's own first.
func usualPorts(s lb.Scheme) []uint16 {
	if s == lb.HTTP {
		return []uint16{8080, 80}
	}
	return []uint16{8443, 443}
}

// streamPort names the streaming protocol of a well-known port, "" for others.
func streamPort(port uint16) string {
	switch port {
	case 554, 8554:
		return "RTSP"
	case 322:
		return "RTSPS"
	case 1935:
		return "RTMP"
	case 1936:
		return "RTMPS"
	}
	return ""
}

// check reads the health check of s, whose other parts have been read. A service
// without one gets a connect check (ping if it is UDP only).
func (r *reader) check(f *checkFile, s lb.VirtualService, path string) lb.HealthCheck {
	if f == nil {
		f = &checkFile{}
	}
	c := lb.HealthCheck{
		Kind:     word(r, path+".type", text(f.Type, usualCheck(s.Protocols)), lb.ParseCheckKind),
		Fall:     or(f.Fall, defaultFall),
		Rise:     or(f.Rise, defaultRise),
		Jitter:   or(f.Jitter, defaultJitter),
		Interval: span(f.Interval, defaultInterval),
		Timeout:  span(f.Timeout, defaultTimeout),
	}
	// A server without the VIP on its loopback is the usual mistake (guide 8.2).
	dials := c.Kind == lb.CheckNegotiate || c.Kind == lb.CheckConnect
	c.ThroughVIP = or(f.ThroughVIP, s.Method == lb.DR && dials)
	if c.ThroughVIP && !dials {
		r.fail(path+".through_vip", "a check of type %s opens no connection -- remove this key", c.Kind)
	}
	c.Fast = span(f.Fast, usualFast(c.Interval))
	if c.Kind == lb.CheckNegotiate {
		r.negotiate(f, &c, path)
	} else {
		r.refuseNegotiate(f, c.Kind, path)
	}
	c.Port, c.AutoPort = r.checkPort(f.Port, c, s, path+".port"), f.Port == nil && asksPort(c.Kind)
	return c
}

// usualFast is the default period while the state is changing; 0 = the interval.
func usualFast(interval time.Duration) time.Duration {
	if interval <= defaultFast {
		return 0
	}
	return defaultFast
}

// usualCheck is the default kind of check of a service.
func usualCheck(p lb.Protocols) string {
	if p == lb.UDP {
		return lb.CheckPing.String()
	}
	return lb.CheckConnect.String()
}

// usualMatch is the default for what an answer is compared with.
func usualMatch(expect string) string {
	if expect == "" {
		return lb.MatchAny.String()
	}
	return lb.MatchEquals.String() // "Response Expected" (guide 10.2.1)
}

func (r *reader) negotiate(f *checkFile, c *lb.HealthCheck, path string) {
	c.Scheme = word(r, path+".protocol", text(f.Protocol, "https"), lb.ParseScheme)
	c.Path = text(f.Request, "/")
	c.Host = f.Host
	c.Match = word(r, path+".expect.match", text(f.Expect.Match, usualMatch(f.Expect.Value)), lb.ParseMatchKind)
	c.Expect = f.Expect.Value
	c.Statuses = slices.Clone(f.Expect.Status)
	if len(c.Statuses) == 0 {
		c.Statuses = []int{200}
	}
}

// refuseNegotiate reports keys that another kind of check would ignore.
func (r *reader) refuseNegotiate(f *checkFile, kind lb.CheckKind, path string) {
	for _, k := range []struct {
		key     string
		written bool
	}{
		{".protocol", f.Protocol != ""},
		{".request", f.Request != ""},
		{".host", f.Host != ""},
		{".expect", f.Expect.Match != "" || f.Expect.Value != "" || len(f.Expect.Status) > 0},
	} {
		if k.written {
			r.fail(path+k.key, "a %s check sends no request -- remove this key or set type: negotiate", kind)
		}
	}
}

// asksPort says whether a kind of check uses a port.
func asksPort(k lb.CheckKind) bool { return k == lb.CheckNegotiate || k == lb.CheckConnect }

// checkPort resolves a blank port (reference trap 1: the guide gives VIP 2 none,
// and its first port speaks RTSP or RTMP, never HTTPS).
func (r *reader) checkPort(written *uint16, c lb.HealthCheck, s lb.VirtualService, path string) uint16 {
	if !asksPort(c.Kind) {
		if written != nil {
			r.fail(path, "a check of type %s uses no port -- remove this key", c.Kind)
		}
		return 0
	}
	if written == nil {
		return r.blankPort(c, s, path)
	}
	port := *written
	if port == 0 {
		r.fail(path, "0 is not a port -- leave the key out to have the port chosen")
	}
	if p := streamPort(port); p != "" && c.Kind == lb.CheckNegotiate {
		r.refuseStream(path, c, port)
	}
	return port
}

func (r *reader) refuseStream(path string, c lb.HealthCheck, port uint16) {
	scheme := strings.ToUpper(c.Scheme.String())
	instead := fmt.Sprintf("leave the key out (%d is used) or write", usualPorts(c.Scheme)[0])
	if !r.doc.Has(path) {
		instead = "write port: with" // it came from the real servers
	}
	r.fail(path, "port %d speaks %s, so an %s request there never gets an answer -- %s the server's %s port",
		port, streamPort(port), scheme, instead, scheme)
}

func (r *reader) blankPort(c lb.HealthCheck, s lb.VirtualService, path string) uint16 {
	port, ownPort := blankVIPPort(c, s)
	if !ownPort {
		if port == 0 && len(s.Ports) > 0 {
			r.fail(path, "a connect check speaks TCP, but the service is UDP only -- write a TCP port of the servers or set type: ping")
		}
		return port
	}
	// A layer-7 service may translate ports: then the server's own port counts.
	translated := realPorts(s)
	switch {
	case len(translated) > 1:
		r.fail(path, "the real servers use different ports (%s) -- write the port to check", join(translated))
	case len(translated) == 1 && translated[0] != 0:
		port = translated[0]
		if c.Kind == lb.CheckNegotiate && streamPort(port) != "" {
			r.refuseStream(path, c, port)
		}
	}
	return port
}

// blankVIPPort returns the port on the VIP's side, and whether it is one of the
// VIP's own.
func blankVIPPort(c lb.HealthCheck, s lb.VirtualService) (port uint16, own bool) {
	if c.Kind == lb.CheckConnect {
		if len(s.Ports) == 0 || !s.Protocols.Has(lb.TCP) {
			return 0, false
		}
		return s.Ports[0].First, true
	}
	usual := usualPorts(c.Scheme)
	for _, p := range usual {
		if s.Ports.Contains(p) && s.Protocols.Has(lb.TCP) {
			return p, true
		}
	}
	return usual[0], false
}

// realPorts returns the distinct ports of the real servers; 0 = the client's.
func realPorts(s lb.VirtualService) []uint16 {
	if s.Method == lb.DR {
		return nil
	}
	var ports []uint16
	for _, rip := range s.Reals {
		ports = append(ports, rip.Port)
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

func join(ports []uint16) string {
	words := make([]string, len(ports))
	for i, p := range ports {
		words[i] = fmt.Sprint(p)
		if p == 0 {
			words[i] = "the client's"
		}
	}
	return strings.Join(words, ", ")
}
