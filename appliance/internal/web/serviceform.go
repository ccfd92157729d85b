package web

import (
	"maps"
	"strconv"
	"strings"

	"github.com/vosbed/vosbed/appliance/api"
)

// rowID names the cell with an object's label, which describes the buttons of its row.
func rowID(i int) string { return "row-" + strconv.Itoa(i) }

// protocolWord is the protocol as the layer's form calls it.
func protocolWord(f api.Fields) string {
	if f["layer"] == "7" {
		return "TCP Mode"
	}
	return strings.ToUpper(f["protocol"])
}

// checkWords tells a health check in words and its target.
func checkWords(s api.ServiceDraft) string {
	choice := checkChoice(s.Fields)
	for _, o := range checkTypes7() {
		if o.Value == choice {
			return strings.TrimSpace(o.Text + " " + s.CheckURL)
		}
	}
	return s.Fields["check.type"]
}

// checkTypes7 are the choices of a layer-7 check; their values are "type/protocol".
func checkTypes7() []option {
	return []option{
		{"negotiate/https", "Negotiate HTTPS (GET)"},
		{"negotiate/http", "Negotiate HTTP (GET)"},
		{"connect/", "Connect to port"},
		{"ping/", "Ping server"},
		{"on/", "No checks, always on"},
		{"off/", "No checks, always off"},
	}
}

func checkTypes4() []option {
	return []option{
		{"negotiate", "Negotiate"},
		{"connect", "Connect to port"},
		{"ping", "Ping server"},
		{"on", "No checks, always on"},
		{"off", "No checks, always off"},
	}
}

// checkField is the one control that holds the type and the protocol of a layer-7 check.
const checkField = "check"

// checkChoice is the value of a check among checkTypes7.
func checkChoice(f api.Fields) string {
	if f["check.type"] == "negotiate" {
		return "negotiate/" + or(f["check.protocol"], "https")
	}
	return f["check.type"] + "/"
}

// setChoice is the reverse: it replaces the choice by type and protocol.
func setChoice(f api.Fields) {
	if choice, ok := f[checkField]; ok {
		delete(f, checkField)
		f["check.type"], f["check.protocol"], _ = strings.Cut(choice, "/")
	}
}

// serviceForm is the form of guide 10.1.1 and 10.2.1. The health check is set once the
// service is there.
func serviceForm(f api.Fields, checkURL string, isNew bool) editor {
	e := editor{Submit: "Update", Under: "services" + f["layer"], Cancel: servicesPath(f["layer"])}
	e.Sections = append(e.Sections, section{Title: "Virtual Service", Inputs: []input{
		{Name: "name", Label: "Label", Value: f["name"], Required: true},
		{Name: "address", Label: "IP Address", Value: f["address"], Required: true},
		{Name: "ports", Label: "Ports", Value: f["ports"], Required: true, Hint: "Single ports and ranges: 8080,8443 or 1935,554,50000-65535"},
	}})
	if f["layer"] == "7" {
		e.Sections = append(e.Sections, section{Title: "Protocol", Inputs: []input{
			{Name: "method", Label: "Layer 7 Protocol", Kind: "select", Value: "proxy", Options: []option{{"proxy", "TCP Mode"}}},
		}})
	} else {
		e.Sections = append(e.Sections,
			section{Title: "Protocol", Inputs: []input{{
				Name: "protocol", Label: "Protocol", Kind: "select", Value: f["protocol"],
				Options: []option{{"tcp", "TCP"}, {"udp", "UDP"}, {"tcp/udp", "TCP/UDP"}},
			}}},
			section{Title: "Forwarding", Inputs: []input{
				{Name: "method", Label: "Forwarding Method", Kind: "select", Value: "dr", Options: []option{{"dr", "Direct Routing"}}},
			}})
	}
	if !isNew {
		e.Sections = append(e.Sections, checkSection(f, checkURL), checkTimes(f))
	}
	e.Sections = append(e.Sections, balanceSection(f))
	if f["layer"] == "7" {
		e.Sections = append(e.Sections, limitsSection(f))
	}
	return e
}

// checkSection is the section Health Checks in the words of each layer.
func checkSection(f api.Fields, checkURL string) section {
	s := section{Title: "Health Checks"}
	port := input{Name: "check.port", Label: "Check Port", Value: f["check.port"], Hint: "Blank: chosen by the protocol."}
	if checkURL != "" {
		port.Hint = "Checks " + checkURL + ". Blank: chosen by the protocol."
	}
	request := input{Name: "check.request", Label: "Request to Send", Value: f["check.request"], Hint: "The path to get, such as /admin/status"}
	value := f["check.expect.value"]
	if f["layer"] == "7" {
		s.Inputs = []input{
			{Name: checkField, Label: "Health Checks", Kind: "select", Value: checkChoice(f), Options: checkTypes7()},
			request,
			{
				Name: "check.expect.match", Label: "Response Expected", Kind: "select", Value: or(f["check.expect.match"], "equals"),
				Options: []option{{"equals", "Equals"}, {"contains", "Contains"}, {"any", "Any answer"}},
			},
			{Name: "check.expect.value", Label: "Response Expected Value", Value: value},
			port,
		}
		return s
	}
	s.Inputs = []input{
		{Name: "check.type", Label: "Check Type", Kind: "select", Value: f["check.type"], Options: checkTypes4()},
		{Name: "check.protocol", Label: "Protocol", Kind: "select", Value: or(f["check.protocol"], "https"), Options: []option{{"https", "HTTPS"}, {"http", "HTTP"}}},
		port, request,
		{Name: "check.expect.value", Label: "Response Expected", Value: value},
	}
	return s
}

