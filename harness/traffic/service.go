package traffic

import (
	"fmt"
	"strconv"
	"strings"
)

// service is one thing a client does, written "kind:port".
type service struct {
	kind string
	port uint16
}

// String is the service as it was written.
func (s service) String() string { return s.kind + ":" + strconv.Itoa(int(s.port)) }

// parseServices reads Spec.Services.
func parseServices(texts []string) ([]service, error) {
	out := make([]service, 0, len(texts))
	for _, text := range texts {
		kind, port, ok := strings.Cut(text, ":")
		n, err := strconv.ParseUint(port, 10, 16)
		if !ok || err != nil || n == 0 {
			return nil, fmt.Errorf("service %q: write kind:port, for example tcp:60001", text)
		}
		if askers()[kind] == nil {
			return nil, fmt.Errorf("service %q: unknown kind, use udp, tcp, http, https, status, statuses, fallback, fallbacks, rtsp, rtmp, ts, ts-udp or bulk", text)
		}
		out = append(out, service{kind, uint16(n)})
	}
	return out, nil
}

// services are the services of a load, by default one of that kind at the port
// of To.
func (a *agent) services(def string) ([]service, error) {
	if len(a.Services) == 0 {
		return parseServices([]string{def + ":" + strconv.Itoa(int(a.target.addr.Port()))})
	}
	return parseServices(a.Services)
}
