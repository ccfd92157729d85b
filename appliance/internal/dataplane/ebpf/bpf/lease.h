/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* lease.h: may this node speak for the VIPs now? */
#pragma once

#define LEASE_FOREVER (~0ULL)

/* exact costs twice as much as coarse (up to one tick late): packets take coarse,
 * the rare ARP and ND take exact. */
INLINE bool lease_over(bool exact)
{
	__u32 zero = 0;
	struct config *c = bpf_map_lookup_elem(&settings, &zero);
	__u64 *d, deadline;

	if (!c || !c->leased)
		return false;
	d = bpf_map_lookup_elem(&lease, &zero);
	if (!d)
		return true;
	deadline = READ_ONCE(*d);
	if (deadline == LEASE_FOREVER)
		return false;
	return (exact ? bpf_ktime_get_ns() : bpf_ktime_get_coarse_ns()) > deadline;
}
