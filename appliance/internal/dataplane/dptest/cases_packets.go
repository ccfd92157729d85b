package dptest

func matching() []Case {
	return []Case{
		{Name: "tcp and udp of the port set are served", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			tcp S 10.0.0.1:1001 > V:5000 => A
			tcp S 10.0.0.1:1002 > V:6000 => A
			udp 10.0.0.1:1003 > V:80 => A
			udp 10.0.0.1:1004 > V:5500 => A`},
		{Name: "ports outside the set are dropped", Script: `
			tcp S 10.0.0.1:1000 > V:81 => drop port_not_served
			tcp S 10.0.0.1:1000 > V:79 => drop port_not_served
			tcp S 10.0.0.1:1000 > V:4999 => drop port_not_served
			tcp S 10.0.0.1:1000 > V:6001 => drop port_not_served
			tcp A 10.0.0.1:1000 > V:65535 => drop port_not_served
			udp 10.0.0.1:1000 > V:81 => drop port_not_served
			udp 10.0.0.1:1000 > V:1 => drop port_not_served`},
		{Name: "a protocol that is not served is dropped", Setup: "tcponly", Script: `
			udp 10.0.0.1:1000 > V:80 => drop port_not_served
			tcp S 10.0.0.1:1000 > V:80 => A`},
		{Name: "other transports to the VIP are dropped", Script: `gre 10.0.0.1 > V => drop port_not_served`},
		{Name: "other addresses pass", Script: `
			tcp S 10.0.0.1:1000 > 10.77.0.99:80 => pass
			udp 10.0.0.1:1000 > 10.77.0.2:5000 => pass
			icmp echo 10.0.0.1 > 10.77.0.2 => pass`},
		{Name: "a guarded VIP is left to the stack", Script: `
			tcp S 10.0.0.1:1000 > W:80 => pass
			udp 10.0.0.1:1000 > W:9 => pass
			icmp echo 10.0.0.1 > W => pass`},
		{Name: "frames for others pass", Script: `tcp S foreign 10.0.0.1:1000 > V:80 => pass`},
		{Name: "link broadcasts to the VIP are dropped", Script: `udp broadcast 10.0.0.1:1000 > V:5000 => drop not_unicast`},
		{Name: "IPv4 options are stepped over", Script: `
			tcp S opts 10.0.0.1:1000 > V:80 => A
			udp opts 10.0.0.1:1000 > V:81 => drop port_not_served`},
		{Name: "two services share an address", Setup: "shared", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			tcp S 10.0.0.1:1001 > V:8080 => C
			tcp S 10.0.0.1:1002 > V:8081 => C
			udp 10.0.0.1:1003 > V:5000 => A
			halt A
			tcp S 10.0.0.1:1004 > V:8080 => C
			tcp S 10.0.0.1:1005 > V:80 => !A`},
	}
}

func malformed() []Case {
	return []Case{
		{Name: "bad header length", Script: `tcp S malformed:ihl 10.0.0.1:1 > V:80 => drop malformed`},
		{Name: "bad version", Script: `tcp S malformed:version 10.0.0.1:1 > V:80 => drop malformed`},
		{Name: "length beyond the frame", Script: `tcp S malformed:length 10.0.0.1:1 > V:80 => drop malformed`},
		{Name: "length below the header", Script: `tcp S malformed:short 10.0.0.1:1 > V:80 => drop malformed`},
		{Name: "ports cut off", Script: `
			tcp S malformed:cut 10.0.0.1:1 > V:80 => drop malformed
			udp malformed:cut 10.0.0.1:1 > V:80 => drop malformed`},
	}
}

