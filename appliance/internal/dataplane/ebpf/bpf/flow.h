/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* flow.h: the flow table: an established flow stays where it is, whatever the
 * schedulers say, until its server is gone. */
#pragma once

INLINE void flow_key_of(struct flow_key *k, struct packet *p, __u16 vip)
{
	k->client = p->src;
	k->sport = p->sport;
	k->dport = p->dport;
	k->vip = vip;
	k->proto = p->proto;
	k->pad = 0;
}

INLINE void conns_add(__u32 index, __s64 n)
{
	struct load *l = bpf_map_lookup_elem(&loads, &index);

	if (l)
		__sync_fetch_and_add(&l->conns, n);
}

/* flow_close lowers the count once, at the client's first FIN or at a reset. The
 * entry stays for a moment, so that the last packets find their server. */
INLINE void flow_close(struct entry *e, struct real *r, __u32 now)
{
	__u32 index = r->ref & 0xffff;
	struct load *l = bpf_map_lookup_elem(&loads, &index);
	__u32 resume = r->min_conns ? r->min_conns : r->max_conns - 1;

	if (e->stamp & STAMP_CLOSING)
		return;
	WRITE_ONCE(e->stamp, now | (e->stamp & STAMP_LOOSE) | STAMP_CLOSING);
	if (!l)
		return;
	__sync_fetch_and_add(&l->conns, -1);
	if (r->max_conns && l->full && l->conns <= resume)
		l->full = 0;
}

/* flow_refresh runs at most once a second per flow. An idle UDP flow ends with its
 * client's entry; a TCP connection outlives it. */
INLINE struct real *flow_refresh(struct packet *p, struct entry *e, struct real *r, __u32 now)
{
	__u32 index = r->service;
	struct service *s = bpf_map_lookup_elem(&services, &index);

	if (!s || (p->proto == PROTO_UDP && stamp_age(now, e->stamp) > s->timeout))
		return NULL;
	WRITE_ONCE(e->stamp, now | (e->stamp & STAMP_FLAGS));
	if (!(e->stamp & STAMP_LOOSE))
		persist_refresh(s, p, r->ref, now);
	return r;
}

/* flow_find returns the server of a live flow and keeps flow and persistence fresh. */
INLINE struct real *flow_find(struct packet *p, struct entry *e)
{
	struct real *r = real_of(READ_ONCE(e->ref));
	__u32 now = stamp_now();
	bool due;

	if (!r || r->state == REAL_GONE)
		return NULL;
	due = stamp_age(now, e->stamp) >= one_second(); /* before a FIN renews the stamp */
	if (p->proto == PROTO_TCP) {
		/* A SYN on a closed flow is the next connection from that port. */
		if ((p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN && (e->stamp & STAMP_CLOSING))
			return NULL;
		if (p->tcp_flags & (TCP_FIN | TCP_RST))
			flow_close(e, r, now);
		/* A reset answers what the server has sent to a client that may be long
		 * gone: it keeps nothing alive. */
		if (p->tcp_flags & TCP_RST)
			return r;
	}
	return due ? flow_refresh(p, e, r, now) : r;
}

/* flow_add stores a decision; it returns the ref that holds after any race. */
INLINE __u32 flow_add(struct __sk_buff *skb, struct flow_key *k, struct entry *old, __u32 ref, __u32 flags)
{
	struct entry fresh = {ref, stamp_now() | flags};
	long err;

	if (old) {
		ref = claim(old, READ_ONCE(old->ref), ref);
		WRITE_ONCE(old->stamp, fresh.stamp);
		return ref;
	}
	err = bpf_map_update_elem(&flows, k, &fresh, BPF_NOEXIST);
	if (!err)
		return ref;
	old = bpf_map_lookup_elem(&flows, k);
	if (old)
		return READ_ONCE(old->ref);
	count(&drops, DROP_TABLE_FULL, skb);
	return ref;
}

INLINE void fragment_key_of(struct fragment_key *k, struct packet *p, __u16 vip)
{
	k->client = p->src;
	k->id = p->frag_id;
	k->vip = vip;
	k->proto = p->proto;
	k->pad = 0;
}

INLINE void fragment_learn(struct packet *p, __u16 vip, __u32 ref)
{
	struct entry e = {ref, stamp_now()};
	struct fragment_key k;

	if (p->fragment != FRAG_FIRST)
		return;
	fragment_key_of(&k, p, vip);
	bpf_map_update_elem(&fragments, &k, &e, BPF_ANY);
}
