package web_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/appliance/api"
)

// TestMachineGolden holds the pages of Local Configuration as they are sent.
func TestMachineGolden(t *testing.T) {
	for _, page := range []string{"hostname", "interfaces", "routing", "datetime", "graphing"} {
		golden(t, page, sit(t, api.RoleAdmin).open("/lbadmin/"+page).want(200))
	}
}

func TestHostnameAndDNS(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	const at = "/lbadmin/hostname"
	p := d.open(at).want(200, "Hostname & DNS", "Name Servers", "debian", "127.0.0.53", "a link to ../run/stub", "DNS: /etc/resolv.conf is a link")
	d.send(at, fill(p.form(at), map[string]string{"hostname": "lb2", "domain": "example.org"})).leadsTo(at)
	has(t, d.last("PUT", "/api/v1/draft/parts/node"), api.Fields{"system.hostname": "lb2", "system.domain": "example.org", "system.dns.servers": "192.168.94.1", "system.dns.search": ""})
	if made := d.lb.changes(); made[len(made)-1].Tag != "t1" {
		t.Error("the change does not name the draft that was seen")
	}
	d.lb.answer(putNode, api.Problem{Status: 422, Detail: "no", Fields: map[string]string{"system.hostname": "is a name with its domain", "management[0]": "is odd"}})
	p = d.send(at, fill(p.form(at), map[string]string{"hostname": "a.b"})).want(422, "Nothing was changed", "management[0]: is odd")
	if said := p.control("Hostname"); !strings.Contains(said, "is a name with its domain") || p.form(at).Get("hostname") != "a.b" {
		t.Errorf("at the field: %q, kept %q", said, p.form(at).Get("hostname"))
	}
}

func TestInterfaces(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	p := d.open("/lbadmin/interfaces").want(200, "10000 Mbit/s", "no cable", "02:00:00:00:00:01", "192.168.94.101/24", "VIP", "by others", "left alone", "there is no such interface on this machine", "MTU 1400")
	d.send("/lbadmin/interfaces/remove", p.form("/lbadmin/interfaces/remove")).leadsTo("/lbadmin/interfaces")
	has(t, d.last("PUT", "/api/v1/draft/parts/node"), api.Fields{
		"system.interfaces[0].name": "", "system.interfaces[0].addresses": "", "system.interfaces[0].mtu": "", "system.interfaces[0].enabled": "",
	})
	const eth0, eth1 = "/lbadmin/interface?name=eth0", "/lbadmin/interface?name=eth1"
	form := d.open(eth0).want(200, "Interface eth0").form(eth0)
	form.Del("enabled")
	d.send(eth0, fill(form, map[string]string{"addresses": "10.0.0.1/8"})).leadsTo("/lbadmin/interfaces")
	has(t, d.last("PUT", "/api/v1/draft/parts/node"), api.Fields{"system.interfaces[0].name": "eth0", "system.interfaces[0].addresses": "10.0.0.1/8", "system.interfaces[0].mtu": "1400", "system.interfaces[0].enabled": "false"})
	d.send(eth1, d.open(eth1).form(eth1)).leadsTo("/lbadmin/interfaces") // the next one of the list
	has(t, d.last("PUT", "/api/v1/draft/parts/node"), api.Fields{"system.interfaces[6].name": "eth1", "system.interfaces[6].enabled": "true"})
	d.send("/lbadmin/interface", url.Values{"name": {"eth9"}, "addresses": {"10.9.0.1/16"}, "tag": {"t1"}}).leadsTo("/lbadmin/interfaces")
	has(t, d.last("PUT", "/api/v1/draft/parts/node"), api.Fields{"system.interfaces[6].name": "eth9", "system.interfaces[6].addresses": "10.9.0.1/16"})
	d.send("/lbadmin/interfaces/remove", url.Values{"name": {"eth9"}}).want(404, "not configured")
	d.vlan(p)

	d.lb.answer(putNode, api.Problem{Status: 422, Fields: map[string]string{"system.interfaces[0].addresses": "lacks the length", "system.interfaces[0].name": "is odd", "system.routes[0].via": "is in no network"}})
	p = d.send(eth0, form).want(422, "eth0: is odd", "routes[0].via: is in no network")
	if said := p.control("IP Addresses"); !strings.Contains(said, "lacks the length") {
		t.Errorf("at the field: %q", said)
	}
}

