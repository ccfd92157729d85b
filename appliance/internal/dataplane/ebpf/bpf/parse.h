/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* parse.h: from frame to struct packet. Nothing here decides anything. */
#pragma once

struct ethhdr {
	__u8 dst[6], src[6];
	__u16 proto;
} __attribute__((packed));

struct iphdr {
	__u8 ihl_version, tos;
	__u16 tot_len, id, frag_off;
	__u8 ttl, protocol;
	__u16 check;
	__u32 saddr, daddr;
} __attribute__((packed));

struct ip6hdr {
	__u32 flow;
	__u16 payload_len;
	__u8 nexthdr, hop_limit;
	struct addr saddr, daddr;
} __attribute__((packed));

struct arphdr {
	__u16 hrd, pro;
	__u8 hln, pln;
	__u16 op;
	__u8 sha[6];
	__u32 spa;
	__u8 tha[6];
	__u32 tpa;
} __attribute__((packed));

struct l4hdr {
	__u16 sport, dport;
	__u32 seq, ack;
	__u8 off, flags;
} __attribute__((packed));

/* linear makes the first len bytes directly readable; it invalidates packet
 * pointers, so callers take fresh ones. */
INLINE bool linear(struct __sk_buff *skb, __u32 len)
{
	if (likely((long)skb->data + len <= (long)skb->data_end))
		return true;
	if (skb->len < len)
		return false;
	return bpf_skb_pull_data(skb, len) == 0;
}

INLINE void *at(struct __sk_buff *skb, __u32 off, __u32 len)
{
	void *p = (void *)(long)skb->data + off;

	return p + len <= (void *)(long)skb->data_end ? p : NULL;
}

INLINE struct addr mapped(__u32 v4)
{
	struct addr a = {{0, 0xffff0000ULL | ((__u64)v4 << 32)}};

	return a;
}

/* transport reads ports and TCP flags at p->l4. */
INLINE bool transport(struct __sk_buff *skb, struct packet *p)
{
	__u32 need = p->proto == PROTO_TCP ? sizeof(struct l4hdr) : 8;
	struct l4hdr *h;

	if (p->proto != PROTO_TCP && p->proto != PROTO_UDP)
		return true;
	if (!linear(skb, (p->l4 & 0x3ff) + need))
		return false;
	h = at(skb, p->l4 & 0x3ff, 8);
	if (!h)
		return false;
	p->sport = h->sport;
	p->dport = h->dport;
	if (p->proto == PROTO_UDP)
		return true;
	h = at(skb, p->l4 & 0x3ff, sizeof(*h));
	if (!h)
		return false;
	p->tcp_flags = h->flags;
	return true;
}

INLINE bool parse4(struct __sk_buff *skb, struct packet *p)
{
	struct iphdr *ip;
	__u32 hlen, frag;

	if (!linear(skb, ETH_HLEN + sizeof(*ip)))
		return false;
	ip = at(skb, ETH_HLEN, sizeof(*ip));
	if (!ip)
		return false;
	p->src = mapped(ip->saddr);
	p->dst = mapped(ip->daddr);
	p->proto = ip->protocol;
	hlen = (ip->ihl_version & 0xf) * 4;
	if ((ip->ihl_version >> 4) != 4 || hlen < IP4_HLEN)
		return false;
	if (ntohs(ip->tot_len) < hlen || ntohs(ip->tot_len) + ETH_HLEN > skb->len)
		return false;
	frag = ntohs(ip->frag_off) & 0x3fff;
	p->frag_id = ip->id;
	p->fragment = frag & 0x1fff ? FRAG_LATER : frag ? FRAG_FIRST : FRAG_NONE;
	p->l4 = ETH_HLEN + hlen;
	return p->fragment == FRAG_LATER || transport(skb, p);
}

struct exthdr {
	__u8 next, len;
	__u16 frag_off;
	__u32 id;
};

/* extension steps over one extension header: 1 stepped, 0 none left, -1 malformed. */
INLINE int extension(struct __sk_buff *skb, struct packet *p)
{
	struct exthdr h;

	if (p->proto != PROTO_HOPOPTS && p->proto != PROTO_ROUTING && p->proto != PROTO_DSTOPTS && p->proto != PROTO_FRAGMENT)
		return 0;
	if (p->l4 > MAX_L4_OFFSET || bpf_skb_load_bytes(skb, p->l4, &h, sizeof(h)))
		return -1;
	if (p->proto != PROTO_FRAGMENT) {
		p->proto = h.next;
		p->l4 += (h.len + 1) * 8;
		return 1;
	}
	p->proto = h.next;
	p->l4 += 8;
	p->frag_id = h.id;
	if (ntohs(h.frag_off) & 0xfff8) {
		p->fragment = FRAG_LATER;
		return 0;
	}
	p->fragment = ntohs(h.frag_off) & 1 ? FRAG_FIRST : FRAG_NONE;
	return 1;
}

INLINE bool parse6(struct __sk_buff *skb, struct packet *p)
{
	struct ip6hdr *ip;
	int i, step = 1;

	if (!linear(skb, ETH_HLEN + sizeof(*ip)))
		return false;
	ip = at(skb, ETH_HLEN, sizeof(*ip));
	if (!ip)
		return false;
	p->src = ip->saddr;
	p->dst = ip->daddr;
	p->proto = ip->nexthdr;
	p->l4 = ETH_HLEN + sizeof(*ip);
	if ((*(__u8 *)ip >> 4) != 6 || ntohs(ip->payload_len) + ETH_HLEN + IP6_HLEN > skb->len)
		return false;
	for (i = 0; i < MAX_EXT_HEADERS && step > 0; i++)
		step = extension(skb, p);
	if (step || p->l4 > MAX_L4_OFFSET)
		return false;
	return p->fragment == FRAG_LATER || transport(skb, p);
}
