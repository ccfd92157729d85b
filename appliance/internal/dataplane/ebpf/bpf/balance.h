/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* balance.h: from a parsed packet for a balanced VIP to its real server. A service
 * packet is never passed up the stack: the VIP is local there, and the stack would
 * answer with a reset. */
#pragma once

/* client_server finds the server that a client is tied to in one service. */
INLINE struct real *client_server(struct packet *p, __u32 index)
{
	struct service *s = bpf_map_lookup_elem(&services, &index);
	struct persist_key k;
	struct entry *e;

	if (!s || !(s->flags & SERVICE_PERSIST))
		return NULL;
	persist_key_of(&k, s, p);
	e = bpf_map_lookup_elem(&persist, &k);
	return e ? held(s, entry_word(e), stamp_now(), true) : NULL;
}

/* stray sends a reset without a flow to the client's server, else to any: it leaves no
 * trace, as it answers a server that still writes to a client that has gone. */
NOINLINE int stray(struct __sk_buff *skb, struct packet *p, __u32 index)
{
	struct service *s = bpf_map_lookup_elem(&services, &index);
	struct real *r = client_server(p, index);
	struct persist_key k;

	if (!r && s) {
		persist_key_of(&k, s, p);
		r = real_of(schedule(index, s, &k.client));
	}
	return r ? forward(skb, r) : drop(skb, DROP_NO_SERVER);
}

/* new_flow decides. seen is the flow's entry if it had one that is void, else 0. */
NOINLINE int new_flow(struct __sk_buff *skb, struct packet *p, struct vip *v, __u64 seen)
{
	__u32 index = service_at(v->slot, p->proto, ntohs(p->dport)), ref;
	bool ending, won;
	struct entry fresh;
	struct flow_key k;
	struct real *r;

	if (!index)
		return drop(skb, DROP_PORT_NOT_SERVED);
	index--;
	if (p->proto == PROTO_TCP && p->tcp_flags & TCP_RST)
		return stray(skb, p, index);
	ref = decide(skb, p, index, seen != 0);
	if (!ref)
		return drop(skb, DROP_NO_SERVER);
	flow_key_of(&k, p, v->slot);
	ending = p->proto == PROTO_TCP && p->tcp_flags & TCP_FIN;
	fresh.ref = ref;
	fresh.stamp = stamp_now() | (ending ? STAMP_CLOSING : 0);
	ref = flow_add(skb, p, &k, seen, &fresh, &won);
	r = real_of(ref);
	if (!r)
		return drop(skb, DROP_NO_SERVER);
	if (won && !ending) {
		conns_add(ref & 0xffff, 1);
		count_conn(ref & 0xffff, index);
	}
	fragment_learn(p, v->slot, ref);
	return forward(skb, r);
}

/* later_fragment follows the first fragment, or else the client's entry. */
NOINLINE int later_fragment(struct __sk_buff *skb, struct packet *p, struct vip *v)
{
	struct fragment_key k;
	struct entry *e;
	struct real *r = NULL;
	int i;

	fragment_key_of(&k, p, v->slot);
	e = bpf_map_lookup_elem(&fragments, &k);
	if (e && stamp_age(stamp_now(), e->stamp) <= 30 * one_second())
		r = real_of(READ_ONCE(e->ref));
	if (r && r->state != REAL_GONE)
		return forward(skb, r);
	r = NULL;
	for (i = 0; i < MAX_SHARED && i < v->shared && !r; i++)
		r = client_server(p, v->services[i]);
	return r ? forward(skb, r) : drop(skb, DROP_FRAGMENT_UNKNOWN);
}

/* icmp_error sends an error about a balanced flow to the flow's server: inner holds
 * the packet that the server had sent, turned round. */
NOINLINE int icmp_error(struct __sk_buff *skb, struct packet *inner, struct vip *v)
{
	struct real *r = NULL;
	struct flow_key k;
	struct entry *e;
	__u32 index;

	flow_key_of(&k, inner, v->slot);
	e = bpf_map_lookup_elem(&flows, &k);
	if (e)
		r = real_of(READ_ONCE(e->ref));
	if (r && r->state != REAL_GONE)
		return forward(skb, r);
	index = service_at(v->slot, inner->proto, ntohs(inner->dport));
	r = index ? client_server(inner, index - 1) : NULL;
	return r ? forward(skb, r) : drop(skb, DROP_ICMP_UNKNOWN);
}

