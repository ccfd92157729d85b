/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* structs.h: map keys and values. bpf2go turns them into the Go types, so a size
 * can never differ. Addresses are 16 bytes, IPv4 as ::ffff:a.b.c.d. No implicit
 * padding anywhere: padding would be part of hash keys. Raise LAYOUT_VERSION when
 * a meaning changes while its size does not. */
#pragma once
#define LAYOUT_VERSION 1

struct config {
	__u32 version; /* LAYOUT_VERSION */
	__u32 leased;  /* 1: everything for the VIPs is dropped once the lease is over */
	__u32 hz;      /* jiffies per second: refreshes are coalesced to one second */
	__u32 pad;
};

struct addr {
	__u64 w[2];
};

struct vip {
	__u16 slot; /* index of its port maps: 2*slot is TCP, 2*slot+1 is UDP */
	__u16 kind;
	__u16 shared; /* used length of services */
	__u16 pad;
	__u16 services[MAX_SHARED];
};

/* vip_slot is a place in an open-addressed table: an array is read without a helper
 * call, five times as fast as a hash map, and every packet asks here first. */
struct vip_slot {
	struct addr addr;
	struct vip vip;
};

/* A ref is generation << 16 | index. An index that is given to somebody else gets
 * another generation, so old flows and entries are void without a purge. 0 = none. */
struct service {
	__u32 ref;
	__u32 flags;
	__u32 timeout; /* idle timeout of persistence, in stamps (jiffies << STAMP_SHIFT) */
	__u32 pad;
	struct addr mask4, mask6;
};

struct real {
	struct addr addr;
	__u8 dmac[6], smac[6];
	__u32 ifindex;
	__u32 ref;
	__u16 state, flags;
	__u32 weight, min_conns, max_conns;
	__u32 service; /* index */
};

/* load is apart from real, so that configuring never overwrites the count. */
struct load {
	__s64 conns;
	__u32 full;
	__u32 pad;
};

struct roster {
	__u32 n;
	__u16 real[MAX_ROSTER];
};

struct ports {
	__u16 service[65536]; /* index + 1, 0 = not served */
};

struct ring {
	__u16 real[RING_SIZE]; /* index + 1, 0 = no server */
	__u16 pad;
};

struct flow_key {
	struct addr client;
	__u16 sport, dport; /* network order */
	__u16 vip;
	__u8 proto, pad;
};

struct persist_key {
	struct addr client;
	__u32 service; /* ref */
	__u32 pad;
};

struct fragment_key {
	struct addr client;
	__u32 id;
	__u16 vip;
	__u8 proto, pad;
};

/* An entry is read and replaced as one word (entry.h). */
struct entry {
	__u32 ref;   /* of the real server */
	__u32 stamp; /* jiffies << STAMP_SHIFT | flags */
};

/* probe is the way of checks to one real server by its VIP; ifindex 0 = none. */
struct probe {
	struct addr vip;
	__u8 dmac[6];
	__u16 pad;
	__u32 ifindex, pad2;
};

/* probe_key is a check's connection as its replies show it. */
struct probe_key {
	struct addr vip, own;
	__u16 sport, dport; /* of the check, network order */
	__u32 pad;
};

struct conflict_key {
	struct addr vip;
	__u8 mac[6];
	__u16 pad;
};

struct conflict {
	__u64 count;
	__u64 last; /* CLOCK_MONOTONIC ns */
};

struct counter {
	__u64 packets, bytes, conns;
};

/* event reports a new or moved persistence entry. */
struct event {
	struct addr client;
	__u32 service, real; /* refs */
};

struct identity {
	__u8 hash[32]; /* of the names: who owned this index before a restart */
};

/* packet is what parsing found; it lives on the program's stack. */
struct packet {
	struct addr src, dst;
	__u32 frag_id;
	__u32 l4;
	__u16 sport, dport;
	__u8 proto;
	__u8 tcp_flags;
	__u8 fragment; /* FRAG_* */
	__u8 v6;
};

#define FRAG_NONE 0
#define FRAG_FIRST 1
#define FRAG_LATER 2
