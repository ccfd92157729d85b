package dptest

func flows() []Case {
	return []Case{
		{Name: "a flow stays with its server", Setup: "nopersist", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			tcp A 10.0.0.1:1000 > V:80 => A
			tcp S 10.0.0.1:1001 > V:80 => B
			tcp A 10.0.0.1:1001 > V:80 => B
			tcp A 10.0.0.1:1000 > V:80 => A`},
		{Name: "mid-stream packets are never refused", Setup: "nopersist", Script: `tcp A 10.0.0.1:1000 > V:80 => A`},
		{Name: "FIN and RST lower the count", Setup: "nopersist", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			conns A 1
			tcp FA 10.0.0.1:1000 > V:80 => A
			conns A 0
			tcp A 10.0.0.1:1000 > V:80 => A
			conns A 0
			tcp S 10.0.0.2:1000 > V:80 => A
			conns A 1
			tcp R 10.0.0.2:1000 > V:80 => A
			conns A 0`},
		{Name: "a port used again is a new connection", Setup: "nopersist", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			tcp S 10.0.0.2:1000 > V:80 => B
			tcp FA 10.0.0.1:1000 > V:80 => A
			tcp FA 10.0.0.2:1000 > V:80 => B
			tcp S 10.0.0.3:1000 > V:80 => A
			tcp S 10.0.0.1:1000 > V:80 => B
			conns B 1`},
		{Name: "idle flows end", Setup: "nopersist", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			udp 10.0.0.2:1000 > V:5000 => B
			conns A 1
			conns B 1
			age 121s
			conns A 1
			conns B 0
			age 15m
			conns A 0`},
		{Name: "closed flows linger for ten seconds", Setup: "nopersist", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			tcp FA 10.0.0.1:1000 > V:80 => A
			age 5s
			sweep
			tcp A 10.0.0.1:1000 > V:80 => A
			conns A 0`},
		{Name: "idle UDP flows end with their client", Script: `
			udp 10.0.0.9:9 > V:5000 => X
			udp 10.0.0.1:1000 > V:5000 => A
			age 61s
			entries 0
			udp 10.0.0.2:1 > V:5000 => B
			udp 10.0.0.1:1000 > V:5000 => C
			entries 2`},
	}
}

// lostFlows are cases of flows that a table or the port set no longer knows.
func lostFlows() []Case {
	return []Case{
		{Name: "flows that no table knows are counted", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			tcp A 10.0.0.1:1000 > V:80 => A
			tcp A 10.0.0.1:2000 > V:80 => A
			udp 10.0.0.2:1000 > V:5000 => B
			tcp R 10.0.0.3:1000 > V:80 => X
			lost 0
			tcp A 10.0.0.4:1000 > V:80 => Y
			lost 1
			tcp A 10.0.0.4:1000 > V:80 => Y
			halt A
			tcp A 10.0.0.1:1000 > V:80 => !A
			lost 1
			age 61s
			tcp A 10.0.0.4:2000 > V:80 => Z
			lost 2`},
		{Name: "without persistence, a flow that is not known is lost", Setup: "nopersist", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			tcp A 10.0.0.1:1000 > V:80 => A
			lost 0
			tcp A 10.0.0.1:2000 > V:80 => X
			tcp FA 10.0.0.1:3000 > V:80 => Y
			lost 2`},
		{Name: "a port that is taken out of the set closes for its flows too", Setup: "shared", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			udp 10.0.0.1:1000 > V:5000 => A
			udp 10.0.0.1:1000 > V:5001 => A
			ports 80,5001
			age 6s
			tcp A 10.0.0.1:1000 > V:80 => A
			udp 10.0.0.1:1000 > V:5001 => A
			udp 10.0.0.1:1000 > V:5000 => drop port_not_served
			ports 5001
			age 6s
			tcp A 10.0.0.1:1000 > V:80 => drop port_not_served
			udp 10.0.0.1:1000 > V:5001 => A
			ports 80,5000-6000
			tcp A 10.0.0.1:1000 > V:80 => A
			udp 10.0.0.1:1000 > V:5000 => A`},
	}
}