NOINLINE int icmp4(struct __sk_buff *skb, struct packet *p, struct vip *v)
{
	struct packet inner = {};
	struct iphdr ip;
	__u16 port[2];
	__u8 type;

	if (p->l4 > MAX_L4_OFFSET || bpf_skb_load_bytes(skb, p->l4, &type, 1))
		return drop(skb, DROP_MALFORMED);
	if (type == 8)
		return TC_ACT_UNSPEC;
	if (type != 3 && type != 11 && type != 12)
		return drop(skb, DROP_ICMP_UNKNOWN);
	if (bpf_skb_load_bytes(skb, p->l4 + 8, &ip, sizeof(ip)))
		return drop(skb, DROP_MALFORMED);
	inner.src = mapped(ip.daddr);
	inner.dst = mapped(ip.saddr);
	inner.proto = ip.protocol;
	if (inner.dst.w[1] != p->dst.w[1])
		return drop(skb, DROP_ICMP_UNKNOWN);
	if (inner.proto == PROTO_ICMP)
		return TC_ACT_UNSPEC;
	if (bpf_skb_load_bytes(skb, p->l4 + 8 + (ip.ihl_version & 0xf) * 4, port, 4))
		return drop(skb, DROP_MALFORMED);
	inner.dport = port[0];
	inner.sport = port[1];
	return icmp_error(skb, &inner, v);
}

NOINLINE int icmp6(struct __sk_buff *skb, struct packet *p, struct vip *v)
{
	struct packet inner = {.v6 = 1};
	struct ip6hdr ip;
	__u16 port[2];
	__u8 type;

	if (p->l4 > MAX_L4_OFFSET || bpf_skb_load_bytes(skb, p->l4, &type, 1))
		return drop(skb, DROP_MALFORMED);
	if (type >= 133 && type <= 137) /* neighbour discovery belongs to the stack */
		return TC_ACT_UNSPEC;
	if (type == 128)
		return TC_ACT_UNSPEC;
	if (type < 1 || type > 4)
		return drop(skb, DROP_ICMP_UNKNOWN);
	if (bpf_skb_load_bytes(skb, p->l4 + 8, &ip, sizeof(ip)) || bpf_skb_load_bytes(skb, p->l4 + 8 + IP6_HLEN, port, 4))
		return drop(skb, DROP_MALFORMED);
	inner.src = ip.daddr;
	inner.dst = ip.saddr;
	inner.proto = ip.nexthdr;
	if (inner.dst.w[0] != p->dst.w[0] || inner.dst.w[1] != p->dst.w[1])
		return drop(skb, DROP_ICMP_UNKNOWN);
	if (inner.proto == PROTO_ICMP6)
		return TC_ACT_UNSPEC;
	inner.dport = port[0];
	inner.sport = port[1];
	return icmp_error(skb, &inner, v);
}

INLINE int icmp(struct __sk_buff *skb, struct packet *p, struct vip *v)
{
	if (p->fragment != FRAG_NONE)
		return drop(skb, DROP_FRAGMENT_UNKNOWN);
	return p->v6 ? icmp6(skb, p, v) : icmp4(skb, p, v);
}

INLINE int balance(struct __sk_buff *skb, struct packet *p, struct vip *v)
{
	struct real *r = NULL;
	struct flow_key k;
	struct entry *e;
	__u64 seen = 0;

	if (p->proto != PROTO_TCP && p->proto != PROTO_UDP) {
		if (p->proto == (p->v6 ? PROTO_ICMP6 : PROTO_ICMP))
			return icmp(skb, p, v);
		return drop(skb, DROP_PORT_NOT_SERVED);
	}
	if (unlikely(p->fragment == FRAG_LATER))
		return later_fragment(skb, p, v);
	flow_key_of(&k, p, v->slot);
	e = bpf_map_lookup_elem(&flows, &k);
	if (e) {
		seen = entry_word(e);
		r = flow_find(skb, p, v->slot, e, seen);
	}
	if (!r)
		return new_flow(skb, p, v, seen);
	if (unlikely(p->fragment == FRAG_FIRST))
		fragment_learn(p, v->slot, r->ref);
	return forward(skb, r);
}
