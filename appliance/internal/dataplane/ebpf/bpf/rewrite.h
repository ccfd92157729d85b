/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* rewrite.h: Direct Routing. Only the two MAC addresses change (guide 7.1), so
 * checksums and segmentation offloads stay intact and the TTL is kept. */
#pragma once

NOINLINE int unresolved(struct real *r)
{
	struct bpf_redir_neigh nh = {};

	if (r->flags & REAL_V4) {
		nh.nh_family = AF_INET;
		nh.ipv4_nh = r->addr.w[1] >> 32;
	} else {
		nh.nh_family = AF_INET6;
		__builtin_memcpy(nh.ipv6_nh, &r->addr, sizeof(nh.ipv6_nh));
	}
	return bpf_redirect_neigh(r->ifindex, &nh, sizeof(nh), 0);
}

INLINE int forward(struct __sk_buff *skb, struct real *r)
{
	struct ethhdr *eth;

	if (unlikely(!r->ifindex))
		return drop(skb, DROP_NO_ROUTE);
	count(&real_stats, r->ref & 0xffff, skb);
	count(&service_stats, r->service, skb);
	if (unlikely(!(r->flags & REAL_RESOLVED)))
		return unresolved(r);
	eth = at(skb, 0, sizeof(*eth));
	if (!eth)
		return drop(skb, DROP_MALFORMED);
	__builtin_memcpy(eth->dst, r->dmac, 6);
	__builtin_memcpy(eth->src, r->smac, 6);
	return bpf_redirect(r->ifindex, 0);
}
