/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Connections that user space has lent: everything it wrote was sent, all that it received is decided. Until it takes one back, its
 * requests may be answered here (answer.h), and the acknowledgments of answers are taken in. Each needs a segment that is in
 * sequence, acknowledges all that was sent, and is whole. Everything else, and every doubt, is user space's.
 */
#ifndef XHTTPD_LENT_H
#define XHTTPD_LENT_H

#include "ours.h"
#include "packet.h"
#include "synack.h"

/* Who may touch a struct lent. Both sides change it by cmpxchg only. */
enum lent_owner {
	LENT_NONE, /* user space */
	LENT_HERE, /* this program may take it */
	LENT_BUSY, /* this program is at work */
};

#define LENT_TIMESTAMPS 1
#define LENT_DATE_SHIFT 1
#define LENT_ACKED_SHIFT 10
#define ANY_NUMBER 0xffff

/* How a connection stands. internal/dataplane's lending.go has the same layout. */
struct lent {
	__u64 owner;
	__u32 hash;  /* the lower half of flow_hash(); by the upper one the place is found */
	__u32 acked; /* 0: the last answer, or what was in flight when it was lent, may still be. Else how long after the answer a bare ACK
		      * came, in units of 1024 ns, + 1 */
	__u32 rcv_nxt, snd_nxt;
	__u32 ts_recent, ts_offset;
	__u16 window;      /* that we advertise, as it stands in the header */
	__u16 peer_window; /* the peer's last */
	__u16 room;        /* octets of payload in a segment to the peer */
	__u8 peer_scale;
	__u8 with; /* LENT_TIMESTAMPS, and the date of the last answer */
	__u16 answered;  /* since it was lent */
	__u16 served;    /* requests on the connection before that */
	__u16 answer;    /* the last one's number */
	__u16 most;      /* requests on the connection; ANY_NUMBER */
	__u64 first_nanos; /* CLOCK_MONOTONIC, when the first segment came, and the last request */
	__u64 last_nanos;
};

_Static_assert(sizeof(struct lent) == 64, "as in lending.go");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* set before loading */
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct lent);
} lents SEC(".maps");

const volatile __u32 lents_mask = 0; /* entries for each queue - 1, a power of two less one; 0: nothing is lent */

/* What the header of a segment says besides its numbers. */
struct said {
	__u32 tsval; /* 0 without timestamps */
	__u16 window;
	__u8 partial; /* the checksum is left to the device */
};

#define TIMESTAMP_OPTION bpf_htonl(OPT_NOP << 24 | OPT_NOP << 16 | OPT_TIMESTAMPS << 8 | 10)

static __always_inline int lent_fits(const struct lent *l, const struct packet *p, __u64 hash)
{
	return l->hash == (__u32)hash && l->rcv_nxt == p->seq && l->snd_nxt == p->ack;
}

/* lent_of() returns the place of the flow, if it is lent and p is in sequence and acknowledges all. User space may take it back at any
 * time: what was read of it counts when lent_take() has said so. */
static __always_inline struct lent *lent_of(struct xdp_md *ctx, const struct packet *p, __u64 hash)
{
	__u32 index = ctx->rx_queue_index * (lents_mask + 1) + ((hash >> 32) & lents_mask);
	struct lent *l = bpf_map_lookup_elem(&lents, &index);

	if (!l || *(volatile __u64 *)&l->owner != LENT_HERE || !lent_fits(l, p, hash))
		return 0;
	return l;
}

static __always_inline __u32 lent_header_len(const struct lent *l)
{
	return 20 + 12 * (l->with & LENT_TIMESTAMPS); /* no branch: the verifier would follow each to the end */
}

static __always_inline void lent_release(struct lent *l)
{
	asm volatile("" ::: "memory");
	__sync_lock_test_and_set(&l->owner, LENT_HERE);
}

