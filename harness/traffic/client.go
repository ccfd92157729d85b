package traffic

import (
	"strconv"
	"time"

	"github.com/vosbed/vosbed/harness/observe"
)

// served says that a client's service is answered by this server from now on.
// It is emitted at changes only.
type served struct {
	client, service string
	server          uint16
	// last is when the server before answered last, on the run's clock; 0 when
	// there was none.
	last time.Duration
}

// answeredBy emits an answer that came at t.
func (a *agent) answeredBy(t time.Duration, n served) {
	labels := map[string]string{"client": n.client, "service": n.service, "server": strconv.Itoa(int(n.server))}
	if a.target.addr.IsValid() {
		labels["vip"] = a.target.addr.Addr().String()
	}
	if n.last > 0 {
		labels[observe.LabelLast] = strconv.FormatInt(n.last.Milliseconds(), 10)
	}
	a.sampleAt(t, observe.Sample{Metric: observe.MetricClientServer, Value: float64(n.server), Labels: labels})
}
