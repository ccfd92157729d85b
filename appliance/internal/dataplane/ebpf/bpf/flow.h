/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* flow.h: the flow table: an established flow stays where it is, whatever the
 * schedulers say, until its server is gone. */
#pragma once

/* service_at returns index + 1 of the service at a port (host order), 0 = none. */
INLINE __u32 service_at(__u16 vip, __u8 proto, __u16 port)
{
	__u32 slot = vip * 2 + (proto == PROTO_UDP), zero = 0, at = port;
	struct ports *ports;
	void *table;

	if (proto != PROTO_TCP && proto != PROTO_UDP)
		return 0;
	table = bpf_map_lookup_elem(&port_maps, &slot);
	if (!table)
		return 0;
	ports = bpf_map_lookup_elem(table, &zero);
	asm volatile("" : "+r"(at)); /* verifiers before 6.2 forget the bounds of a byte swap */
	return ports ? ports->service[at & 0xffff] : 0;
}

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

/* reopens says that a packet is the next connection from the port of a closed flow. */
INLINE bool reopens(struct packet *p, __u32 stamp)
{
	return p->proto == PROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN && (stamp & STAMP_CLOSING);
}

/* flow_refresh runs at most once a second per flow. An idle UDP flow ends with its
 * client's entry; a TCP connection outlives it. A flow ends, too, when its port is
 * no longer its service's: it was removed, or the address's slot has changed hands. */
INLINE struct real *flow_refresh(struct __sk_buff *skb, struct packet *p, __u16 vip, struct entry *e, struct real *r, __u32 now)
{
	__u32 index = r->service;
	struct service *s = bpf_map_lookup_elem(&services, &index);

	if (!s || service_at(vip, p->proto, ntohs(p->dport)) != index + 1)
		return NULL;
	if (p->proto == PROTO_UDP && stamp_age(now, e->stamp) > s->timeout)
		return NULL;
	WRITE_ONCE(e->stamp, now | (e->stamp & STAMP_FLAGS));
	if (!(e->stamp & STAMP_LOOSE))
		persist_refresh(skb, s, p, r->ref, now);
	return r;
}

/* flow_find returns the server of a live flow and keeps flow and persistence fresh.
 * seen is the entry as it was read. */
INLINE struct real *flow_find(struct __sk_buff *skb, struct packet *p, __u16 vip, struct entry *e, __u64 seen)
{
	struct real *r = real_of(word_ref(seen));
	__u32 now = stamp_now();
	bool due;

	if (!r || r->state == REAL_GONE)
		return NULL;
	due = stamp_age(now, word_stamp(seen)) >= one_second(); /* before a FIN renews the stamp */
	if (p->proto == PROTO_TCP) {
		if (reopens(p, word_stamp(seen)))
			return NULL;
		if (p->tcp_flags & (TCP_FIN | TCP_RST))
			flow_close(e, r, now);
		/* A reset answers what the server has sent to a client that may be long
		 * gone: it keeps nothing alive. */
		if (p->tcp_flags & TCP_RST)
			return r;
	}
	return due ? flow_refresh(skb, p, vip, e, r, now) : r;
}

INLINE bool flow_stands(struct packet *p, __u64 seen)
{
	struct real *r = real_of(word_ref(seen));

	return r && r->state != REAL_GONE && !reopens(p, word_stamp(seen));
}

/* flow_add stores a decision and returns the ref that holds after any race. seen is
 * the entry that was found void, 0 = none; what has changed since is another CPU's
 * decision and stays. won says that this packet began the flow. */
INLINE __u32 flow_add(struct __sk_buff *skb, struct packet *p, struct flow_key *k, __u64 seen, struct entry *fresh, bool *won)
{
	struct entry *e;
	__u64 now;
	int i;

	*won = true;
	for (i = 0; i < RACE_TRIES; i++) {
		e = bpf_map_lookup_elem(&flows, k);
		if (!e) {
			if (!bpf_map_update_elem(&flows, k, fresh, BPF_NOEXIST)) {
				note(skb, NOTE_FLOW_STORED);
				return fresh->ref;
			}
			continue;
		}
		now = entry_word(e);
		if (now != seen && flow_stands(p, now)) {
			*won = false;
			return word_ref(now);
		}
		if (replaced(e, now, fresh))
			return fresh->ref;
	}
	count(&drops, DROP_TABLE_FULL, skb);
	return fresh->ref;
}

INLINE void fragment_key_of(struct fragment_key *k, struct packet *p, __u16 vip)
{
	k->client = p->src;
	k->id = p->frag_id;
	k->vip = vip;
	k->proto = p->proto;
	k->pad = 0;
}

NOINLINE void fragment_learn(struct packet *p, __u16 vip, __u32 ref)
{
	struct entry e = {ref, stamp_now()};
	struct fragment_key k;

	if (p->fragment != FRAG_FIRST)
		return;
	fragment_key_of(&k, p, vip);
	bpf_map_update_elem(&fragments, &k, &e, BPF_ANY);
}
