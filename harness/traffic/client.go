package traffic

import (
	"strconv"

	"github.com/vosbed/vosbed/harness/observe"
)

// clientServer says that a client's service is answered by this server from
// now on. It is emitted at changes only.
func clientServer(client, service string, server uint16) observe.Sample {
	return observe.Sample{
		Metric: observe.MetricClientServer, Value: float64(server),
		Labels: map[string]string{"client": client, "service": service, "server": strconv.Itoa(int(server))},
	}
}