func fragments() []Case {
	return []Case{
		{Name: "later fragments follow the first", Needs: needsFragments, Setup: "nopersist three", Script: `
			udp 10.0.0.8:1 > V:5000 => A
			udp first#7 10.0.0.1:9 > V:5000 => B
			udp later#7 10.0.0.1 > V => B
			udp later#7 10.0.0.1 > V => B
			udp later#8 10.0.0.1 > V => drop fragment_unknown
			udp later#7 10.0.0.2 > V => drop fragment_unknown
			tcp A later#7 10.0.0.1 > V => drop fragment_unknown`},
		{Name: "later fragments follow the client", Needs: needsFragments, Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			udp later#9 10.0.0.1 > V => A
			tcp A later#9 10.0.0.1 > V => A
			udp later#9 10.0.0.2 > V => drop fragment_unknown
			age 61s
			udp later#9 10.0.0.1 > V => drop fragment_unknown`},
		{Name: "first fragments need a served port", Needs: needsFragments, Script: `
			udp first#7 10.0.0.1:9 > V:81 => drop port_not_served
			udp later#7 10.0.0.1 > V => drop fragment_unknown`},
		{Name: "a fragment never goes to a halted server", Needs: needsFragments, Setup: "nopersist", Script: `
			udp first#7 10.0.0.1:9 > V:5000 => A
			halt A
			udp later#7 10.0.0.1 > V => drop fragment_unknown
			udp first#8 10.0.0.1:9 > V:5000 => !A`},
		{Name: "fragments of an established flow", Needs: needsFragments, Setup: "nopersist", Script: `
			udp 10.0.0.1:9 > V:5000 => A
			udp first#5 10.0.0.1:9 > V:5000 => A
			udp later#5 10.0.0.1 > V => A`},
		{Name: "old first fragments are forgotten", Needs: needsFragments, Setup: "nopersist", Script: `
			udp first#5 10.0.0.1:9 > V:5000 => A
			age 31s
			udp later#5 10.0.0.1 > V => drop fragment_unknown`},
		{Name: "fragments are found in the right service", Needs: needsFragments, Setup: "shared", Script: `
			tcp S 10.0.0.1:1000 > V:8080 => C
			udp later#5 10.0.0.1 > V => C
			udp first#6 10.0.0.1:1000 > V:5000 => A
			udp later#6 10.0.0.1 > V => A`},
	}
}

func icmpCases() []Case {
	return []Case{
		{Name: "the VIP answers ping itself", Script: `icmp echo 10.0.0.1 > V => pass`},
		{Name: "errors go to the flow's server", Setup: "nopersist", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			udp 10.0.0.2:1000 > V:5000 => B
			icmp error 10.0.0.1 > V tcp 80 1000 => A
			icmp error 10.0.0.2 > V udp 5000 1000 => B`},
		{Name: "errors without a flow follow the client", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			icmp error 10.0.0.1 > V udp 5000 4711 => A`},
		{Name: "unknown errors are dropped", Script: `
			icmp error 10.0.0.1 > V tcp 80 1000 => drop icmp_unknown
			tcp S 10.0.0.1:1000 > V:80 => A
			icmp error 10.0.0.1 > V tcp 81 1000 => drop icmp_unknown
			icmp error 10.0.0.1 > V tcp 80 1000 10.9.9.9 => drop icmp_unknown
			icmp other 10.0.0.1 > V => drop icmp_unknown`},
		{Name: "errors about the VIP's own ping pass", Script: `icmp error 10.0.0.1 > V icmp => pass`},
		{Name: "fragmented ICMP is dropped", Script: `icmp echo first#1 10.0.0.1 > V => drop fragment_unknown`},
		{Name: "errors never go to a halted server", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			halt A
			icmp error 10.0.0.1 > V tcp 80 1000 => drop icmp_unknown`},
	}
}

func neighbours() []Case {
	return []Case{
		{Name: "ARP for the VIP reaches the stack", Script: `
			arp 02:00:00:00:00:01 10.0.0.1 > V => pass
			conflicts 0`},
		{Name: "a foreign claim in ARP is recorded", Needs: needsConflicts, Script: `
			arp 02:00:00:00:00:66 V > V => pass
			arp 02:00:00:00:00:66 V > 10.0.0.1 => pass
			conflicts 1
			arp 02:00:00:00:00:67 V > 10.0.0.1 => pass
			arp 02:00:00:00:00:67 W > 10.0.0.1 => pass
			conflicts 3`},
		{Name: "other ARP is nobody's business", Script: `
			arp 02:00:00:00:00:66 10.77.0.5 > 10.77.0.6 => pass
			conflicts 0`},
		{Name: "ARP is silent without a lease", Setup: "leased", Needs: needsLease, Script: `
			arp 02:00:00:00:00:01 10.0.0.1 > V => drop lease_expired
			arp 02:00:00:00:00:01 10.0.0.1 > W => drop lease_expired
			arp 02:00:00:00:00:66 V > 10.0.0.1 => drop lease_expired
			arp 02:00:00:00:00:01 10.77.0.5 > 10.77.0.6 => pass
			lease on
			arp 02:00:00:00:00:01 10.0.0.1 > V => pass`},
	}
}

func leases() []Case {
	return []Case{
		{Name: "packets need the lease", Setup: "leased", Needs: needsLease, Script: `
			tcp S 10.0.0.1:1000 > V:80 => drop lease_expired
			tcp S 10.0.0.1:1000 > W:80 => drop lease_expired
			icmp echo 10.0.0.1 > V => drop lease_expired
			tcp S 10.0.0.1:1000 > 10.77.0.99:80 => pass
			lease on
			tcp S 10.0.0.1:1000 > V:80 => A
			tcp S 10.0.0.1:1000 > W:80 => pass
			lease off
			tcp A 10.0.0.1:1000 > V:80 => drop lease_expired
			lease on
			tcp A 10.0.0.1:1000 > V:80 => A`},
		{Name: "no peer, no lease", Needs: needsLease, Script: `
			lease off
			tcp S 10.0.0.1:1000 > V:80 => A
			tcp A out V:80 > 10.0.0.1:1000 => pass`},
		{Name: "a thawed node says nothing", Setup: "leased", Needs: needsLease, Script: `
			arp out 02:00:00:00:00:01 V > V => drop lease_expired
			arp out 02:00:00:00:00:01 W > W => drop lease_expired
			arp out 02:00:00:00:00:01 10.77.0.2 > 10.77.0.9 => pass
			tcp A out V:80 > 10.0.0.1:1000 => drop lease_expired
			tcp A out 10.77.0.2:80 > 10.0.0.1:1000 => pass
			lease on
			arp out 02:00:00:00:00:01 V > V => pass
			tcp A out V:80 > 10.0.0.1:1000 => pass`},
	}
}

func ipv6Cases() []Case {
	cases := []Case{
		{Name: "v6: services", Script: `
			tcp S [fd00::1]:1000 > V:80 => A
			udp [fd00::1]:1001 > V:5000 => A
			udp [fd00::1]:1001 > V:81 => drop port_not_served
			tcp S [fd00::1]:1000 > [fd77::99]:80 => pass
			tcp S [fd00::1]:1000 > W:80 => pass
			gre fd00::1 > V => drop port_not_served`},
		{Name: "v6: extension headers are walked", Script: `
			tcp S opts [fd00::1]:1000 > V:80 => A
			udp opts [fd00::1]:1000 > V:81 => drop port_not_served
			tcp S malformed:chain [fd00::1]:1000 > V:80 => drop malformed
			tcp S malformed:length [fd00::1]:1000 > V:80 => drop malformed
			tcp S malformed:version [fd00::1]:1000 > V:80 => drop malformed
			tcp S malformed:cut [fd00::1]:1000 > V:80 => drop malformed`},
		{Name: "v6: persistence by prefix", Script: `
			tcp S [fd00:0:0:1::1]:1000 > V:80 => A
			tcp S [fd00:0:0:1::2]:1000 > V:80 => A
			tcp S [fd00:0:0:2::1]:1000 > V:80 => B
			entries 2`},
		{Name: "v6: fragments", Needs: needsFragments6, Setup: "nopersist", Script: `
			udp first#70000 [fd00::1]:9 > V:5000 => A
			udp later#70000 fd00::1 > V => A
			udp later#70001 fd00::1 > V => drop fragment_unknown
			udp first#70002 opts [fd00::1]:9 > V:5000 => A
			udp later#70002 opts fd00::1 > V => A`},
		{Name: "v6: ICMP", Script: `
			icmp echo fd00::1 > V => pass
			tcp S [fd00::1]:1000 > V:80 => A
			icmp error fd00::1 > V tcp 80 1000 => A
			icmp error fd00:9::1 > V tcp 80 1000 => drop icmp_unknown
			icmp other fd00::1 > V => drop icmp_unknown
			icmp error fd00::1 > V icmp => pass`},
		{Name: "v6: neighbour discovery", Needs: needsConflicts, Script: `
			ns 02:00:00:00:00:01 fd77::9 > V => pass
			conflicts 0
			na 02:00:00:00:00:66 fd77::9 > V => pass
			conflicts 1
			ns 02:00:00:00:00:67 :: > V => pass
			conflicts 2
			na 02:00:00:00:00:66 fd77::9 > fd77::9 => pass
			conflicts 2`},
		{Name: "v6: neighbour discovery needs the lease", Setup: "leased", Needs: needsLease, Script: `
			ns 02:00:00:00:00:01 fd77::9 > V => drop lease_expired
			na 02:00:00:00:00:66 fd77::9 > V => drop lease_expired
			ns 02:00:00:00:00:01 fd77::9 > fd77::2 => pass
			na out 02:00:00:00:00:01 fd77::2 > V => drop lease_expired
			na out 02:00:00:00:00:01 fd77::2 > fd77::2 => pass
			tcp A out [fd77::100]:80 > [fd00::1]:1 => drop lease_expired
			lease on
			ns 02:00:00:00:00:01 fd77::9 > V => pass
			na out 02:00:00:00:00:01 fd77::2 > V => pass`},
	}
	for i := range cases {
		cases[i].Setup += " v6"
		if cases[i].Needs == nil {
			cases[i].Needs = needsV6
		}
	}
	return cases
}