// checkTimes are the settings of a check that are seldom changed.
func checkTimes(f api.Fields) section {
	s := section{Title: "Health Check Times", Advanced: true, Inputs: []input{
		{Name: "check.interval", Label: "Check Interval", Value: f["check.interval"], Hint: "Such as 5s or 500ms; blank: 5s"},
		{Name: "check.timeout", Label: "Check Timeout", Value: f["check.timeout"], Hint: "Blank: 3s"},
		{Name: "check.fall", Label: "Failures to go down", Value: f["check.fall"], Hint: "Blank: 2"},
		{Name: "check.rise", Label: "Successes to come up", Value: f["check.rise"], Hint: "Blank: 2"},
		{Name: "check.fast", Label: "Interval while changing", Value: f["check.fast"], Hint: "Blank: 1s"},
		{Name: "check.jitter", Label: "Jitter", Value: f["check.jitter"], Hint: "Fraction of the interval, 0 to 0.5; blank: 0.1"},
		{Name: "check.host", Label: "Host Header", Value: f["check.host"], Hint: "Blank: the server's address. For Negotiate"},
		{Name: "check.expect.status", Label: "HTTP Status", Value: f["check.expect.status"], Hint: "200, or several with commas; blank: 200. For Negotiate"},
	}}
	if f["layer"] == "4" {
		s.Inputs = append(s.Inputs, input{
			Name: "check.through_vip", Label: "Check through the VIP", Kind: "select", Value: f["check.through_vip"],
			Options: []option{{"", "As usual"}, {"true", "Yes"}, {"false", "No"}},
			Hint:    "Finds a server without the VIP on its loopback. For Negotiate and Connect to port, usually on",
		})
	}
	return s
}

// balanceSection are scheduler and persistence.
func balanceSection(f api.Fields) section {
	schedulers := []option{{"wlc", "Weighted least connections"}, {"maglev", "Source hash (Maglev)"}}
	if f["layer"] == "7" {
		schedulers = []option{{"wlc", "Weighted least connections"}, {"rr", "Weighted round robin"}}
	}
	return section{Title: "Scheduling and Persistence", Advanced: true, Inputs: []input{
		{Name: "scheduler", Label: "Balance Mode", Kind: "select", Value: or(f["scheduler"], "wlc"), Options: schedulers},
		{Name: "persistence.kind", Label: "Persistence Mode", Kind: "select", Value: or(f["persistence.kind"], "source-ip"), Options: []option{{"source-ip", "Source IP"}, {"none", "None"}}},
		{Name: "persistence.timeout", Label: "Persistence Timeout", Value: f["persistence.timeout"], Hint: "5m, 30m; blank: the usual one of the layer"},
		{Name: "persistence.mask4", Label: "IPv4 Granularity", Value: f["persistence.mask4"], Hint: "Bits of the client's address that count; blank: 32"},
		{Name: "persistence.mask6", Label: "IPv6 Granularity", Value: f["persistence.mask6"], Hint: "Blank: 64"},
		{Name: "drain_persistent", Label: "Known clients may stay on a draining server", Kind: "checkbox", Value: f["drain_persistent"]},
		{Name: "interface", Label: "Interface", Value: f["interface"], Hint: "Blank: the one whose network holds the IP address"},
	}}
}

// limitsSection are those of a layer-7 service.
func limitsSection(f api.Fields) section {
	return section{Title: "Limits and Timeouts", Advanced: true, Inputs: []input{
		{Name: "proxy.max_connections", Label: "Maximum Connections", Value: f["proxy.max_connections"], Hint: "0: as many as the machine can hold"},
		{Name: "proxy.connect_timeout", Label: "Connect Timeout", Value: f["proxy.connect_timeout"], Hint: "Blank: 4s"},
		{Name: "proxy.idle_timeout", Label: "Idle Timeout", Value: f["proxy.idle_timeout"], Hint: "Blank: 5m"},
		{Name: "proxy.fin_timeout", Label: "Half-Closed Timeout", Value: f["proxy.fin_timeout"], Hint: "Blank: 30s"},
		{Name: "proxy.retries", Label: "Retries", Value: f["proxy.retries"], Hint: "Further servers that are tried; blank: 3"},
		{Name: "proxy.fallback", Label: "Fallback Page", Kind: "checkbox", Value: or(f["proxy.fallback"], "true"), Hint: "Shown while all real servers are down or halted; otherwise clients are refused"},
	}}
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// serviceFields turns what the form of a service sent into settings; was is the service
// as it is. A form without scripts shows the settings of all kinds of check, and those
// that the chosen kind does not have are left out.
func serviceFields(sent, was api.Fields) api.Fields {
	f := maps.Clone(sent)
	setChoice(f)
	kind := f["check.type"]
	if kind == "negotiate" {
		expectation(f, was)
		return f
	}
	for _, key := range []string{"check.protocol", "check.request", "check.expect.match", "check.expect.value", "check.expect.status", "check.host"} {
		f[key] = ""
	}
	if kind != "connect" {
		f["check.port"] = ""
		f["check.through_vip"] = ""
	}
	return f
}

// expectation settles what the answer to a check must be. A value without a choice is
// "Equals" (guide 10.2.1); "Any answer", chosen now, drops the value.
func expectation(f, was api.Fields) {
	match := or(f["check.expect.match"], was["check.expect.match"])
	anything := match == "any"
	switch {
	case f["check.expect.value"] == "":
		match = "any"
	case anything && was["check.expect.match"] != "any":
		f["check.expect.value"] = ""
	case anything, match == "":
		match = "equals"
	}
	f["check.expect.match"] = match
}
