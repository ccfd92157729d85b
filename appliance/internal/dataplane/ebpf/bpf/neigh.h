/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* neigh.h: ARP and neighbour discovery for the VIPs: nobody is answered or told
 * anything once the lease is over, and foreign claims are recorded. */
#pragma once

struct nd {
	__u8 type, code;
	__u16 check;
	__u32 flags;
	struct addr target;
} __attribute__((packed));

/* claimed records that mac speaks for vip; user space knows which MACs may. */
NOINLINE void claimed(struct addr *vip, __u8 *mac)
{
	struct conflict first = {1, bpf_ktime_get_ns()}, *c;
	struct conflict_key k = {*vip};

	__builtin_memcpy(k.mac, mac, 6);
	c = bpf_map_lookup_elem(&conflicts, &k);
	if (!c) {
		bpf_map_update_elem(&conflicts, &k, &first, BPF_NOEXIST);
		return;
	}
	__sync_fetch_and_add(&c->count, 1);
	WRITE_ONCE(c->last, first.last);
}

NOINLINE int arp_in(struct __sk_buff *skb)
{
	struct addr sender, target;
	struct arphdr arp;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &arp, sizeof(arp)))
		return TC_ACT_UNSPEC;
	sender = mapped(arp.spa);
	target = mapped(arp.tpa);
	if (vip_of(&sender))
		claimed(&sender, arp.sha);
	else if (!vip_of(&target))
		return TC_ACT_UNSPEC;
	return lease_over(true) ? drop(skb, DROP_LEASE_EXPIRED) : TC_ACT_UNSPEC;
}

NOINLINE int arp_out(struct __sk_buff *skb)
{
	struct addr sender;
	struct arphdr arp;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &arp, sizeof(arp)))
		return TC_ACT_UNSPEC;
	sender = mapped(arp.spa);
	return vip_of(&sender) ? drop(skb, DROP_LEASE_EXPIRED) : TC_ACT_UNSPEC;
}

INLINE bool is_nd(struct __sk_buff *skb, struct packet *p, struct nd *nd)
{
	if (p->proto != PROTO_ICMP6 || p->l4 != ETH_HLEN + IP6_HLEN)
		return false;
	if (bpf_skb_load_bytes(skb, p->l4, nd, sizeof(*nd)))
		return false;
	return nd->type == ND_SOLICIT || nd->type == ND_ADVERT;
}

#define NOT_ND 1

/* nd_in handles solicitations for and advertisements of a VIP; NOT_ND for anything
 * else. A solicitation from the unspecified address is duplicate address detection:
 * a claim too. */
NOINLINE int nd_in(struct __sk_buff *skb, struct packet *p)
{
	struct addr target;
	struct ethhdr eth;
	struct nd nd;

	if (!is_nd(skb, p, &nd))
		return NOT_ND;
	target = nd.target;
	if (!vip_of(&target))
		return TC_ACT_UNSPEC;
	if (bpf_skb_load_bytes(skb, 0, &eth, sizeof(eth)))
		return drop(skb, DROP_MALFORMED);
	if (nd.type == ND_ADVERT || !(p->src.w[0] | p->src.w[1]))
		claimed(&target, eth.src);
	return lease_over(true) ? drop(skb, DROP_LEASE_EXPIRED) : TC_ACT_UNSPEC;
}