// vlan adds a VLAN, and changes one.
func (d *desk) vlan(list *got) {
	list.want(200, "VLAN 100 of eth1", "by DHCP", "lent by 10.100.0.254 until 2026-03-04 12:00:00 UTC", "made when the changes are applied")
	const add, one = "/lbadmin/interface", "/lbadmin/interface?name=eth1.100"
	form := fill(d.open(add).form(add), map[string]string{"name": "eth0.7", "vlan.link": "eth0", "vlan.id": "7"})
	d.send(add, form).leadsTo("/lbadmin/interfaces")
	has(d.t, d.last("PUT", "/api/v1/draft/parts/node"), api.Fields{"system.interfaces[6].name": "eth0.7", "system.interfaces[6].vlan.link": "eth0", "system.interfaces[6].vlan.id": "7"})
	d.send(one, fill(d.open(one).form(one), map[string]string{"vlan.id": "101", "dhcp": "true"})).leadsTo("/lbadmin/interfaces")
	has(d.t, d.last("PUT", "/api/v1/draft/parts/node"), api.Fields{"system.interfaces[2].name": "eth1.100", "system.interfaces[2].vlan.link": "eth1", "system.interfaces[2].vlan.id": "101", "system.interfaces[2].dhcp": "true"})
	d.lb.answer(putNode, api.Problem{Status: 422, Fields: map[string]string{"system.interfaces[2].vlan.id": "is out of range", "system.interfaces[2].vlan.link": "is not there"}})
	p := d.send(one, form).want(422)
	if said := p.control("VLAN ID") + p.control("VLAN of"); !strings.Contains(said, "is out of range") || !strings.Contains(said, "is not there") || p.form(one).Get("vlan.id") != "7" {
		d.t.Errorf("at the fields: %q", said)
	}
}

// TestBonds adds a bond, and changes one.
func TestBonds(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	d.open("/lbadmin/interfaces").want(200, "bond, active-backup", "eth3: active", "eth4: no cable", "member of bond0", "bond of eth3, eth4, active-backup", "bond of eth5, 802.3ad")
	const add, one = "/lbadmin/interface", "/lbadmin/interface?name=bond0"
	form := fill(d.open(add).form(add), map[string]string{"name": "bond2", "bond.members": "eth6,eth7", "bond.mode": "802.3ad"})
	d.send(add, form).leadsTo("/lbadmin/interfaces")
	has(t, d.last("PUT", "/api/v1/draft/parts/node"), api.Fields{"system.interfaces[6].name": "bond2", "system.interfaces[6].bond.members": "eth6,eth7", "system.interfaces[6].bond.mode": "802.3ad"})
	d.send(one, fill(d.open(one).form(one), map[string]string{"bond.members": "eth3"})).leadsTo("/lbadmin/interfaces")
	has(t, d.last("PUT", "/api/v1/draft/parts/node"), api.Fields{"system.interfaces[4].name": "bond0", "system.interfaces[4].bond.members": "eth3", "system.interfaces[4].bond.mode": "active-backup"})
	d.lb.answer(putNode, api.Problem{Status: 422, Fields: map[string]string{"system.interfaces[4].bond.members": "is a VLAN", "system.interfaces[4].bond.mode": "does not suit"}})
	p := d.send(one, form).want(422)
	if said := p.control("Bond of") + p.control("Bond Mode"); !strings.Contains(said, "is a VLAN") || !strings.Contains(said, "does not suit") || p.form(one).Get("bond.members") != "eth6,eth7" {
		t.Errorf("at the fields: %q", said)
	}
}

