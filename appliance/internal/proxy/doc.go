// Package proxy is the layer-7 engine in TCP mode: it accepts connections to the
// VIPs, chooses a real server, connects to it and relays bytes both ways.
//
// One epoll loop per processor (package reactor) owns the sessions that it
// accepted; package relay moves their bytes; package stick keeps clients on their
// servers. [Proxy.Set] takes the whole desired table and changes only the
// difference: an unchanged listener keeps its descriptor, a running session keeps
// the settings it started with.
package proxy
