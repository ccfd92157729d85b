/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* persist.h: the tie between a client and its real server, across all ports and
 * protocols of a service. It is reserved when the decision is taken: whoever loses
 * the race uses the winner's entry, so parallel first connections never split. */
#pragma once

INLINE __u32 stamp_now(void)
{
	return (__u32)bpf_jiffies64() << STAMP_SHIFT;
}

INLINE __u32 stamp_age(__u32 now, __u32 stamp)
{
	return now - (stamp & ~STAMP_FLAGS);
}

INLINE __u32 one_second(void)
{
	__u32 zero = 0;
	struct config *c = bpf_map_lookup_elem(&settings, &zero);

	return c ? c->hz << STAMP_SHIFT : 0;
}

INLINE void persist_key_of(struct persist_key *k, struct service *s, struct packet *p)
{
	struct addr *mask = p->v6 ? &s->mask6 : &s->mask4;

	k->client.w[0] = p->src.w[0] & mask->w[0];
	k->client.w[1] = p->src.w[1] & mask->w[1];
	k->service = s->ref;
	k->pad = 0;
}

INLINE void announce(struct persist_key *k, __u32 ref)
{
	struct event e = {k->client, k->service, ref};

	bpf_ringbuf_output(&events, &e, sizeof(e), 0);
}

/* held returns the server an entry binds its client to, NULL when void. */
INLINE struct real *held(struct service *s, struct entry *e, __u32 now, bool midstream)
{
	struct real *r = real_of(READ_ONCE(e->ref));

	if (!r || stamp_age(now, e->stamp) > s->timeout)
		return NULL;
	if (r->state == REAL_OPEN)
		return r;
	if (r->state == REAL_KEEP && (midstream || (s->flags & SERVICE_DRAIN_PERSISTENT)))
		return r;
	return NULL;
}

/* claim puts ref into e unless another CPU has just done so; it returns what holds. */
INLINE __u32 claim(struct entry *e, __u32 old, __u32 ref)
{
	__u32 seen = __sync_val_compare_and_swap(&e->ref, old, ref);

	return seen == old ? ref : seen;
}

INLINE void touch(struct entry *e, __u32 now)
{
	if (stamp_age(now, e->stamp) >= one_second())
		WRITE_ONCE(e->stamp, now); /* the client itself: no longer STAMP_IMPORTED */
}

INLINE void persist_refresh(struct service *s, struct packet *p, __u32 ref, __u32 now)
{
	struct persist_key k;
	struct entry *e;

	if (!(s->flags & SERVICE_PERSIST))
		return;
	persist_key_of(&k, s, p);
	e = bpf_map_lookup_elem(&persist, &k);
	if (e) {
		if (READ_ONCE(e->ref) == ref)
			touch(e, now);
		return;
	}
	/* Evicted under a live flow: the flow remembers, so bring it back. */
	struct entry v = {ref, now};

	if (!bpf_map_update_elem(&persist, &k, &v, BPF_NOEXIST))
		announce(&k, ref);
}

INLINE __u32 persist_move(struct persist_key *k, struct entry *e, __u32 ref, __u32 now)
{
	__u32 won = claim(e, READ_ONCE(e->ref), ref);

	WRITE_ONCE(e->stamp, now);
	announce(k, won);
	return won;
}

/* decide returns the ref of the server for a packet without a flow, 0 = none. */
NOINLINE __u32 decide(struct __sk_buff *skb, struct packet *p, __u32 index)
{
	bool midstream = p->proto == PROTO_TCP && !(p->tcp_flags & TCP_SYN);
	struct service *s = bpf_map_lookup_elem(&services, &index);
	struct entry fresh = {}, *e;
	struct persist_key k;
	struct real *r;
	__u32 ref;
	long err;

	if (!s)
		return 0;
	persist_key_of(&k, s, p);
	if (!(s->flags & SERVICE_PERSIST))
		return schedule(index, s, &k.client);
	fresh.stamp = stamp_now();
	e = bpf_map_lookup_elem(&persist, &k);
	if (e) {
		r = held(s, e, fresh.stamp, midstream);
		if (r) {
			touch(e, fresh.stamp);
			return r->ref;
		}
	}
	ref = schedule(index, s, &k.client);
	if (!ref)
		return 0;
	if (e)
		return persist_move(&k, e, ref, fresh.stamp);
	fresh.ref = ref;
	err = bpf_map_update_elem(&persist, &k, &fresh, BPF_NOEXIST);
	if (!err) {
		announce(&k, ref);
		return ref;
	}
	e = bpf_map_lookup_elem(&persist, &k);
	if (e)
		return READ_ONCE(e->ref);
	count(&drops, DROP_TABLE_FULL, skb);
	return ref;
}