func TestRouting(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	p := d.open("/lbadmin/routing").want(200, "10.20.0.0/16", "192.168.94.254", "172.16.0.1", "on the link", "Add a new Route")
	d.send("/lbadmin/routing/remove", p.form("/lbadmin/routing/remove")).leadsTo("/lbadmin/routing")
	has(t, d.last("PUT", "/api/v1/draft/parts/node"), api.Fields{"system.routes[0].to": "", "system.routes[0].via": ""})
	const one, add = "/lbadmin/route?number=1", "/lbadmin/route"
	d.send(one, fill(d.open(one).form(one), map[string]string{"metric": "7"})).leadsTo("/lbadmin/routing")
	has(t, d.last("PUT", "/api/v1/draft/parts/node"), api.Fields{"system.routes[1].to": "10.20.0.0/16", "system.routes[1].metric": "7", "system.routes[1].interface": "eth0"})
	d.send(add, fill(d.open(add).form(add), map[string]string{"via": "192.168.94.2"})).leadsTo("/lbadmin/routing")
	has(t, d.last("PUT", "/api/v1/draft/parts/node"), api.Fields{"system.routes[2].to": "default", "system.routes[2].via": "192.168.94.2"})
	for _, number := range []string{"2", "-1", "x"} {
		d.open("/lbadmin/route?number="+number).want(404, "no such route")
		d.send("/lbadmin/route?number="+number, url.Values{"to": {"default"}}).want(404, "no such route")
		d.send("/lbadmin/routing/remove", url.Values{"number": {number}}).want(404, "no such route")
	}
	d.send("/lbadmin/routing/remove", url.Values{}).want(404, "no such route")
}

func TestDateGraphingAndLicense(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	p := d.open("/lbadmin/datetime").want(200, "System Date & Time", "synchronized", "wrong by 1.5 ms at most", "2026-03-04 12:00:00 UTC")
	d.send("/lbadmin/datetime", fill(p.form("/lbadmin/datetime"), map[string]string{"time.servers": "a.example,b.example"})).leadsTo("/lbadmin/datetime")
	has(t, d.last("PUT", "/api/v1/draft/parts/node"), api.Fields{"system.time.zone": "Europe/London", "system.time.servers": "a.example,b.example"})
	d.clock()
	form := d.open("/lbadmin/graphing").want(200, "1 year").form("/lbadmin/graphing")
	if form.Get("graphing.enabled") != "true" {
		t.Errorf("on by default, but the form says %q", form.Get("graphing.enabled"))
	}
	form.Del("graphing.enabled")
	d.send("/lbadmin/graphing", form).leadsTo("/lbadmin/graphing")
	has(t, d.last("PUT", "/api/v1/draft/parts/node"), api.Fields{"system.graphing.enabled": "false"})
	d.open("/lbadmin/license").want(200, "No key is needed", "Apache License, version 2.0", "Dual BSD/GPL", "golang.org/x/sys", "Copyright 2009 The Go Authors", "idiomorph", "The MIT License")
}

// clock sets the clock by hand.
func (d *desk) clock() {
	const at, post = "/lbadmin/datetime/clock", "POST " + api.PathClock
	form := fill(d.open(at).want(200, "Set the clock by hand").form(at), map[string]string{"time": "2026-03-04 13:00:00"})
	d.send(at, form).leadsTo("/lbadmin/datetime")
	d.lb.answer(post, api.ClockSet{Hardware: "this machine has no hardware clock"})
	d.send(at, form).leadsTo("/lbadmin/datetime?hardware=unset")
	d.open("/lbadmin/datetime?hardware=unset").want(200, "not the hardware clock")
	d.lb.answer(post, api.Problem{Status: 422, Fields: map[string]string{"time": "is no time"}})
	p := d.send(at, fill(form, map[string]string{"time": nasty})).want(422, "Nothing was changed")
	if said := p.control("Date and Time"); !strings.Contains(said, "is no time") || p.form(at).Get("time") != nasty {
		d.t.Errorf("at the field: %q, kept %q", said, p.form(at).Get("time"))
	}
	wellFormed(d.t, p)
	d.lb.answer(post, api.Problem{Status: 409, Detail: "the NTP servers keep the clock"})
	d.send(at, form).want(409, "the NTP servers keep the clock")
	d.send(at, fill(form, map[string]string{"time": ""})).want(422, "is missing")
}

// TestTheMachineIsNotKnown: what is configured can be changed all the same.
func TestTheMachineIsNotKnown(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	d.lb.answer("GET "+api.PathSystem, api.Problem{Status: 500, Detail: "no netlink"})
	for _, page := range []string{"hostname", "routing", "datetime"} {
		d.open("/lbadmin/"+page).want(200, "cannot be read")
	}
	d.open("/lbadmin/interfaces").want(200, "eth0", "eth7")
	d.open("/lbadmin/graphing").want(200, "1 year")
}

