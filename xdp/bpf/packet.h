/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Bounds-checked views over Ethernet, IPv4 or IPv6, and TCP, for the BPF programs of xhttpd.
 *
 * packet_parse() says yes only to the plainest of packets: no VLAN tag, no fragment, no IP options or extension headers,
 * addresses that a peer may really have, lengths that agree. Everything else has a problem, and belongs to the kernel.
 * It reads no octet behind the 20 of the TCP header, so it also serves where only the headers are in linear memory.
 *
 * The addresses in struct flow are written as internal/wire's Addr: 16 octets, IPv4 as ::ffff:a.b.c.d.
 */
#ifndef XHTTPD_PACKET_H
#define XHTTPD_PACKET_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* An IP address in network byte order; IPv4 as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2). */
struct addr {
	__u8 octets[16];
} __attribute__((aligned(4)));

/* A TCP connection as this host sees it: local is us. Ports are in network byte order. No padding: fit for a map's key. */
struct flow {
	struct addr local;
	struct addr remote;
	__u16 local_port_be;
	__u16 remote_port_be;
};

_Static_assert(sizeof(struct flow) == 36, "a map's key must not have padding");

/* The control bits of a TCP header (RFC 9293, 3.1), octet 13. */
enum tcp_flags {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_PSH = 0x08,
	TCP_ACK = 0x10,
	TCP_URG = 0x20,
	TCP_ECE = 0x40,
	TCP_CWR = 0x80,
};

/* What packet_parse() has read. Sequence numbers and lengths are in host byte order. */
struct packet {
	struct flow flow;
	__u32 seq;
	__u32 ack;
	__u16 payload_len; /* octets, by the IP length: the padding of small frames does not count */
	__u16 payload_off; /* from the beginning of the frame */
	__u8 flags;        /* enum tcp_flags */
	__u8 is_ipv4;
};

/* Why a packet is not one that xhttpd could take. */
enum packet_problem {
	PACKET_OK = 0,
	PACKET_TOO_SHORT,   /* ends before its headers do */
	PACKET_NOT_UNICAST, /* Ethernet multicast or broadcast */
	PACKET_VLAN,
	PACKET_NOT_IP,
	PACKET_IP_HEADER,   /* version or length disagrees with the frame */
	PACKET_IP_OPTIONS,  /* or extension headers */
	PACKET_FRAGMENT,
	PACKET_NOT_TCP,
	PACKET_BAD_ADDRESS, /* a source that no peer has; IPv4-mapped IPv6 */
	PACKET_TCP_HEADER,
	PACKET_BAD_QUOTE,   /* an ICMP error that quotes no plain segment of ours; see icmp.h */
	PACKET_PROBLEMS,    /* how many there are */
};

static __always_inline void addr_from_ipv4(struct addr *a, __be32 ip)
{
	__u32 *words = (__u32 *)a->octets;

	words[0] = 0;
	words[1] = 0;
	words[2] = bpf_htonl(0xffff);
	words[3] = ip;
}

/* Sources that the kernel drops as martians (ip_route_input_slow): it shall do so itself. */
static __always_inline int ipv4_is_martian(__be32 ip)
{
	__u32 first = bpf_ntohl(ip) >> 24;

	return first == 0 || first == 127 || first >= 224;
}

/* ::/96 holds unspecified, loopback and the IPv4-compatible addresses, ::ffff:0:0/96 the IPv4-mapped, ff00::/8 multicast. */
static __always_inline int ipv6_is_martian(const struct in6_addr *a)
{
	const __be32 *words = a->in6_u.u6_addr32;

	if (a->in6_u.u6_addr8[0] == 0xff)
		return 1;
	return words[0] == 0 && words[1] == 0 && (words[2] == 0 || words[2] == bpf_htonl(0xffff));
}

/* Both parse_ipv* functions return the octets of the IP payload in *payload_len. */
static __always_inline enum packet_problem parse_ipv4(const struct iphdr *ip, void *data_end, __u32 ip_room,
						      struct packet *p, __u32 *payload_len)
{
	__u32 total;

	if ((void *)(ip + 1) > data_end)
		return PACKET_TOO_SHORT;
	if (ip->version != 4 || ip->ihl < 5)
		return PACKET_IP_HEADER;
	if (ip->ihl > 5)
		return PACKET_IP_OPTIONS;
	total = bpf_ntohs(ip->tot_len);
	if (total < sizeof(*ip) || total > ip_room)
		return PACKET_IP_HEADER;
	if (ip->frag_off & bpf_htons(0x3fff)) /* more fragments, or an offset */
		return PACKET_FRAGMENT;
	if (ip->protocol != IPPROTO_TCP)
		return PACKET_NOT_TCP;
	if (ipv4_is_martian(ip->saddr) || ip->saddr == ip->daddr)
		return PACKET_BAD_ADDRESS;
	addr_from_ipv4(&p->flow.remote, ip->saddr);
	addr_from_ipv4(&p->flow.local, ip->daddr);
	p->is_ipv4 = 1;
	*payload_len = total - sizeof(*ip);
	return PACKET_OK;
}

