package config

import (
	"net/netip"

	"github.com/vosbed/vosbed/internal/strictyaml"
)

// The file types carry the spelling of the file and nothing else. Pointers tell
// "not written" from zero. The scope tag of a top-level key holds for all below it.

type file struct {
	Node     nodeFile      `scope:"node" strict:"required" yaml:"node"`
	Cluster  clusterFile   `scope:"cluster" yaml:"cluster,omitempty"`
	Services []serviceFile `scope:"cluster" yaml:"services,omitempty"`
}

type nodeFile struct {
	Name        string          `strict:"required" yaml:"name"`
	Role        string          `yaml:"role,omitempty"`
	Management  []string        `yaml:"management,omitempty,flow"`
	DHCP        []string        `yaml:"management_dhcp,omitempty,flow"`
	HTTP        []string        `yaml:"management_http,omitempty,flow"`
	Fallback    []string        `yaml:"fallback,omitempty,flow"`
	Heartbeat   []pathFile      `yaml:"heartbeat,omitempty"`
	Replication replicationFile `yaml:"replication,omitempty"`
	Ping        []netip.Addr    `yaml:"ping,omitempty,flow"`

	Authentication authenticationFile `yaml:"authentication,omitempty"`
	Update         updateFile         `yaml:"update,omitempty"`
	System         systemFile         `yaml:"system,omitempty"`
}

type pathFile struct {
	Name  string `strict:"required" yaml:"name"`
	Local string `strict:"required" yaml:"local"`
	Peer  string `strict:"required" yaml:"peer"`
}

type replicationFile struct {
	Local string `yaml:"local,omitempty"`
	Peer  string `yaml:"peer,omitempty"`
}

type clusterFile struct {
	Paired     bool                 `yaml:"paired"`
	SecretFile string               `yaml:"secret_file,omitempty"`
	Heartbeat  *strictyaml.Duration `yaml:"heartbeat,omitempty"`
	Dead       *strictyaml.Duration `yaml:"dead,omitempty"`
	Lease      *strictyaml.Duration `yaml:"lease,omitempty"`
	Init       *strictyaml.Duration `yaml:"init,omitempty"`
	HoldDown   *strictyaml.Duration `yaml:"hold_down,omitempty"`
	Failback   bool                 `yaml:"failback"`
	Announce   *bool                `yaml:"announce,omitempty"`
	LeaseGuard *bool                `yaml:"lease_guard,omitempty"`
	Replicate  *bool                `yaml:"replicate,omitempty"`
}

type serviceFile struct {
	Name            string          `strict:"required" yaml:"name"`
	Address         netip.Addr      `strict:"required" yaml:"address"`
	Ports           string          `strict:"required" yaml:"ports"`
	Protocol        string          `yaml:"protocol,omitempty"`
	Layer           *int            `yaml:"layer,omitempty"`
	Method          string          `yaml:"method,omitempty"`
	Interface       string          `yaml:"interface,omitempty"`
	Scheduler       string          `yaml:"scheduler,omitempty"`
	Persistence     persistenceFile `yaml:"persistence,omitempty"`
	DrainPersistent bool            `yaml:"drain_persistent"`
	Check           *checkFile      `yaml:"check,omitempty"`
	Proxy           *proxyFile      `yaml:"proxy,omitempty"`
	RealServers     []realFile      `strict:"required" yaml:"real_servers,omitempty"`
}

type persistenceFile struct {
	Kind    string               `yaml:"kind,omitempty"`
	Timeout *strictyaml.Duration `yaml:"timeout,omitempty"`
	Mask4   *int                 `yaml:"mask4,omitempty"`
	Mask6   *int                 `yaml:"mask6,omitempty"`
}

type checkFile struct {
	Type       string               `yaml:"type,omitempty"`
	Protocol   string               `yaml:"protocol,omitempty"`
	Port       *uint16              `yaml:"port,omitempty"`
	Request    string               `yaml:"request,omitempty"`
	Host       string               `yaml:"host,omitempty"`
	Expect     expectFile           `yaml:"expect,omitempty"`
	Interval   *strictyaml.Duration `yaml:"interval,omitempty"`
	Timeout    *strictyaml.Duration `yaml:"timeout,omitempty"`
	Fall       *int                 `yaml:"fall,omitempty"`
	Rise       *int                 `yaml:"rise,omitempty"`
	Jitter     *float64             `yaml:"jitter,omitempty"`
	Fast       *strictyaml.Duration `yaml:"fast,omitempty"`
	ThroughVIP *bool                `yaml:"through_vip,omitempty"`
}

type expectFile struct {
	Match  string `yaml:"match,omitempty"`
	Value  string `yaml:"value,omitempty"`
	Status []int  `yaml:"status,omitempty,flow"`
}

type proxyFile struct {
	MaxConnections *int                 `yaml:"max_connections,omitempty"`
	ConnectTimeout *strictyaml.Duration `yaml:"connect_timeout,omitempty"`
	IdleTimeout    *strictyaml.Duration `yaml:"idle_timeout,omitempty"`
	FinTimeout     *strictyaml.Duration `yaml:"fin_timeout,omitempty"`
	Retries        *int                 `yaml:"retries,omitempty"`
	Fallback       *bool                `yaml:"fallback,omitempty"`
}

type realFile struct {
	Name           string     `strict:"required" yaml:"name"`
	Address        netip.Addr `strict:"required" yaml:"address"`
	Port           *uint16    `yaml:"port,omitempty"`
	Weight         *int       `yaml:"weight,omitempty"`
	MinConnections int        `yaml:"min_connections,omitempty"`
	MaxConnections int        `yaml:"max_connections,omitempty"`
}