// TestNastyMachines: whatever a machine or a draft says is text.
func TestNastyMachines(t *testing.T) {
	t.Parallel()
	for _, role := range []string{api.RoleAdmin, api.RoleAuditor} {
		d := sit(t, role)
		f := nodeFields()
		for key := range f {
			f[key] = nasty
		}
		d.lb.answer("GET /api/v1/draft/parts/node", api.PartDraft{Tag: nasty, Fields: f})
		d.lb.answer("GET "+api.PathSystem, api.System{
			Hostname: nasty, Problems: []string{nasty},
			Interfaces: []api.NIC{{Name: nasty, MAC: nasty, Up: true, VLAN: &api.NICVLAN{Link: nasty, ID: 7}, Bond: &api.NICBond{Mode: nasty, Members: []api.NICMember{{Name: nasty}}}, BondOf: nasty, Lease: &api.NICLease{Address: nasty, Server: nasty}, Addresses: []api.NICAddress{{Address: nasty, Origin: nasty}}}},
			Routes:     []api.Route{{To: nasty, Via: nasty, Interface: nasty, Origin: nasty}},
			Resolver:   api.Resolver{File: nasty, Link: nasty, Servers: []string{nasty}, Search: []string{nasty}},
			Clock:      api.Clock{Zone: nasty, Servers: []string{nasty}},
		})
		for _, page := range []string{"hostname", "interfaces", "routing", "datetime"} {
			wellFormed(t, d.open("/lbadmin/"+page).want(200, nasty))
		}
		for _, page := range []string{"graphing", "license", "route?number=0", "interface?name=" + url.QueryEscape(nasty)} {
			wellFormed(t, d.open("/lbadmin/"+page).want(200))
		}
	}
}

// TestMachineRoles: who may not change sees what is configured and no form.
func TestMachineRoles(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAuditor)
	d.open("/lbadmin/hostname").want(200, "Configured", "192.168.94.1", "the machine's own")
	for _, page := range []string{"hostname", "interfaces", "routing", "datetime", "graphing"} {
		p := d.open("/lbadmin/" + page).want(200)
		for _, word := range []string{"Update", "Configure", "Modify", "Leave alone", "Delete", "Add a new Route", "Add an interface"} {
			if p.has(word) {
				t.Errorf("an auditor sees %q on %s", word, page)
			}
		}
	}
	d.send("/lbadmin/hostname", url.Values{"hostname": {"x"}}).want(403, "this needs the role admin")
}

// TestTrialOnly: what could cut the node off is offered with auto-rollback alone.
func TestTrialOnly(t *testing.T) {
	t.Parallel()
	d := sit(t, api.RoleAdmin)
	draft := api.Draft{Tag: "t9", TrialOnly: true, Changes: []api.Change{{Path: "node/system.interfaces/eth0", Text: "interface eth0 added: 10.0.0.1/8"}}}
	d.lb.answer("GET "+api.PathDraft, draft)
	p := d.open("/lbadmin/interfaces").want(200, "interface eth0 added: 10.0.0.1/8", "could cut this node off")
	if !p.has("Apply with 60-second auto-rollback") || p.has("Apply changes") || p.has("Restart Heartbeat") {
		t.Errorf("buttons: %q", p.actions())
	}
	both := draft
	both.Changes = append(both.Changes[:1:1], api.Change{Path: "cluster/paired", Text: "cluster: paired"})
	d.lb.answer("GET "+api.PathDraft, both)
	if p := d.open("/lbadmin/interfaces").want(200, "make them one after the other"); p.has("Restart Heartbeat") || p.has("auto-rollback") || !p.has("Discard") {
		t.Errorf("buttons: %q", p.actions())
	}
	draft.TrialOnly, draft.Changes[0].Path = false, "node/system.hostname"
	d.lb.answer("GET "+api.PathDraft, draft)
	if p := d.open("/lbadmin/hostname"); !p.has("Apply changes") || p.has("Restart Heartbeat") {
		t.Errorf("buttons: %q", p.actions())
	}
}