func persistence() []Case {
	return []Case{
		{Name: "a client stays across ports and protocols", Setup: "three", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			tcp S 10.0.0.2:1000 > V:80 => B
			tcp S 10.0.0.3:1000 > V:80 => C
			udp 10.0.0.1:2000 > V:5004 => A
			udp 10.0.0.2:2000 > V:5004 => B
			udp 10.0.0.3:2000 > V:6000 => C
			tcp S 10.0.0.1:1001 > V:5554 => A
			entries 3`},
		{Name: "idle entries end", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			entries 1
			age 55s
			entries 1
			age 6s
			entries 0`},
		{Name: "traffic keeps an entry", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			age 40s
			tcp A 10.0.0.1:1000 > V:80 => A
			age 40s
			entries 1
			udp 10.0.0.1:1000 > V:5000 => A`},
		{Name: "a mask joins clients", Setup: "mask24", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			tcp S 10.0.0.254:1000 > V:80 => A
			tcp S 10.0.1.1:1000 > V:80 => !A
			entries 2`},
		{Name: "mid-stream follows the client", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			tcp A 10.0.0.1:7777 > V:80 => A`},
		{Name: "a cleared client is scheduled anew", Needs: needsEntries, Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			clear 10.0.0.1
			entries 0
			age 2s
			tcp A 10.0.0.1:1000 > V:80 => A
			entries 0
			tcp S 10.0.0.1:1001 > V:80 => !A
			tcp A 10.0.0.1:1000 > V:80 => A
			entries 1
			clear
			entries 0`},
		{Name: "without persistence nothing is kept", Setup: "nopersist", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			tcp S 10.0.0.1:1001 > V:80 => !A
			entries 0`},
	}
}

// resets are cases of connections of which only the end is seen.
func resets() []Case {
	return []Case{
		{Name: "a reset keeps nothing alive and begins nothing", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			tcp FA 10.0.0.1:1000 > V:80 => A
			age 5s
			tcp R 10.0.0.1:1000 > V:80 => A
			age 56s
			entries 0
			tcp R 10.0.0.1:1000 > V:80 => X
			tcp R 10.0.0.2:1000 > V:80 => Y
			entries 0
			conns A 0
			conns B 0`},
		{Name: "a reset follows its client", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			tcp R 10.0.0.1:2000 > V:80 => A
			conns A 1
			age 55s
			tcp R 10.0.0.1:2000 > V:80 => A
			age 6s
			entries 0`},
		{Name: "a connection whose end alone is seen is not counted", Script: `
			tcp FA 10.0.0.1:1000 > V:80 => A
			tcp A 10.0.0.1:1000 > V:80 => A
			conns A 0`},
	}
}

func changes() []Case {
	return []Case{
		{Name: "entries survive a change of other servers", Setup: "three", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			tcp S 10.0.0.2:1000 > V:80 => B
			remove A
			udp 10.0.0.2:5 > V:5000 => B
			udp 10.0.0.1:5 > V:5000 => !A
			restore
			udp 10.0.0.2:6 > V:5000 => B`},
		{Name: "a returning server does not inherit", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			remove A
			entries 0
			restore
			entries 0
			tcp S 10.0.0.7:1 > V:80 => A`},
		{Name: "restart keeps flows and clients", Needs: needsAdopt, Setup: "three", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			tcp S 10.0.0.2:1000 > V:80 => B
			restart
			tcp A 10.0.0.1:1000 > V:80 => A
			udp 10.0.0.2:5 > V:5000 => B
			entries 2
			conns A 1`},
	}
}

func serverStates() []Case {
	return []Case{
		{Name: "drain keeps flows, moves clients", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			drain A
			tcp A 10.0.0.1:1000 > V:80 => A
			tcp S 10.0.0.1:1001 > V:80 => B
			tcp S 10.0.0.2:1001 > V:80 => B
			tcp A 10.0.0.1:1000 > V:80 => A
			udp 10.0.0.1:5 > V:5000 => B`},
		{Name: "drain may keep persistent clients", Setup: "drainpersistent", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			drain A
			tcp S 10.0.0.1:1001 > V:80 => A
			udp 10.0.0.1:5 > V:5000 => A
			tcp S 10.0.0.2:1001 > V:80 => !A
			age 61s
			tcp S 10.0.0.1:1002 > V:80 => !A`},
		{Name: "mid-stream packets of a draining server's client stay", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			drain A
			tcp A 10.0.0.1:1234 > V:80 => A`},
		{Name: "weight 0 drains", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			weight A 0
			tcp A 10.0.0.1:1000 > V:80 => A
			tcp S 10.0.0.1:1001 > V:80 => !A`},
		{Name: "halt cuts flows and moves clients at once", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			udp 10.0.0.1:9 > V:5000 => A
			halt A
			entries 0
			tcp A 10.0.0.1:1000 > V:80 => B
			udp 10.0.0.1:9 > V:5000 => B
			online A
			tcp A 10.0.0.1:1000 > V:80 => B`},
		{Name: "down is the same", Setup: "nopersist", Script: `
			udp 10.0.0.1:9 > V:5000 => A
			down A
			udp 10.0.0.1:9 > V:5000 => B
			udp 10.0.0.1:9 > V:5000 => B`},
		{Name: "nobody left", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			down all
			tcp A 10.0.0.1:1000 > V:80 => drop no_server
			udp 10.0.0.1:1 > V:5000 => drop no_server
			online all
			tcp A 10.0.0.1:1000 > V:80 => B`},
		{Name: "a server back online takes clients", Script: `
			tcp S 10.0.0.1:1 > V:80 => A
			drain A
			tcp S 10.0.0.2:1 > V:80 => B
			online A
			tcp S 10.0.0.3:1 > V:80 => C
			tcp S 10.0.0.1:2 > V:80 => A`},
		{Name: "a removed server's flows move", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			remove A
			tcp A 10.0.0.1:1000 > V:80 => B`},
	}
}

// returns are cases of servers that were away for a while.
func returns() []Case {
	return []Case{
		{Name: "who was moved while a server was away stays moved", Setup: "three", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			udp 10.0.0.1:9 > V:5000 => A
			tcp S 10.0.0.2:1000 > V:80 => B
			halt A
			tcp S 10.0.0.1:1001 > V:80 => C
			online A
			udp 10.0.0.1:9 > V:5000 => C
			tcp S 10.0.0.1:1000 > V:80 => C
			tcp A 10.0.0.2:1000 > V:80 => B`},
		{Name: "a sweep while a server is away forgets no client", Needs: needsEntries, Setup: "three", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			tcp S 10.0.0.2:1000 > V:80 => B
			down A
			entries 1
			sweep
			online A
			entries 2
			tcp S 10.0.0.1:1001 > V:80 => A`},
		{Name: "a clearing while a server is away is one", Needs: needsEntries, Setup: "three", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			tcp S 10.0.0.2:1000 > V:80 => B
			down A
			clear 10.0.0.1
			online A
			entries 1
			tcp S 10.0.0.1:1001 > V:80 => !B`},
		{Name: "who was silent while a server was away stays", Script: `
			tcp S 10.0.0.1:1000 > V:80 => A
			udp 10.0.0.1:9 > V:5000 => A
			down A
			online A
			tcp A 10.0.0.1:1000 > V:80 => A
			udp 10.0.0.1:9 > V:5000 => A`},
	}
}

