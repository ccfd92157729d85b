// Package ipvs is the layer-4 engine over the kernel's own balancer, IP Virtual Server,
// for kernels that cannot carry the eBPF engine and as its counterpart in tests.
//
// A service is one IPVS service by firewall mark, whatever its ports and protocols:
// nftables gives the mark to the packets of its port set, and IPVS ties a client to a
// server by the mark. The kernel is the truth: Set reads what is programmed, changes the
// difference, and a daemon that starts anew adopts what the last one left.
//
// What IPVS cannot do is a list that its conformance test holds against it, in both
// directions: testdata/lacks.txt.
package ipvs
