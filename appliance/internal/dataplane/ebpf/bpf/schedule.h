/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* schedule.h: which real server takes a client that has none. */
#pragma once

INLINE struct real *real_at(__u32 index)
{
	return bpf_map_lookup_elem(&reals, &index);
}

/* real_of returns the server of a ref unless the index has changed hands. */
INLINE struct real *real_of(__u32 ref)
{
	struct real *r = real_at(ref & 0xffff);

	return r && ref && r->ref == ref ? r : NULL;
}

/* accepts says whether r takes a new client: hysteresis between the limits. */
INLINE bool accepts(struct real *r, struct load *l)
{
	if (r->state != REAL_OPEN)
		return false;
	if (!r->max_conns)
		return true;
	if (l->conns >= r->max_conns)
		l->full = 1;
	return !l->full;
}

struct contest {
	struct roster *roster;
	__u32 service;
	__u32 best; /* ref, 0 = none yet */
	__u32 weight;
	__u64 conns;
};

/* consider compares (conns+1)/weight of the next server with the best so far. A roster
 * that is being written may show a server of another service. */
static long consider(__u32 i, struct contest *c)
{
	__u32 index;
	struct real *r;
	struct load *l;
	__u64 conns;

	if (i >= MAX_ROSTER)
		return 1;
	index = c->roster->real[i];
	r = real_at(index);
	l = bpf_map_lookup_elem(&loads, &index);
	if (!r || !l || r->service != c->service || !accepts(r, l))
		return 0;
	conns = l->conns < 0 ? 1 : l->conns + 1;
	if (c->best && conns * c->weight >= c->conns * r->weight)
		return 0;
	c->best = r->ref;
	c->weight = r->weight;
	c->conns = conns;
	return 0;
}

INLINE __u32 least_connections(__u32 service)
{
	struct contest c = {.service = service};

	c.roster = bpf_map_lookup_elem(&rosters, &service);
	if (!c.roster)
		return 0;
	bpf_loop(c.roster->n & 0x1ff, consider, &c, 0);
	return c.best;
}

/* client_slot is mirrored by maglev.Slot in Go. */
INLINE __u32 client_slot(struct addr *a)
{
	__u64 h = a->w[0] * 0x9E3779B97F4A7C15ULL ^ a->w[1];

	h ^= h >> 32;
	h *= 0xD6E8FEB86659FD93ULL;
	h ^= h >> 32;
	h *= 0xD6E8FEB86659FD93ULL;
	h ^= h >> 32;
	return (__u32)h % RING_SIZE;
}

INLINE __u32 maglev(__u32 service, struct addr *client)
{
	void *table = bpf_map_lookup_elem(&rings, &service);
	__u32 zero = 0, slot = client_slot(client), index;
	struct ring *ring;
	struct real *r;
	struct load *l;

	if (!table)
		return 0;
	ring = bpf_map_lookup_elem(table, &zero);
	asm volatile("" : "+r"(slot)); /* the verifier cannot follow %: keep the check */
	if (!ring || slot >= RING_SIZE || !ring->real[slot])
		return 0;
	index = ring->real[slot] - 1;
	r = real_at(index);
	l = bpf_map_lookup_elem(&loads, &index);
	return r && l && r->service == service && accepts(r, l) ? r->ref : 0;
}

/* schedule returns a ref, 0 = no server. A Maglev slot whose server is full or has
 * just left falls back on least connections. */
INLINE __u32 schedule(__u32 index, struct service *s, struct addr *client)
{
	__u32 ref = 0;

	if (s->flags & SERVICE_MAGLEV)
		ref = maglev(index, client);
	return ref ? ref : least_connections(index);
}
