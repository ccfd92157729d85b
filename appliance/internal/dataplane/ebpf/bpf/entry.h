/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* entry.h: a server's ref and a stamp, read and replaced together. A decision takes
 * long, and other CPUs decide meanwhile: what was judged is what may be replaced. */
#pragma once

/* RACE_TRIES bounds the loops of those who lost a race: one more turn settles it. */
#define RACE_TRIES 4

typedef __u64 __attribute__((may_alias)) word;

INLINE __u64 entry_word(struct entry *e)
{
	return READ_ONCE(*(word *)e);
}

INLINE __u32 word_ref(__u64 w)
{
	return (__u32)w;
}

INLINE __u32 word_stamp(__u64 w)
{
	return w >> 32;
}

/* replaced puts fresh in the place of what was read, unless that has changed. */
INLINE bool replaced(struct entry *e, __u64 seen, struct entry *fresh)
{
	return __sync_bool_compare_and_swap((word *)e, seen, (__u64)fresh->stamp << 32 | fresh->ref);
}

INLINE __u32 stamp_now(void)
{
	return (__u32)bpf_jiffies64() << STAMP_SHIFT;
}

/* stamp_age takes a stamp that another CPU has written since now was read for one of
 * now. */
INLINE __u32 stamp_age(__u32 now, __u32 stamp)
{
	__u32 age = now - (stamp & ~STAMP_FLAGS);

	return (__s32)age < 0 ? 0 : age;
}

INLINE __u32 one_second(void)
{
	__u32 zero = 0;
	struct config *c = bpf_map_lookup_elem(&settings, &zero);

	return c ? c->hz << STAMP_SHIFT : 0;
}
