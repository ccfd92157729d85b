/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* maps.h: everything the programs remember. Sizes marked "user" are set at load. */
#pragma once

#define ARRAY(name, T, n)                             \
	struct {                                      \
		__uint(type, BPF_MAP_TYPE_ARRAY);     \
		__uint(max_entries, n);               \
		__type(key, __u32);                   \
		__type(value, T);                     \
	} name SEC(".maps")

#define HASH(name, kind, K, V, n)                     \
	struct {                                      \
		__uint(type, kind);                   \
		__uint(max_entries, n);               \
		__type(key, K);                       \
		__type(value, V);                     \
	} name SEC(".maps")

#define PERCPU(name, n)                                  \
	struct {                                         \
		__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); \
		__uint(max_entries, n);                  \
		__type(key, __u32);                      \
		__type(value, struct counter);           \
	} name SEC(".maps")

/* One table per outer slot, made only when the slot is used and swapped whole. */
#define TABLES(name, T, n)                                \
	struct {                                          \
		__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); \
		__uint(max_entries, n);                   \
		__uint(key_size, sizeof(__u32));          \
		__array(values, struct {                  \
			__uint(type, BPF_MAP_TYPE_ARRAY); \
			__uint(max_entries, 1);           \
			__uint(key_size, sizeof(__u32));  \
			__uint(value_size, sizeof(T));    \
		});                                       \
	} name SEC(".maps")

ARRAY(settings, struct config, 1);
ARRAY(services, struct service, MAX_SERVICES);
ARRAY(rosters, struct roster, MAX_SERVICES);
ARRAY(reals, struct real, MAX_REALS);
ARRAY(loads, struct load, MAX_REALS);
ARRAY(service_ids, struct identity, MAX_SERVICES); /* user space only */
ARRAY(real_ids, struct identity, MAX_REALS);       /* user space only */
ARRAY(vips, struct vip_slot, VIP_SLOTS);
HASH(flows, BPF_MAP_TYPE_LRU_HASH, struct flow_key, struct entry, 1 << 18);       /* user */
HASH(persist, BPF_MAP_TYPE_LRU_HASH, struct persist_key, struct entry, 1 << 18);  /* user */
HASH(fragments, BPF_MAP_TYPE_LRU_HASH, struct fragment_key, struct entry, 1 << 14); /* user */
HASH(conflicts, BPF_MAP_TYPE_LRU_HASH, struct conflict_key, struct conflict, 256);
ARRAY(probes, struct probe, MAX_REALS);
HASH(probe_flows, BPF_MAP_TYPE_LRU_HASH, struct probe_key, __u32, 4096); /* index of the real server */
TABLES(port_maps, struct ports, 2 * MAX_VIPS);
TABLES(rings, struct ring, MAX_SERVICES);
PERCPU(real_stats, MAX_REALS);
PERCPU(service_stats, MAX_SERVICES);
PERCPU(drops, DROP_REASONS);
PERCPU(notes, NOTE_PLACES);

/* The deadline that the live daemon renews; see package lease. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} lease SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
	__type(value, struct event);
} events SEC(".maps");
