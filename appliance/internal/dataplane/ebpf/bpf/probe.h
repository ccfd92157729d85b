/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* probe.h: health checks of one real server by its VIP. A check connects to the
 * server's check address. On the way out that becomes the VIP, in a frame for the
 * server's MAC; the source is the node's own address, so the reply comes straight
 * back. The stack of the node that holds the VIP would refuse a reply from it, so on
 * the way in its source becomes the check address again. The lease, the tables of
 * clients and their counters have no part in this. */
#pragma once

/* probe_index returns the index of the real server + 1; 0 = not a check address. */
INLINE __u32 probe_index(struct addr *a)
{
	__u32 v4 = ntohl(a->w[1] >> 32);
	__u64 low;

	if (!a->w[0])
		return (__u32)a->w[1] == 0xffff0000 && (v4 & PROBE_MASK4) == PROBE_NET4 ? (v4 & ~PROBE_MASK4) + 1 : 0;
	if (a->w[0] != PROBE_NET6)
		return 0;
	low = __builtin_bswap64(a->w[1]);
	return low < MAX_REALS ? low + 1 : MAX_REALS + 1;
}

INLINE struct addr probe_addr(__u32 index, bool v6)
{
	struct addr a = {{PROBE_NET6, __builtin_bswap64(index)}};

	return v6 ? a : mapped(htonl(PROBE_NET4 + index));
}

/* swap4 and swap6 replace an address and correct the sums by the difference, so a
 * sum that a network card has yet to complete stays one. */
INLINE int swap4(struct __sk_buff *skb, struct packet *p, __u32 off, __u32 from, __u32 to)
{
	return bpf_l4_csum_replace(skb, p->l4 + TCP_CHECK, from, to, BPF_F_PSEUDO_HDR | 4) ||
	       bpf_l3_csum_replace(skb, ETH_HLEN + 10, from, to, 4) ||
	       bpf_skb_store_bytes(skb, off, &to, 4, 0);
}

INLINE int swap6(struct __sk_buff *skb, struct packet *p, __u32 off, struct addr *from, struct addr *to)
{
	__s64 diff = bpf_csum_diff(from, sizeof(*from), to, sizeof(*to), 0);

	/* Kernels before 6.16 do not know the IPv6 flag. */
	return (bpf_l4_csum_replace(skb, p->l4 + TCP_CHECK, 0, diff, BPF_F_PSEUDO_HDR | BPF_F_IPV6) &&
		bpf_l4_csum_replace(skb, p->l4 + TCP_CHECK, 0, diff, BPF_F_PSEUDO_HDR)) ||
	       bpf_skb_store_bytes(skb, off, to, sizeof(*to), 0);
}

INLINE int swap_dst(struct __sk_buff *skb, struct packet *p, struct addr *to)
{
	return p->v6 ? swap6(skb, p, ETH_HLEN + 24, &p->dst, to)
		     : swap4(skb, p, ETH_HLEN + 16, p->dst.w[1] >> 32, to->w[1] >> 32);
}

INLINE int swap_src(struct __sk_buff *skb, struct packet *p, struct addr *to)
{
	return p->v6 ? swap6(skb, p, ETH_HLEN + 8, &p->src, to)
		     : swap4(skb, p, ETH_HLEN + 12, p->src.w[1] >> 32, to->w[1] >> 32);
}

/* to_probe asks of every packet that the node itself sends: is it for a check address? */
INLINE bool to_probe(struct __sk_buff *skb)
{
	struct ip6hdr *six;
	struct iphdr *four;

	if (skb->protocol == htons(ETH_P_IP)) {
		four = at(skb, ETH_HLEN, sizeof(*four));
		return four && (four->daddr & htonl(PROBE_MASK4)) == htonl(PROBE_NET4);
	}
	if (skb->protocol != htons(ETH_P_IPV6))
		return false;
	six = at(skb, ETH_HLEN, sizeof(*six));
	return six && six->daddr.w[0] == PROBE_NET6;
}

/* probe_out sends a check to its server. What cannot go there goes nowhere. */
NOINLINE int probe_out(struct __sk_buff *skb)
{
	struct packet p = {.v6 = skb->protocol == htons(ETH_P_IPV6)};
	bool good = p.v6 ? parse6(skb, &p) : parse4(skb, &p);
	__u32 index = probe_index(&p.dst) - 1;
	struct probe *t = bpf_map_lookup_elem(&probes, &index);
	struct probe_key k = {};
	struct addr vip;

	if (!good || p.proto != PROTO_TCP || p.fragment != FRAG_NONE || !t || t->ifindex != skb->ifindex)
		return drop(skb, DROP_PROBE);
	k.vip = vip = t->vip;
	k.own = p.src;
	k.sport = p.sport;
	k.dport = p.dport;
	if (p.tcp_flags & TCP_SYN)
		bpf_map_update_elem(&probe_flows, &k, &index, BPF_ANY);
	if (bpf_skb_store_bytes(skb, 0, t->dmac, 6, 0) || swap_dst(skb, &p, &vip))
		return drop(skb, DROP_PROBE);
	return TC_ACT_UNSPEC;
}

NOINLINE int probe_reply(struct __sk_buff *skb, struct packet *p)
{
	struct probe_key k = {.vip = p->src, .own = p->dst, .sport = p->dport, .dport = p->sport};
	__u32 *index = bpf_map_lookup_elem(&probe_flows, &k);
	struct addr synthetic;

	if (!index)
		return TC_ACT_UNSPEC;
	synthetic = probe_addr(*index, p->v6);
	return swap_src(skb, p, &synthetic) ? drop(skb, DROP_PROBE) : TC_ACT_UNSPEC;
}

/* probe_in sees what is not for a VIP. Check addresses never come from outside. */
INLINE int probe_in(struct __sk_buff *skb, struct packet *p, bool good)
{
	if (unlikely(probe_index(&p->dst) || probe_index(&p->src)))
		return drop(skb, DROP_PROBE);
	if (!good || p->proto != PROTO_TCP || p->fragment != FRAG_NONE || !vip_of(&p->src))
		return TC_ACT_UNSPEC;
	return probe_reply(skb, p);
}
