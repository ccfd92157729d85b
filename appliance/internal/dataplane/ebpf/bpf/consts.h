/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* consts.h: wire constants, limits and the drop reasons shared with user space. */
#pragma once

#define ETH_P_IP 0x0800
#define ETH_P_ARP 0x0806
#define ETH_P_IPV6 0x86DD
#define ETH_HLEN 14
#define VLAN_VID 0x0fff
#define IP4_HLEN 20
#define IP6_HLEN 40
#define ARP_LEN 28

#define PROTO_HOPOPTS 0
#define PROTO_ICMP 1
#define PROTO_TCP 6
#define PROTO_UDP 17
#define PROTO_ROUTING 43
#define PROTO_FRAGMENT 44
#define PROTO_ICMP6 58
#define PROTO_DSTOPTS 60

#define TCP_CHECK 16 /* offset of the checksum */
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

#define ND_SOLICIT 135
#define ND_ADVERT 136

#define MAX_VIPS 512
#define MAX_SERVICES 1024
#define MAX_REALS 8192
#define MAX_ROSTER 256   /* real servers of one service */
#define MAX_SHARED 8     /* services of one VIP that fragments may belong to */
#define MAX_EXT_HEADERS 6
#define MAX_L4_OFFSET 512
#define RING_SIZE 65537  /* prime: slots of one Maglev table */
#define EEXIST 17

/* struct vip.kind: 0 ends a search, VIP_REMOVED does not */
#define VIP_REMOVED 3
#define VIP_BALANCED 1   /* this engine serves it */
#define VIP_SLOTS 2048  /* power of two, four times MAX_VIPS */
#define VIP_PROBES 16
#define VIP_GUARDED 2    /* the stack (layer 7) serves it; lease and ARP watch only */

/* struct real.state */
#define REAL_GONE 0      /* down, halted or unused: its flows and entries are void */
#define REAL_KEEP 1      /* draining: existing flows stay */
#define REAL_OPEN 2      /* takes new clients */

/* struct real.flags */
#define REAL_RESOLVED 1
#define REAL_V4 2

/* struct service.flags */
#define SERVICE_MAGLEV 1
#define SERVICE_PERSIST 2
#define SERVICE_DRAIN_PERSISTENT 4

/* A stamp is jiffies << STAMP_SHIFT | flags. */
#define STAMP_SHIFT 2
#define STAMP_CLOSING 1u /* FIN or RST seen: no longer a connection */
#define STAMP_LOOSE 2u   /* the client's entry was cleared: the flow no longer renews it */
#define STAMP_FLAGS 3u
/* In a persistence entry: its time came from the peer, no packet of the client has
 * been seen here since. The peer is never told what it has told us. */
#define STAMP_IMPORTED 1u

/* Check addresses (probe.h): one per real server, by its index. 198.18.0.0/15 is for
 * benchmarks (RFC 2544); the IPv6 ones are unique local (RFC 4193), global ID
 * "vosbe", subnet "d". */
#define PROBE_NET4 0xc613e000u /* 198.19.224.0/19 */
#define PROBE_MASK4 0xffffe000u
#define PROBE_NET6 0x00646562736f76fdULL /* fd76:6f73:6265:6400::/64, as loaded */

enum drop {
	DROP_MALFORMED,
	DROP_LEASE_EXPIRED,
	DROP_PORT_NOT_SERVED,
	DROP_NO_SERVER,
	DROP_NO_ROUTE,
	DROP_FRAGMENT_UNKNOWN,
	DROP_ICMP_UNKNOWN,
	DROP_NOT_UNICAST,
	DROP_TABLE_FULL, /* the decision could not be stored; the packet still went */
	DROP_PROBE,      /* a check address (probe.h) seen where it has no business */
	DROP_REASONS,
};

/* What is counted although nothing is dropped. */
enum note {
	NOTE_FLOW_LOST,    /* a TCP packet in mid-stream that neither table knows */
	NOTE_FLOW_STORED,  /* places taken in flows: */
	NOTE_ENTRY_STORED, /* and in persist; user space works out the evictions */
	NOTE_PLACES = 16,
};
