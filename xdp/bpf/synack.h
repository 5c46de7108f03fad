/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * SYNs answered without user space, while its ring is crowded: with the same cookies and the same octets as tcpstate's
 * Listener.OnSYN and the loop make, so that it does not matter who has answered. Nothing is remembered.
 *
 * steer turns the SYN into the answer and marks it by its metadata; bounce (steer.c) sends it back, in tc. XDP_TX would be
 * shorter, but on a veth pair it needs help from the other end.
 */
#ifndef XHTTPD_SYNACK_H
#define XHTTPD_SYNACK_H

#include "crowd.h"

/* tcpstate's Config and Listener. */
struct syn_settings {
	__u16 mss4[8]; /* that a cookie has numbers for, ascending; the last one is ours */
	__u16 mss6[8];
	__u16 window;
	__u8 wscale;
	__u8 timestamps;
	__u8 sack;
	__u8 window_scaling;
	__u8 ecn;
	__u8 mac[6]; /* the interface's */
};

const volatile struct syn_settings syn = {};

/* What a packet has before it that bounce shall send back. A secret, though only XDP programs write there. */
const volatile __u64 bounce_mark = 0;

#define NO_WSCALE 15
#define MAX_WSCALE 14
#define COOKIE_TS 3ULL
#define COOKIE_ECHO_SHIFT 23
#define MAX_OPTIONS 40

enum tcp_option {
	OPT_END = 0,
	OPT_NOP = 1,
	OPT_MSS = 2,
	OPT_WSCALE = 3,
	OPT_SACK_PERMITTED = 4,
	OPT_TIMESTAMPS = 8,
};

struct syn_options {
	__u32 tsval_be;
	__u16 mss; /* 0: not offered; an offer of 0 is as bad */
	__u8 wscale;
	__u8 has_mss;
	__u8 has_ts;
	__u8 sack;
};

/* An answer's TCP header with all options that it may have. */
struct synack {
	__be16 source, dest;
	__be32 seq, ack;
	__u8 offset; /* upper half: words */
	__u8 flags;
	__be16 window, checksum, urgent;
	__be32 options[5];
};

/* The options of a SYN while they are read. */
struct option_walk {
	__u8 b[2 * MAX_OPTIONS]; /* with room behind them */
	__u32 at;
	__u32 len;
	struct syn_options o;
};

/* One option. As internal/wire's Options.parse: what is odd is skipped. For bpf_loop, as the verifier would follow each way
 * through an ordinary loop. */
static long option_step(__u32 i, struct option_walk *w)
{
	struct syn_options *o = &w->o;
	__u32 at = w->at;
	const __u8 *b;
	__u8 size;

	(void)i;
	if (at >= w->len || at >= MAX_OPTIONS)
		return 1;
	b = &w->b[at];
	if (b[0] == OPT_END)
		return 1;
	if (b[0] == OPT_NOP) {
		w->at = at + 1;
		return 0;
	}
	size = b[1];
	if (at + 2 > w->len || size < 2 || at + size > w->len)
		return 1;
	if (b[0] == OPT_MSS && size == 4) {
		o->has_mss = 1;
		o->mss = b[2] << 8 | b[3];
	} else if (b[0] == OPT_WSCALE && size == 3) {
		o->wscale = b[2] > MAX_WSCALE ? MAX_WSCALE : b[2];
	} else if (b[0] == OPT_SACK_PERMITTED && size == 2) {
		o->sack = 1;
	} else if (b[0] == OPT_TIMESTAMPS && size == 10) {
		o->has_ts = 1;
		o->tsval_be = bpf_htonl((__u32)b[2] << 24 | (__u32)b[3] << 16 | (__u32)b[4] << 8 | b[5]);
	}
	w->at = at + size;
	return 0;
}

/* As tcpstate's scales: the numbers of the window scales that data holds when there are no timestamps, or -1. */
static __always_inline int scale_index(__u8 wscale)
{
	switch (wscale) {
	case 0:
		return 1;
	case 2:
		return 2;
	case 6:
	case 7:
	case 8:
	case 9:
	case 10:
		return wscale - 3;
	}
	return 0;
}