func scheduling() []Case {
	return []Case{
		{Name: "wlc spreads evenly", Setup: "three", Script: `
			tcp S 10.0.0.1:1 > V:80 => A
			tcp S 10.0.0.2:1 > V:80 => B
			tcp S 10.0.0.3:1 > V:80 => C
			tcp S 10.0.0.4:1 > V:80 => A
			tcp S 10.0.0.5:1 > V:80 => B
			tcp S 10.0.0.6:1 > V:80 => C
			conns A 2
			conns B 2
			conns C 2`},
		{Name: "wlc follows weights", Script: `
			tcp S 10.0.0.1:1 > V:80 => A
			tcp S 10.0.0.2:1 > V:80 => B
			weight A 290
			tcp S 10.0.0.3:1 > V:80 => A
			tcp S 10.0.0.4:1 > V:80 => A
			tcp S 10.0.0.5:1 > V:80 => A
			tcp S 10.0.0.6:1 > V:80 => A
			tcp S 10.0.0.7:1 > V:80 => B`},
		{Name: "wlc follows closing connections", Script: `
			tcp S 10.0.0.1:1 > V:80 => A
			tcp S 10.0.0.2:1 > V:80 => B
			tcp FA 10.0.0.2:1 > V:80 => B
			tcp S 10.0.0.3:1 > V:80 => B`},
		{Name: "a full server takes no new clients", Script: `
			tcp S 10.0.0.1:1 > V:80 => A
			max A 1 0
			sweep
			tcp S 10.0.0.2:1 > V:80 => B
			tcp S 10.0.0.3:1 > V:80 => B
			tcp S 10.0.0.4:1 > V:80 => B
			tcp S 10.0.0.1:2 > V:80 => A`},
		{Name: "full until it has fallen to its minimum", Script: `
			tcp S 10.0.0.1:1 > V:80 => A
			weight A 1000
			max A 3 1
			tcp S 10.0.0.2:1 > V:80 => A
			tcp S 10.0.0.3:1 > V:80 => A
			tcp S 10.0.0.4:1 > V:80 => B
			tcp FA 10.0.0.3:1 > V:80 => A
			tcp S 10.0.0.5:1 > V:80 => B
			tcp FA 10.0.0.2:1 > V:80 => A
			tcp S 10.0.0.6:1 > V:80 => A`},
		{Name: "all full", Script: `
			max all 1 0
			tcp S 10.0.0.1:1 > V:80 => A
			tcp S 10.0.0.2:1 > V:80 => B
			tcp S 10.0.0.3:1 > V:80 => drop no_server
			tcp A 10.0.0.1:1 > V:80 => A`},
		{Name: "maglev is a function of the client", Setup: "maglev nopersist three", Needs: needsMaglev, Script: `
			tcp S 10.0.0.1:1 > V:80 => A
			tcp S 10.0.0.1:2 > V:80 => A
			udp 10.0.0.1:3 > V:5000 => A
			udp 10.0.0.1:4 > V:5001 => A`},
		{Name: "maglev moves a removed server's clients only", Setup: "maglev nopersist three", Needs: needsMaglev, Script: `
			tcp S 10.0.0.1:1 > V:80 => A
			tcp S 10.0.0.1:2 > V:80 => A
			down A
			tcp S 10.0.0.1:3 > V:80 => !A
			online A
			tcp S 10.0.0.1:4 > V:80 => A`},
		{Name: "maglev steps aside for a full server", Setup: "maglev nopersist", Needs: needsMaglev, Script: `
			tcp S 10.0.0.1:1 > V:80 => A
			max A 1 0
			tcp S 10.0.0.1:2 > V:80 => !A`},
	}
}
