package web

import "github.com/vosbed/vosbed/appliance/api"

const hostnamePath = Root + "hostname"

// hostnameScreen is Local Configuration > Hostname & DNS.
func hostnameScreen() settingsScreen {
	return settingsScreen{"hostname", hostnamePath, "Hostname & DNS", func(f api.Fields) []section {
		return []section{
			{Title: "Hostname", Inputs: []input{
				{Name: "hostname", Label: "Hostname", Value: f["hostname"], Hint: "One name without dots. Blank: the machine's own"},
				{Name: "domain", Label: "Domain", Value: f["domain"], Hint: "Searched first for names without a dot, with the name servers below"},
			}},
			{Title: "DNS", Inputs: []input{
				{Name: "dns.servers", Label: "Name Servers", Value: f["dns.servers"], Hint: "Up to 3 addresses, with commas: 192.168.94.1,192.168.94.2. Blank: the machine's own"},
				{Name: "dns.search", Label: "Search Domains", Value: f["dns.search"], Hint: "Searched after the domain, with commas"},
			}},
		}
	}}
}