static __always_inline int mss_index(const volatile __u16 *table, __u16 offered)
{
	int i, index = -1;

#pragma unroll
	for (i = 0; i < 8; i++)
		if (table[i] <= offered)
			index = i;
	return index;
}

/* synack_make() writes the answer to the SYN p with the options o, without checksum. It returns its length, or 0 if there is
 * none that we could stand by. */
__noinline __u32 synack_make(const struct packet *p, struct syn_options *o, struct synack *a, __u64 now_nanos)
{
	__u64 count = now_nanos / COOKIE_PERIOD_NANOS;
	__u32 data = 0, cookie, n = 0;
	int index, stamps, sack, ecn;
	__u16 own;

	if (!p || !o || !a)
		return 0;
	own = p->is_ipv4 ? syn.mss4[7] : syn.mss6[7];
	if (!o->has_mss)
		o->mss = p->is_ipv4 ? 536 : 1220;
	if (!own)
		return 0; /* no settings */
	index = p->is_ipv4 ? mss_index(syn.mss4, o->mss) : mss_index(syn.mss6, o->mss);
	if (index < 0)
		return 0;
	stamps = syn.timestamps && o->has_ts;
	if (!syn.window_scaling || (!stamps && !scale_index(o->wscale)))
		o->wscale = NO_WSCALE;
	sack = syn.sack && o->sack;
	ecn = syn.ecn && stamps && (p->flags & (TCP_ECE | TCP_CWR)) == (TCP_ECE | TCP_CWR);
	cookie = ecn << 8 | index << 5 | o->wscale << 1 | sack;
	if (!stamps)
		data = 1 + (index << 4 | scale_index(o->wscale) << 1 | sack);

	a->source = p->flow.local_port_be;
	a->dest = p->flow.remote_port_be;
	data += cookie_hash(&p->flow, COOKIE_F2 | (__u64)p->seq << 32, count);
	a->seq = bpf_htonl((__u32)cookie_hash(&p->flow, COOKIE_F1, 0) + ((__u32)count << COOKIE_SHIFT) + (data & COOKIE_LOW));
	a->ack = bpf_htonl(p->seq + 1);
	a->flags = TCP_SYN | TCP_ACK | (ecn ? TCP_ECE : 0);
	a->window = bpf_htons(syn.window);
	a->checksum = 0;
	a->urgent = 0;
	a->options[n++] = bpf_htonl(OPT_MSS << 24 | 4 << 16 | own);
	if (stamps) {
		__u32 before = sack ? OPT_SACK_PERMITTED << 24 | 2 << 16 : OPT_NOP << 24 | OPT_NOP << 16;
		__u32 offset = (__u32)cookie_hash(&p->flow, COOKIE_TS, 0) + (cookie << COOKIE_ECHO_SHIFT);

		a->options[1] = bpf_htonl(before | OPT_TIMESTAMPS << 8 | 10);
		a->options[2] = bpf_htonl((__u32)(now_nanos / 1000000) + offset);
		a->options[3] = o->tsval_be;
		n = 4;
	} else if (sack) {
		a->options[1] = bpf_htonl(OPT_NOP << 24 | OPT_NOP << 16 | OPT_SACK_PERMITTED << 8 | 2);
		n = 2;
	}
	if (o->wscale != NO_WSCALE && n < 5)
		a->options[n++] = bpf_htonl(OPT_NOP << 24 | OPT_WSCALE << 16 | 3 << 8 | syn.wscale);
	a->offset = (5 + n) << 4;
	return 20 + 4 * n;
}

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

typedef __u32 __attribute__((may_alias)) word;

static __always_inline __u64 sum_words(const void *p, int octets, __u64 sum)
{
	const word *words = p;
	int i;

#pragma unroll
	for (i = 0; i < octets / 4; i++)
		sum += words[i];
	return sum;
}

