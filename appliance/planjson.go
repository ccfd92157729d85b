package appliance

import (
	"net/netip"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
)

// PlanDocument is a plan as programs read it: it is there to be encoded in JSON.
// Names and units are the management API's. An address whose interface the node
// chooses by its subnets has no "interface", a server that keeps the client's port no
// "port", a server that is never checked no "timing".
type PlanDocument struct {
	Node      string            `json:"node"`
	Seat      string            `json:"configured_role"`
	Leased    bool              `json:"leased"`
	Addresses []plannedAddress  `json:"addresses"`
	Listeners []plannedListener `json:"listeners"` // of layer 7: layer 4 is in the kernel
	Services  []plannedService  `json:"services"`
	Checks    []plannedCheck    `json:"checks"`
}

// PlanJSON tells programs what PlanText tells people.
func PlanJSON(cfg lb.Config) PlanDocument {
	p := healthyPlan(cfg, chosenHere)
	out := PlanDocument{
		Node: cfg.Node.Name, Seat: cfg.Node.Seat.String(), Leased: p.L4.Leased,
		Addresses: []plannedAddress{}, Listeners: []plannedListener{},
		Services: []plannedService{}, Checks: []plannedCheck{},
	}
	for _, v := range p.VIPs {
		out.Addresses = append(out.Addresses, plannedAddress{
			netip.PrefixFrom(v.Addr, v.Addr.BitLen()).String(), interfaceJSON(v.Interface),
		})
	}
	for _, s := range p.L4.Services {
		out.Services = append(out.Services, layer4JSON(s))
	}
	for _, f := range p.L7.Frontends {
		out.Services = append(out.Services, layer7JSON(f))
		for port := range f.Ports.Each {
			out.Listeners = append(out.Listeners, plannedListener{f.Addr.String(), port, f.Name})
		}
	}
	for _, probe := range p.Probes {
		out.Checks = append(out.Checks, checkJSON(probe))
	}
	return out
}

// chosenHere stands for the interface that only the node itself can choose.
const chosenHere = "\x00"

func interfaceJSON(iface string) string {
	if iface == chosenHere {
		return ""
	}
	return iface
}

type plannedAddress struct {
	Address   string `json:"address"`
	Interface string `json:"interface,omitempty"`
}

type plannedListener struct {
	Address string `json:"address"`
	Port    uint16 `json:"port"`
	Service string `json:"service"`
}

type plannedService struct {
	Name            string             `json:"name"`
	Layer           string             `json:"layer"`
	Method          string             `json:"method"`
	Address         string             `json:"address"`
	Protocol        string             `json:"protocol"`
	Ports           string             `json:"ports"`
	Scheduler       string             `json:"scheduler"`
	Persistence     plannedPersistence `json:"persistence"`
	DrainPersistent bool               `json:"drain_persistent"`
	Proxy           *plannedProxy      `json:"proxy,omitempty"`
	Servers         []plannedServer    `json:"servers"`
}

type plannedPersistence struct {
	Kind      string  `json:"kind"`
	TimeoutMS float64 `json:"timeout_ms"`
	Mask4     int     `json:"mask4"`
	Mask6     int     `json:"mask6"`
}

type plannedProxy struct {
	MaxConnections   int     `json:"max_connections"`
	ConnectTimeoutMS float64 `json:"connect_timeout_ms"`
	IdleTimeoutMS    float64 `json:"idle_timeout_ms"`
	FinTimeoutMS     float64 `json:"fin_timeout_ms"`
	Retries          int     `json:"retries"`
}

type plannedServer struct {
	Name           string `json:"name"`
	Address        string `json:"address"`
	Port           uint16 `json:"port,omitempty"`
	Weight         int    `json:"weight"`
	MinConnections int    `json:"min_connections"`
	MaxConnections int    `json:"max_connections"`
}

type plannedCheck struct {
	Service    string         `json:"service"`
	Server     string         `json:"server"`
	Type       string         `json:"type"`
	Target     string         `json:"target,omitempty"`
	ThroughVIP string         `json:"through_vip,omitempty"`
	Host       string         `json:"host,omitempty"`
	Expect     *plannedAnswer `json:"expect,omitempty"`
	Timing     *plannedTiming `json:"timing,omitempty"`
}

type plannedAnswer struct {
	Status []int  `json:"status"`
	Match  string `json:"match"`
	Value  string `json:"value"`
}

type plannedTiming struct {
	IntervalMS float64 `json:"interval_ms"`
	FastMS     float64 `json:"fast_ms"`
	TimeoutMS  float64 `json:"timeout_ms"`
	Jitter     float64 `json:"jitter"`
	Fall       int     `json:"fall"`
	Rise       int     `json:"rise"`
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func persistenceJSON(p lb.Persistence) plannedPersistence {
	return plannedPersistence{p.Kind.String(), milliseconds(p.Timeout), p.Mask4, p.Mask6}
}

func layer4JSON(s plan.L4Service) plannedService {
	out := plannedService{
		Name: s.Name, Layer: lb.Layer4.String(), Method: lb.DR.String(),
		Address: s.Addr.String(), Protocol: s.Protocols.String(), Ports: s.Ports.String(),
		Scheduler: s.Scheduler.String(), Persistence: persistenceJSON(s.Persistence), DrainPersistent: s.DrainPersistent,
		Servers: []plannedServer{},
	}
	for _, r := range s.Reals {
		out.Servers = append(out.Servers, plannedServer{
			Name: r.Name, Address: r.Addr.String(), Weight: r.Weight, MinConnections: r.MinConns, MaxConnections: r.MaxConns,
		})
	}
	return out
}

func layer7JSON(f plan.Frontend) plannedService {
	out := plannedService{
		Name: f.Name, Layer: lb.Layer7.String(), Method: lb.Proxy.String(),
		Address: f.Addr.String(), Protocol: lb.TCP.String(), Ports: f.Ports.String(),
		Scheduler: f.Scheduler.String(), Persistence: persistenceJSON(f.Persistence), DrainPersistent: f.DrainPersistent,
		Proxy: &plannedProxy{
			MaxConnections: f.Settings.MaxConns, ConnectTimeoutMS: milliseconds(f.Settings.ConnectTimeout),
			IdleTimeoutMS: milliseconds(f.Settings.IdleTimeout), FinTimeoutMS: milliseconds(f.Settings.FinTimeout),
			Retries: f.Settings.Retries,
		},
		Servers: []plannedServer{},
	}
	for _, r := range f.Backends {
		out.Servers = append(out.Servers, plannedServer{r.Name, r.Addr.String(), r.Port, r.Weight, r.MinConns, r.MaxConns})
	}
	return out
}

func checkJSON(p plan.Probe) plannedCheck {
	c := p.Check
	out := plannedCheck{Service: p.ID.Service, Server: p.ID.Real, Type: c.Kind.String(), Target: c.Target(p.Target), Host: c.Host}
	if out.Target == "" {
		return out
	}
	out.Timing = &plannedTiming{milliseconds(c.Interval), milliseconds(c.Fast), milliseconds(c.Timeout), c.Jitter, c.Fall, c.Rise}
	if c.Kind == lb.CheckNegotiate {
		out.Expect = &plannedAnswer{c.Statuses, c.Match.String(), c.Expect}
	}
	if c.ThroughVIP && p.VIP.IsValid() {
		out.ThroughVIP = p.VIP.String()
	}
	return out
}
