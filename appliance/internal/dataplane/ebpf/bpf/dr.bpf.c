// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// dr.bpf.c: the Direct Routing data plane: one ingress and one egress program for
// every interface that carries a VIP. TC_ACT_UNSPEC means "not ours, go on".
#include "kernel.h"
#include "consts.h"
#include "structs.h"
#include "maps.h"
#include "stats.h"
#include "lease.h"
#include "parse.h"
#include "rewrite.h"
#include "schedule.h"
#include "entry.h"
#include "persist.h"
#include "flow.h"
#include "vip.h"
#include "neigh.h"
#include "probe.h"
#include "balance.h"

char _license[] SEC("license") = "Dual BSD/GPL";

// serve handles a packet whose destination is a VIP.
INLINE int serve(struct __sk_buff *skb, struct packet *p, struct vip *v, bool good)
{
	if (unlikely(skb->pkt_type == PACKET_OTHERHOST))
		return TC_ACT_UNSPEC; // another node's frame, seen in promiscuous mode
	if (lease_over(false))
		return drop(skb, DROP_LEASE_EXPIRED);
	if (v->kind == VIP_GUARDED)
		return TC_ACT_UNSPEC;
	if (unlikely(skb->pkt_type != PACKET_HOST))
		return drop(skb, DROP_NOT_UNICAST);
	if (unlikely(!good))
		return drop(skb, DROP_MALFORMED);
	return balance(skb, p, v);
}

NOINLINE int ipv4_in(struct __sk_buff *skb)
{
	struct packet p = {};
	bool good = parse4(skb, &p);
	struct vip *v = vip_of(&p.dst);

	return v ? serve(skb, &p, v, good) : probe_in(skb, &p, good);
}

NOINLINE int ipv6_in(struct __sk_buff *skb)
{
	struct packet p = {.v6 = 1};
	bool good = parse6(skb, &p);
	struct vip *v;
	int nd;

	if (p.proto == PROTO_ICMP6) {
		nd = nd_in(skb, &p);
		if (nd != NOT_ND)
			return nd;
	}
	v = vip_of(&p.dst);
	return v ? serve(skb, &p, v, good) : probe_in(skb, &p, good);
}

SEC("tc")
int ingress(struct __sk_buff *skb)
{
	if (skb->vlan_present && skb->vlan_tci & VLAN_VID)
		return TC_ACT_UNSPEC; // belongs to the VLAN's own interface; 0 is a priority alone
	switch (skb->protocol) {
	case htons(ETH_P_IP):
		return ipv4_in(skb);
	case htons(ETH_P_IPV6):
		return ipv6_in(skb);
	case htons(ETH_P_ARP):
		return arp_in(skb);
	}
	return TC_ACT_UNSPEC;
}

NOINLINE int ipv6_out(struct __sk_buff *skb)
{
	struct packet p = {.v6 = 1};
	struct addr target;
	struct nd nd;

	parse6(skb, &p);
	if (vip_of(&p.src))
		return drop(skb, DROP_LEASE_EXPIRED);
	if (!is_nd(skb, &p, &nd) || nd.type != ND_ADVERT)
		return TC_ACT_UNSPEC;
	target = nd.target;
	return vip_of(&target) ? drop(skb, DROP_LEASE_EXPIRED) : TC_ACT_UNSPEC;
}

// egress silences a node whose lease is over: thawed after a freeze, it must not
// poison anybody's neighbour table before its daemon has looked again.
SEC("tc")
int egress(struct __sk_buff *skb)
{
	struct packet p = {};

	if (skb->ingress_ifindex)
		return TC_ACT_UNSPEC; // forwarded, by ingress for one, which has judged it
	if (unlikely(to_probe(skb)))
		return probe_out(skb);
	if (!lease_over(true))
		return TC_ACT_UNSPEC;
	switch (skb->protocol) {
	case htons(ETH_P_IP):
		parse4(skb, &p);
		return vip_of(&p.src) ? drop(skb, DROP_LEASE_EXPIRED) : TC_ACT_UNSPEC;
	case htons(ETH_P_IPV6):
		return ipv6_out(skb);
	case htons(ETH_P_ARP):
		return arp_out(skb);
	}
	return TC_ACT_UNSPEC;
}

// clock tells user space the low half of jiffies, the time base of all stamps.
SEC("tc")
int clock(struct __sk_buff *skb)
{
	return (__u32)bpf_jiffies64();
}

// idle is the empty program that benchmarks subtract.
SEC("tc")
int idle(struct __sk_buff *skb)
{
	return TC_ACT_UNSPEC;
}