static __always_inline __u16 synack_checksum(const struct packet *p, const struct synack *a, __u32 len)
{
	__u64 sum = bpf_htons(IPPROTO_TCP) + bpf_htons(len);

	if (p->is_ipv4)
		sum = sum_words(&p->flow.local.octets[12], 4, sum_words(&p->flow.remote.octets[12], 4, sum));
	else
		sum = sum_words(&p->flow.local, 16, sum_words(&p->flow.remote, 16, sum));
	return ~fold(sum_words(a, sizeof(*a), sum)); /* what lies behind the last option is 0 */
}

/* The IP header of an answer with a segment of len octets, as internal/wire's Header.Build. */
static __always_inline void write_ipv4(struct iphdr *ip, const struct packet *p, __u32 len)
{
	ip->tos = 0;
	ip->tot_len = bpf_htons(sizeof(*ip) + len);
	ip->id = 0;
	ip->frag_off = bpf_htons(0x4000);
	ip->ttl = 64;
	ip->check = 0;
	ip->saddr = *(const __u32 *)&p->flow.local.octets[12];
	ip->daddr = *(const __u32 *)&p->flow.remote.octets[12];
	ip->check = ~fold(sum_words(ip, sizeof(*ip), 0));
}

static __always_inline void write_ipv6(struct ipv6hdr *ip, const struct packet *p, __u32 len)
{
	*(__be32 *)ip = bpf_htonl(6U << 28);
	ip->payload_len = bpf_htons(len);
	ip->hop_limit = 64;
	__builtin_memcpy(&ip->saddr, &p->flow.local, 16);
	__builtin_memcpy(&ip->daddr, &p->flow.remote, 16);
}

/*
 * syn_answer() turns the frame of the SYN p into its answer and returns 0. 1: it is not for us to answer, and was left as it was.
 * 2: it could not be answered, and is spoiled. As try_answer(), it has a stack frame of its own.
 */
static __noinline int syn_answer(struct xdp_md *ctx, const struct packet *p, __u64 now_nanos)
{
	struct option_walk w = { .o.wscale = NO_WSCALE };
	struct synack a = {};
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	__u32 tcp_at = sizeof(struct ethhdr) + (p->is_ipv4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
	__u32 options_at = tcp_at + 20, options_len = p->payload_off - options_at, len;
	struct ethhdr *eth = data;
	__u64 *mark;
	__u8 mac[6];
	int i;

	if ((void *)(eth + 1) > data_end)
		return 1;
#pragma unroll
	for (i = 0; i < 6; i++)
		if (eth->h_dest[i] != syn.mac[i])
			return 1;
	if (options_len > 0) {
		if (options_len > MAX_OPTIONS)
			return 1;
		if (bpf_xdp_load_bytes(ctx, options_at, w.b, options_len))
			return 1;
		w.len = options_len;
		bpf_loop(MAX_OPTIONS, option_step, &w, 0);
	}
	len = synack_make(p, &w.o, &a, now_nanos);
	asm volatile("" : "+r"(len)); /* else clang compares a copy, and the verifier does not see that len is small */
	if (len < 20 || len > sizeof(a))
		return 1;
	a.checksum = synack_checksum(p, &a, len);

	if (bpf_xdp_adjust_tail(ctx, (int)(tcp_at + len) - (int)bpf_xdp_get_buff_len(ctx)))
		return 2;
	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*mark)))
		return 2;
	if (bpf_xdp_store_bytes(ctx, tcp_at, &a, len))
		return 2;
	data = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	mark = (void *)(long)ctx->data_meta;
	if ((void *)(mark + 1) > data)
		return 2;
	*mark = bounce_mark;
	eth = data;
	if ((void *)(eth + 1) > data_end)
		return 2;
	__builtin_memcpy(mac, eth->h_source, 6);
	__builtin_memcpy(eth->h_source, eth->h_dest, 6);
	__builtin_memcpy(eth->h_dest, mac, 6);
	if (p->is_ipv4) {
		struct iphdr *ip = (void *)(eth + 1);

		if ((void *)(ip + 1) > data_end)
			return 2;
		write_ipv4(ip, p, len);
	} else {
		struct ipv6hdr *ip = (void *)(eth + 1);

		if ((void *)(ip + 1) > data_end)
			return 2;
		write_ipv6(ip, p, len);
	}
	return 0;
}

#endif