static __always_inline enum packet_problem parse_ipv6(const struct ipv6hdr *ip, void *data_end, __u32 ip_room,
						      struct packet *p, __u32 *payload_len)
{
	const __be32 *src, *dst;

	if ((void *)(ip + 1) > data_end)
		return PACKET_TOO_SHORT;
	if (ip->version != 6)
		return PACKET_IP_HEADER;
	*payload_len = bpf_ntohs(ip->payload_len);
	if (*payload_len + sizeof(*ip) > ip_room)
		return PACKET_IP_HEADER;
	switch (ip->nexthdr) {
	case IPPROTO_TCP:
		break;
	case IPPROTO_FRAGMENT:
		return PACKET_FRAGMENT;
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_DSTOPTS:
	case IPPROTO_AH:
	case IPPROTO_MH:
		return PACKET_IP_OPTIONS;
	default:
		return PACKET_NOT_TCP;
	}
	if (ipv6_is_martian(&ip->saddr) || ipv6_is_martian(&ip->daddr))
		return PACKET_BAD_ADDRESS;
	src = ip->saddr.in6_u.u6_addr32;
	dst = ip->daddr.in6_u.u6_addr32;
	if (src[0] == dst[0] && src[1] == dst[1] && src[2] == dst[2] && src[3] == dst[3])
		return PACKET_BAD_ADDRESS;
	__builtin_memcpy(&p->flow.remote, &ip->saddr, sizeof(p->flow.remote));
	__builtin_memcpy(&p->flow.local, &ip->daddr, sizeof(p->flow.local));
	p->is_ipv4 = 0;
	return PACKET_OK;
}

/*
 * packet_parse() reads the frame [data, data_end) into *p. frame_len is the length of the whole frame, which may be more than
 * what is in linear memory: skb->len, or bpf_xdp_get_buff_len(). After anything but PACKET_OK, *p is undefined.
 */
static __always_inline enum packet_problem packet_parse(void *data, void *data_end, __u32 frame_len, struct packet *p)
{
	const struct ethhdr *eth = data;
	const struct tcphdr *tcp;
	enum packet_problem problem;
	__u32 tcp_len = 0, header_len;

	if ((void *)(eth + 1) > data_end)
		return PACKET_TOO_SHORT;
	if (eth->h_dest[0] & 1)
		return PACKET_NOT_UNICAST;
	switch (eth->h_proto) {
	case bpf_htons(ETH_P_IP):
		problem = parse_ipv4((void *)(eth + 1), data_end, frame_len - sizeof(*eth), p, &tcp_len);
		tcp = (void *)(eth + 1) + sizeof(struct iphdr);
		break;
	case bpf_htons(ETH_P_IPV6):
		problem = parse_ipv6((void *)(eth + 1), data_end, frame_len - sizeof(*eth), p, &tcp_len);
		tcp = (void *)(eth + 1) + sizeof(struct ipv6hdr);
		break;
	case bpf_htons(ETH_P_8021Q):
	case bpf_htons(ETH_P_8021AD):
		return PACKET_VLAN;
	default:
		return PACKET_NOT_IP;
	}
	if (problem != PACKET_OK)
		return problem;

	if (tcp_len < sizeof(*tcp))
		return PACKET_TCP_HEADER;
	if ((void *)(tcp + 1) > data_end)
		return PACKET_TOO_SHORT;
	header_len = tcp->doff * 4;
	if (header_len < sizeof(*tcp) || header_len > tcp_len)
		return PACKET_TCP_HEADER;
	p->flow.remote_port_be = tcp->source;
	p->flow.local_port_be = tcp->dest;
	p->seq = bpf_ntohl(tcp->seq);
	p->ack = bpf_ntohl(tcp->ack_seq);
	p->flags = ((const __u8 *)tcp)[13];
	p->payload_len = tcp_len - header_len;
	p->payload_off = (void *)tcp - data + header_len;
	return PACKET_OK;
}

/*
 * flow_lookup() returns the kernel's socket for the flow, a listener included, or NULL. The caller must release it
 * (bpf_sk_release). Request sockets and TIME-WAIT are found as well, hence a sock_common: of its fields only those that
 * all kinds share (state, family, addresses, ports) mean something.
 */
static __always_inline struct bpf_sock *flow_lookup(void *ctx, const struct flow *f, int is_ipv4)
{
	struct bpf_sock_tuple tuple;

	if (is_ipv4) {
		tuple.ipv4.saddr = *(const __u32 *)&f->remote.octets[12];
		tuple.ipv4.daddr = *(const __u32 *)&f->local.octets[12];
		tuple.ipv4.sport = f->remote_port_be;
		tuple.ipv4.dport = f->local_port_be;
		return bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	}
	__builtin_memcpy(tuple.ipv6.saddr, &f->remote, sizeof(tuple.ipv6.saddr));
	__builtin_memcpy(tuple.ipv6.daddr, &f->local, sizeof(tuple.ipv6.daddr));
	tuple.ipv6.sport = f->remote_port_be;
	tuple.ipv6.dport = f->local_port_be;
	return bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
}

#endif