/* lent_take() takes the connection, until lent_release(), if it is still as it was when p was looked at. */
static __always_inline int lent_take(struct lent *l, const struct packet *p, __u64 hash, __u32 header_len, const struct said *s)
{
	if (__sync_val_compare_and_swap(&l->owner, LENT_HERE, LENT_BUSY) != LENT_HERE)
		return 0;
	if (lent_fits(l, p, hash) && lent_header_len(l) == header_len && (header_len == 20 || (__s32)(s->tsval - l->ts_recent) >= 0))
		return 1;
	lent_release(l);
	return 0;
}

static __always_inline __u32 tcp_offset(const struct packet *p)
{
	return sizeof(struct ethhdr) + (p->is_ipv4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
}

/* The sum of a pseudo-header, not folded. */
static __always_inline __u64 pseudo_sum(const struct packet *p, __u32 len)
{
	__u64 sum = bpf_htons(IPPROTO_TCP) + bpf_htons(len);

	if (p->is_ipv4)
		return sum_words(&p->flow.local.octets[12], 4, sum_words(&p->flow.remote.octets[12], 4, sum));
	return sum_words(&p->flow.local, 16, sum_words(&p->flow.remote, 16, sum));
}

/*
 * segment_read() reads a segment with a TCP header of header_len octets, 20, or 32 with timestamps as everybody writes them, whose
 * payload has a sum. It reports whether it is addressed to us and whole, as wire.Parse sees it: a checksum that is left to the
 * device is the pseudo-header's sum. One in 65,536 is that and whole, too. Then nobody can tell how to answer, and it is user space's.
 */
static __always_inline int segment_read(void *data, void *data_end, const struct packet *p, __u32 header_len, __u16 payload_sum, struct said *s)
{
	const struct ethhdr *eth = data;
	const struct tcphdr *tcp = data + tcp_offset(p);
	const word *t = (const word *)(tcp + 1);
	__u64 sum;
	int i;

	if ((void *)(tcp + 1) > data_end)
		return 0;
#pragma unroll
	for (i = 0; i < 6; i++)
		if (eth->h_dest[i] != syn.mac[i])
			return 0;
	if (p->is_ipv4 && fold(sum_words(eth + 1, sizeof(struct iphdr), 0)) != 0xffff)
		return 0;
	s->tsval = 0;
	if (header_len == 32) {
		if ((void *)(t + 3) > data_end || t[0] != TIMESTAMP_OPTION)
			return 0;
		s->tsval = bpf_ntohl(t[1]);
	}
	sum = pseudo_sum(p, header_len + p->payload_len);
	s->partial = tcp->check == fold(sum);
	sum = sum_words(tcp, sizeof(*tcp), sum + payload_sum);
	if (header_len == 32)
		sum = sum_words(t, 12, sum);
	if (s->partial == (fold(sum) == 0xffff))
		return 0;
	s->window = bpf_ntohs(tcp->window);
	return 1;
}

/*
 * try_ack() takes in a bare ACK of all that was sent on a connection that is lent, the first since that may be in flight, and
 * returns 1: nobody else need see it. Any further one, and one that says more, is user space's.
 */
static __always_inline int try_ack(struct xdp_md *ctx, const struct packet *p, __u64 hash, __u64 now_nanos)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct said s = {};
	__u32 header_len;
	__u64 after = 0;
	struct lent *l;

	if (p->flags != TCP_ACK || p->payload_len != 0)
		return 0;
	l = lent_of(ctx, p, hash);
	if (!l || l->acked)
		return 0;
	header_len = lent_header_len(l);
	if (p->payload_off != tcp_offset(p) + header_len || !segment_read(data, data_end, p, header_len, 0, &s))
		return 0;
	if (!lent_take(l, p, hash, header_len, &s))
		return 0;
	if (l->acked) {
		lent_release(l);
		return 0;
	}
	if (!l->answered)
		l->first_nanos = now_nanos;
	else if (now_nanos > l->last_nanos)
		after = now_nanos - l->last_nanos;
	l->acked = (after >> LENT_ACKED_SHIFT) + 1;
	if (header_len == 32)
		l->ts_recent = s.tsval;
	l->peer_window = s.window;
	lent_release(l);
	return 1;
}

#endif
