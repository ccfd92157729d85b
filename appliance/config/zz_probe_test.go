package config_test

import (
	"fmt"
	"testing"

	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/lb"
)

func TestProbe(t *testing.T) {
	base := config.Fields{"name": "A", "address": "192.168.94.100", "ports": "8080", "layer": "7", "check.type": "negotiate"}
	with := func(kv ...string) config.Fields {
		f := config.Fields{}
		for k, v := range base {
			f[k] = v
		}
		for i := 0; i < len(kv); i += 2 {
			f[kv[i]] = kv[i+1]
		}
		return f
	}
	try := func(what string, fn func() (any, error)) {
		defer func() {
			if p := recover(); p != nil {
				fmt.Printf("%-28s PANIC %v\n", what, p)
			}
		}()
		v, err := fn()
		fmt.Printf("%-28s err=%#v\n      %+v\n", what, err, v)
	}
	svc := func(f config.Fields) func() (any, error) {
		return func() (any, error) { s, err := config.SetService(lb.VirtualService{}, f); return s.Check, err }
	}
	for _, v := range []string{"a\x7f", "a\x00b", "a\xffb", "\ufffe", "\ud7ff\u0085x", "\ufeffx", " lead", "tail ", "a\nb", "\U0010ffff", "yes", "~", "1e3", "\u2028"} {
		try(fmt.Sprintf("expect %q", v), svc(with("check.expect.value", v, "check.expect.match", "contains")))
	}
	try("name 7f", svc(with("name", "a\x7f")))
	try("jitter", svc(with("check.jitter", "0.00001")))
	try("status 99", svc(with("check.expect.status", "99")))
	try("status list", svc(with("check.expect.status", "200,,204")))
	try("status[0]", svc(with("check.expect.status[0]", "204")))
	try("match alone", svc(with("check.expect.match", "equals")))
	try("proxy l4", svc(with("layer", "4", "proxy.retries", "2")))
	for _, k := range []string{"heartbeat[99].name", "heartbeat[x].name", "heartbeat[+0].name", "heartbeat[a.b].name", "heartbeat[0].name]", "management[0]", "heartbeat[0]", "heartbeat", "[0]", ""} {
		try("node "+k, func() (any, error) { return config.SetNode(lb.Node{Name: "n"}, config.Fields{k: "x"}) })
	}
	try("node mgmt", func() (any, error) { return config.SetNode(lb.Node{Name: "n"}, config.Fields{"management": "1.2.3.4,x"}) })
	try("cluster zero", func() (any, error) { return config.SetCluster(lb.Cluster{}, nil) })
	ref, _ := config.Parse("r", config.Reference)
	try("cluster hb", func() (any, error) { return config.SetCluster(ref.Cluster, config.Fields{"heartbeat": "200ms"}) })
	s, err := config.SetService(lb.VirtualService{}, base)
	if err != nil {
		t.Fatal(err)
	}
	upd := func(s lb.VirtualService, f config.Fields) func() (any, error) {
		return func() (any, error) { n, err := config.SetService(s, f); return n, err }
	}
	try("interval", upd(s, config.Fields{"check.interval": "500ms"}))
	try("value", upd(s, config.Fields{"check.expect.value": "Healthy"}))
	s.Check.Interval = 10e9
	s.Persistence.Timeout = 600e9
	try("type keeps interval", upd(s, config.Fields{"check.type": "connect"}))
	try("layer keeps timeout", upd(s, config.Fields{"layer": "4"}))
	u, _ := config.SetService(lb.VirtualService{}, config.Fields{"name": "A", "address": "192.168.94.100", "ports": "8080"})
	try("udp", upd(u, config.Fields{"protocol": "udp"}))
	s.Reals = []lb.RealServer{{Name: "r", Addr: s.Addr.Next(), Port: 9000, Weight: 1}}
	s.Check.Port = 9000
	s.Check.AutoPort = true
	try("translated", upd(s, config.Fields{"check.request": "/x"}))
	d := lb.Config{Node: lb.Node{Name: "n"}, Cluster: ref.Cluster, Services: []lb.VirtualService{{Name: "x"}}}
	b, err := config.EncodeDraft(d)
	fmt.Println(string(b), err)
	g, err := config.ParseDraft("d", b)
	fmt.Printf("%+v %v\n", g, err)
	fmt.Println(config.Mistakes(d))
	d = ref
	d.Services = append(d.Services, d.Services[0])
	d.Services[2].Ports = lb.Ports(99)
	fmt.Println("dup", config.Diff(d, d))
}
