/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A bounds-checked view of the ICMP messages by which a router says that a segment of ours was too big for its next link:
 * ICMPv4 type 3 code 4 (RFC 1191, 4) and ICMPv6 type 2 (RFC 4443, 3.2). They quote the head of that segment:
 *
 *   Ethernet | IP, router to us | ICMP, 8 octets | IP, us to the client | TCP: ports and sequence number, 8 octets | ...
 *
 * Checksums are user space's to look at.
 */
#ifndef XHTTPD_ICMP_H
#define XHTTPD_ICMP_H

#include "packet.h"

/* <linux/icmp.h> needs the C library's headers. */
enum {
	ICMP4_UNREACHABLE = 3,
	ICMP4_FRAGMENTATION_NEEDED = 4, /* code */
	ICMP6_PACKET_TOO_BIG = 2,
};

struct icmp {
	__u8 type;
	__u8 code;
	__u16 checksum;
	__be32 mtu; /* IPv4: in the lower half */
};

/* RFC 792 promises no more of the quoted segment than its first 8 octets. */
struct quoted_tcp {
	__be16 source;
	__be16 dest;
	__be32 seq;
};

struct too_big4 {
	struct iphdr ip;
	struct icmp icmp;
	struct iphdr quoted_ip;
	struct quoted_tcp quoted_tcp;
};

struct too_big6 {
	struct ipv6hdr ip;
	struct icmp icmp;
	struct ipv6hdr quoted_ip;
	struct quoted_tcp quoted_tcp;
};

/* By words: clang 14 calls a memcmp that BPF does not have. */
static __always_inline int ipv6_equal(const struct in6_addr *a, const struct in6_addr *b)
{
	const __be32 *x = a->in6_u.u6_addr32, *y = b->in6_u.u6_addr32;

	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2] && x[3] == y[3];
}

static __always_inline enum packet_problem too_big_parse4(const struct too_big4 *m, void *data_end, struct packet *p)
{
	const struct iphdr *quoted = &m->quoted_ip;

	if ((void *)(&m->icmp + 1) > data_end)
		return PACKET_NOT_TCP;
	if (m->ip.protocol != IPPROTO_ICMP || m->icmp.type != ICMP4_UNREACHABLE || m->icmp.code != ICMP4_FRAGMENTATION_NEEDED)
		return PACKET_NOT_TCP;
	if (bpf_ntohs(m->ip.tot_len) < sizeof(*m) || (void *)(m + 1) > data_end)
		return PACKET_BAD_QUOTE;
	if (quoted->version != 4 || quoted->ihl != 5 || quoted->protocol != IPPROTO_TCP)
		return PACKET_BAD_QUOTE;
	if (quoted->frag_off & bpf_htons(0x3fff))
		return PACKET_BAD_QUOTE;
	if (quoted->saddr != m->ip.daddr) /* an error goes to who sent the packet */
		return PACKET_BAD_QUOTE;
	if (ipv4_is_martian(m->ip.saddr) || m->ip.saddr == m->ip.daddr)
		return PACKET_BAD_ADDRESS;
	addr_from_ipv4(&p->flow.local, quoted->saddr);
	addr_from_ipv4(&p->flow.remote, quoted->daddr);
	p->flow.local_port_be = m->quoted_tcp.source;
	p->flow.remote_port_be = m->quoted_tcp.dest;
	p->is_ipv4 = 1;
	return PACKET_OK;
}

static __always_inline enum packet_problem too_big_parse6(const struct too_big6 *m, void *data_end, struct packet *p)
{
	const struct ipv6hdr *quoted = &m->quoted_ip;

	if ((void *)(&m->icmp + 1) > data_end)
		return PACKET_NOT_TCP;
	if (m->ip.nexthdr != IPPROTO_ICMPV6 || m->icmp.type != ICMP6_PACKET_TOO_BIG) /* any code: RFC 4443, 3.2 */
		return PACKET_NOT_TCP;
	if (bpf_ntohs(m->ip.payload_len) < sizeof(*m) - sizeof(m->ip) || (void *)(m + 1) > data_end)
		return PACKET_BAD_QUOTE;
	if (quoted->version != 6 || quoted->nexthdr != IPPROTO_TCP)
		return PACKET_BAD_QUOTE;
	if (!ipv6_equal(&quoted->saddr, &m->ip.daddr))
		return PACKET_BAD_QUOTE;
	/* IPv4-mapped ones would pass for IPv4 in the map of addresses, and in a flow. */
	if (ipv6_is_martian(&m->ip.saddr) || ipv6_is_martian(&m->ip.daddr) || ipv6_is_martian(&quoted->daddr))
		return PACKET_BAD_ADDRESS;
	if (ipv6_equal(&m->ip.saddr, &m->ip.daddr))
		return PACKET_BAD_ADDRESS;
	__builtin_memcpy(&p->flow.local, &quoted->saddr, sizeof(p->flow.local));
	__builtin_memcpy(&p->flow.remote, &quoted->daddr, sizeof(p->flow.remote));
	p->flow.local_port_be = m->quoted_tcp.source;
	p->flow.remote_port_be = m->quoted_tcp.dest;
	p->is_ipv4 = 0;
	return PACKET_OK;
}

/*
 * too_big_parse() reads a frame for which packet_parse() has said PACKET_NOT_TCP, so that its Ethernet and outer IP headers
 * are known to be plain. Of *p it sets flow, the connection of ours that the message is about, and is_ipv4. What is no such
 * message is still PACKET_NOT_TCP.
 */
static __always_inline enum packet_problem too_big_parse(void *data, void *data_end, struct packet *p)
{
	const struct ethhdr *eth = data;

	if ((void *)(eth + 1) > data_end) /* cannot be; the verifier does not know */
		return PACKET_TOO_SHORT;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return too_big_parse4((void *)(eth + 1), data_end, p);
	return too_big_parse6((void *)(eth + 1), data_end, p);
}

#endif
