/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* vip.h: is this address ours? Asked of every packet, so it is an array search. */
#pragma once

/* vip_home is mirrored by vipHome in Go. */
INLINE __u32 vip_home(struct addr *a)
{
	__u64 h = (a->w[0] ^ a->w[1]) * 0x9E3779B97F4A7C15ULL;

	return h >> 53; /* 11 bits: VIP_SLOTS */
}

NOINLINE struct vip *vip_of(struct addr *a)
{
	__u32 at = vip_home(a), i;
	struct vip_slot *s;

	for (i = 0; i < VIP_PROBES; i++) {
		s = bpf_map_lookup_elem(&vips, &at);
		if (!s || !s->vip.kind)
			return NULL;
		if (s->addr.w[1] == a->w[1] && s->addr.w[0] == a->w[0] && s->vip.kind != VIP_REMOVED)
			return &s->vip;
		at = (at + 1) & (VIP_SLOTS - 1);
	}
	return NULL;
}
