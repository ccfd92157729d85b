/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* stats.h: counting. Every packet that is dropped is counted under one reason. */
#pragma once

INLINE __u64 segments(struct __sk_buff *skb)
{
	return skb->gso_segs ? skb->gso_segs : 1;
}

INLINE void count(void *map, __u32 index, struct __sk_buff *skb)
{
	struct counter *c = bpf_map_lookup_elem(map, &index);

	if (!c)
		return;
	c->packets += segments(skb);
	c->bytes += skb->len;
}

INLINE int drop(struct __sk_buff *skb, __u32 reason)
{
	count(&drops, reason, skb);
	return TC_ACT_SHOT;
}

INLINE void note(struct __sk_buff *skb, __u32 what)
{
	count(&notes, what, skb);
}

INLINE void count_conn(__u32 real, __u32 service)
{
	struct counter *c = bpf_map_lookup_elem(&real_stats, &real);

	if (c)
		c->conns++;
	c = bpf_map_lookup_elem(&service_stats, &service);
	if (c)
		c->conns++;
}
