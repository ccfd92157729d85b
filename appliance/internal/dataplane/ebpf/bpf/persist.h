/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* persist.h: the tie between a client and its real server, across all ports and
 * protocols of a service. It is reserved when the decision is taken: whoever loses
 * the race uses the winner's entry, so parallel first connections never split. */
#pragma once

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

/* held returns the server that an entry, as read, binds its client to; NULL when void. */
INLINE struct real *held(struct service *s, __u64 seen, __u32 now, bool midstream)
{
	struct real *r = real_of(word_ref(seen));

	if (!r || stamp_age(now, word_stamp(seen)) > s->timeout)
		return NULL;
	if (r->state == REAL_OPEN)
		return r;
	if (r->state == REAL_KEEP && (midstream || (s->flags & SERVICE_DRAIN_PERSISTENT)))
		return r;
	return NULL;
}

INLINE void touch(struct entry *e, __u32 now)
{
	if (stamp_age(now, e->stamp) >= one_second())
		WRITE_ONCE(e->stamp, now); /* the client itself: no longer STAMP_IMPORTED */
}

INLINE bool persist_store(struct __sk_buff *skb, struct persist_key *k, struct entry *fresh)
{
	if (bpf_map_update_elem(&persist, k, fresh, BPF_NOEXIST))
		return false;
	note(skb, NOTE_ENTRY_STORED);
	announce(k, fresh->ref);
	return true;
}

INLINE void persist_refresh(struct __sk_buff *skb, struct service *s, struct packet *p, __u32 ref, __u32 now)
{
	struct entry fresh = {ref, now}, *e;
	struct persist_key k;

	if (!(s->flags & SERVICE_PERSIST))
		return;
	persist_key_of(&k, s, p);
	e = bpf_map_lookup_elem(&persist, &k);
	if (!e)
		persist_store(skb, &k, &fresh); /* evicted under a live flow, which remembers */
	else if (READ_ONCE(e->ref) == ref)
		touch(e, now);
}

/* settle stores a decision and returns the ref that holds after any race. The entry is
 * read anew: what another CPU has stored since the decision began is valid and stays.
 * A turn more after a replacement finds whether the entry was removed meanwhile. */
INLINE __u32 settle(struct __sk_buff *skb, struct service *s, struct persist_key *k, __u32 ref, bool midstream)
{
	struct entry fresh = {ref, stamp_now()}, *e;
	struct real *r;
	__u64 seen;
	int i;

	for (i = 0; i < RACE_TRIES; i++) {
		e = bpf_map_lookup_elem(&persist, k);
		if (!e) {
			if (persist_store(skb, k, &fresh))
				return ref;
			continue;
		}
		seen = entry_word(e);
		r = held(s, seen, fresh.stamp, midstream);
		if (r)
			return r->ref;
		if (replaced(e, seen, &fresh))
			announce(k, ref);
	}
	count(&drops, DROP_TABLE_FULL, skb);
	return ref;
}

/* decide returns the ref of the server for a packet without a flow, 0 = none. known
 * says that the flow table had the flow, by now void. */
NOINLINE __u32 decide(struct __sk_buff *skb, struct packet *p, __u32 index, bool known)
{
	bool midstream = p->proto == PROTO_TCP && !(p->tcp_flags & TCP_SYN);
	struct service *s = bpf_map_lookup_elem(&services, &index);
	__u32 now = stamp_now(), ref;
	struct entry *e = NULL;
	struct persist_key k;
	struct real *r;
	__u64 seen = 0;

	if (!s)
		return 0;
	persist_key_of(&k, s, p);
	if (s->flags & SERVICE_PERSIST)
		e = bpf_map_lookup_elem(&persist, &k);
	if (e) {
		seen = entry_word(e);
		r = held(s, seen, now, midstream);
		if (r) {
			touch(e, now);
			return r->ref;
		}
	}
	if (midstream && !known && (!e || stamp_age(now, word_stamp(seen)) > s->timeout))
		note(skb, NOTE_FLOW_LOST);
	ref = schedule(index, s, &k.client);
	if (!ref || !(s->flags & SERVICE_PERSIST))
		return ref;
	return settle(skb, s, &k, ref, midstream);
}
