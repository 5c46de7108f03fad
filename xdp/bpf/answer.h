/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Requests that are answered here: user space has lent the connection, the request is octet for octet one whose answer lies ready,
 * and that answer is one segment. Everything else, and every doubt, is user space's, which takes the connection back first.
 *
 * steer writes the headers of the answer over those of the request, which are as long, and says by metadata which answer it is;
 * bounce makes the packet longer and puts the octets in. In XDP there is no room for them: veth leaves none behind a packet.
 */
#ifndef XHTTPD_ANSWER_H
#define XHTTPD_ANSWER_H

#include "lent.h"

#define ANSWERS 256U /* for each receive queue, a power of two */
#define MAX_ASKED 512 /* octets of a request */
#define MAX_ANSWER 1472
#define DATE_LEN 29
#define DATES 4
#define HASHED_WORDS 16 /* of a request, of 8 octets */

/* An answer. It does not change while it may be given, or soon after. Sums are in the order of this machine. */
struct ready {
	__u64 until_nanos; /* CLOCK_MONOTONIC; user space looks often whether it is still right, and puts it off */
	__u64 hash;        /* of the request */
	struct addr local; /* that was asked */
	__u16 asked_len, len;
	__u16 date_at;   /* of Date's value */
	__u16 most;      /* as the connection's */
	__u16 asked_sum;
	__u16 sum;       /* with zeros for what moves */
	__u16 max_at;    /* of the number in Keep-Alive's max */
	__u16 max_digits; /* 0: it is not said */
	__u64 given;     /* how often; written here only */
	__u64 reserved2;
	__u8 asked[MAX_ASKED];
	__u8 octets[MAX_ANSWER];
};

_Static_assert(sizeof(struct ready) == 2048, "as in lending.go");

/* The time as Date has it. User space writes a text before it makes it the current one, and others for some seconds then. */
struct date_texts {
	__u64 current;
	struct {
		__u8 text[DATE_LEN + 1]; /* a zero behind it */
		__u16 sum;
	} all[DATES];
	__u64 reserved[7];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* set before loading */
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct ready);
} readies SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* set before loading */
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct date_texts);
} dates SEC(".maps");

/* What bounce finds before the packet. */
struct answer_mark {
	__u64 mark; /* bounce_mark + 1 */
	__u32 ready;
	__u16 left; /* what max says */
	__u8 date;
	__u8 at;     /* of the payload, from the beginning of the frame */
};

/* asked_hash() is dataplane's askedHash: so much of a request and of whom it asks as tells most of them apart. The rest is compared. */
static __always_inline __u64 asked_hash(const struct addr *local, const void *p, const void *end, __u32 len)
{
	__u64 h = (octets8(&local->octets[0]) ^ octets8(&local->octets[8])) + len;
	__u32 i;

#pragma unroll
	for (i = 0; i < HASHED_WORDS; i++) {
		const word *w = p + 8 * i;

		if (8 * i + 8 > len || (void *)(w + 2) > end)
			break;
		h = (h ^ ((__u64)w[1] << 32 | w[0])) * 0x9e3779b97f4a7c15ULL;
		h ^= h >> 29;
	}
	return h;
}

static __always_inline struct ready *ready_at(__u32 number, __u64 h, __u32 digits, __u64 now_nanos)
{
	struct ready *r = bpf_map_lookup_elem(&readies, &number);

	if (!r || r->hash != h || (__s64)(r->until_nanos - now_nanos) <= 0 || r->max_digits != digits)
		return 0;
	return r;
}

/*
 * ready_of() returns the answer to the request with the hash h, which has yet to be compared, and its number. One that says how many
 * requests may follow lies elsewhere for each number of digits: so many places behind.
 */
static __always_inline struct ready *ready_of(__u32 queue, __u64 h, __u32 digits, __u64 now_nanos, __u32 *number)
{
	struct ready *r;

	*number = queue * ANSWERS + ((h + digits) & (ANSWERS - 1));
	r = ready_at(*number, h, digits, now_nanos);
	if (r || !digits)
		return r;
	*number = queue * ANSWERS + (h & (ANSWERS - 1));
	return ready_at(*number, h, 0, now_nanos);
}

#define MAX_DIGITS 5

/*
 * left_of() returns how many requests may come behind the next one on a connection that may carry most and has carried served, and
 * from bit 16 on how many digits that number has; nothing if the next one is the last. It and decimal() are functions of their own
 * because the verifier would follow each number of digits to the end.
 */
__noinline __u32 left_of(__u32 most, __u32 served)
{
	__u32 left = most - served;

	if (most == ANY_NUMBER)
		return ANY_NUMBER;
	if (served >= most)
		return 0;
	return left | (1 + (left > 9) + (left > 99) + (left > 999) + (left > 9999)) << 16;
}

/* decimal() returns the last digits of n, below 65536, as text: the first one is the lowest octet. */
__noinline __u64 decimal(__u32 n, __u32 digits)
{
	__u64 text = 0;
	__u32 i;

#pragma unroll
	for (i = 0; i < MAX_DIGITS; i++) {
		__u32 tenth = n * 0xcccd >> 19;

		if (i < digits)
			text = text << 8 | ('0' + n - 10 * tenth);
		n = tenth;
	}
	return text;
}

/* The sum of a text by itself is this one as part of a payload, from an offset on. */
static __always_inline __u16 sum_at(__u16 sum, __u32 offset)
{
	return offset & 1 ? (__u16)(sum << 8 | sum >> 8) : sum;
}

/* Reports whether len octets at p are those of r. len is at least 8. */
static __always_inline int asked_equals(const void *p, const void *end, const struct ready *r, __u32 len)
{
	const __u8 *q = p;
	__u32 i, last = len - 8;

	for (i = 0; i < MAX_ASKED / 8; i++) {
		const word *w = (const void *)q, *v = (const void *)&r->asked[8 * i];

		if (8 * i >= last)
			break;
		if ((void *)(w + 2) > end)
			return 0;
		if (w[0] != v[0] || w[1] != v[1])
			return 0;
		q += 8;
	}
	if (last > MAX_ASKED - 8)
		return 0;
	{
		const word *w = p + last, *v = (const void *)&r->asked[last];

		if ((void *)(w + 2) > end)
			return 0;
		return w[0] == v[0] && w[1] == v[1];
	}
}

/*
 * try_answer() turns a request of the flow with this hash into its answer and returns 1, or leaves it as it was and returns 0.
 * The frame was parsed as p. -1: it is spoiled, and to be dropped: the client asks again. It has a stack frame of its own, so that
 * there is room for both this and syn_answer(); inline, it is no faster.
 */
static __noinline int try_answer(struct xdp_md *ctx, const struct packet *p, __u64 hash, __u64 now_nanos)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	__u32 queue = ctx->rx_queue_index, tcp_at = tcp_offset(p);
	__u32 at = p->payload_off, len = p->payload_len, header_len, served, left, number, date;
	struct answer_mark *mark;
	struct tcphdr *tcp = data + tcp_at;
	struct ethhdr *eth = data;
	struct date_texts *d;
	struct said said = {};
	struct ready *r;
	struct lent *l;
	__u8 mac[6];
	__u64 sum, h;
	__u16 window;
	int i;

	if (len < 32 || len > MAX_ASKED || (p->flags | TCP_PSH) != (TCP_ACK | TCP_PSH))
		return 0;
	l = lent_of(ctx, p, hash);
	if (!l)
		return 0;
	header_len = lent_header_len(l);
	if (at != tcp_at + header_len || at > 86)
		return 0;
	asm volatile("" : "+r"(at));
	if (at > 86)
		return 0;

	/* Which answer. */
	served = l->served + l->answered;
	left = left_of(l->most, served);
	if (!left)
		return 0;
	h = asked_hash(&p->flow.local, data + at, data_end, len);
	r = ready_of(queue, h, left >> 16, now_nanos, &number);
	if (!r || r->asked_len != len || r->len > l->room || r->most != l->most)
		return 0;
	if (!asked_equals(data + at, data_end, r, len))
		return 0;
	for (i = 0; i < 4; i++)
		if (((word *)&r->local)[i] != ((word *)&p->flow.local)[i])
			return 0;
	if (!segment_read(data, data_end, p, header_len, r->asked_sum, &said) || ((__u32)said.window << (l->peer_scale & 15)) < r->len)
		return 0;
	d = bpf_map_lookup_elem(&dates, &queue);
	if (!d || (void *)tcp + 32 > data_end) /* as there are at least 32 octets behind the header, it is there */
		return 0;

	/* The connection is taken now. */
	if (!lent_take(l, p, hash, header_len, &said))
		return 0;
	if (r->len > l->room || r->most != l->most || l->served + l->answered != served || l->answered == 0x7fff) {
		lent_release(l);
		return 0;
	}
	if (header_len == 32) {
		word *t = (word *)(tcp + 1);

		l->ts_recent = said.tsval;
		t[2] = t[1];
		t[1] = bpf_htonl((__u32)(now_nanos / 1000000) + l->ts_offset);
	}
	l->rcv_nxt += len;
	l->snd_nxt += r->len;
	l->peer_window = said.window;
	l->answer = number & (ANSWERS - 1);
	if (!l->answered && !l->acked)
		l->first_nanos = now_nanos;
	l->answered++;
	l->last_nanos = now_nanos;
	l->acked = 0;
	window = l->window;
	date = *(volatile __u64 *)&d->current & (DATES - 1);
	l->with = (l->with & LENT_TIMESTAMPS) | date << LENT_DATE_SHIFT;
	lent_release(l);
	r->given++;

	/* The headers. */
	tcp->source = p->flow.local_port_be;
	tcp->dest = p->flow.remote_port_be;
	tcp->seq = bpf_htonl(p->ack);
	tcp->ack_seq = bpf_htonl(p->seq + len);
	((__u8 *)tcp)[12] = header_len / 4 << 4;
	((__u8 *)tcp)[13] = TCP_ACK | TCP_PSH;
	tcp->window = bpf_htons(window);
	tcp->urg_ptr = 0;
	tcp->check = 0;
	sum = pseudo_sum(p, header_len + r->len);
	if (said.partial) {
		tcp->check = fold(sum);
	} else {
		sum = sum_words(tcp, sizeof(*tcp), sum + r->sum + sum_at(d->all[date].sum, r->date_at));
		if (r->max_digits)
			sum += sum_at(fold(decimal(left & 0xffff, r->max_digits)), r->max_at);
		if (header_len == 32)
			sum = sum_words(tcp + 1, 12, sum);
		tcp->check = ~fold(sum);
	}
	__builtin_memcpy(mac, eth->h_source, 6);
	__builtin_memcpy(eth->h_source, eth->h_dest, 6);
	__builtin_memcpy(eth->h_dest, mac, 6);
	if (p->is_ipv4)
		write_ipv4((void *)(eth + 1), p, header_len + r->len);
	else
		write_ipv6((void *)(eth + 1), p, header_len + r->len);

	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*mark)))
		return -1;
	mark = (void *)(long)ctx->data_meta;
	if ((void *)(mark + 1) > (void *)(long)ctx->data)
		return -1;
	mark->mark = bounce_mark + 1;
	mark->ready = number;
	mark->left = left;
	mark->date = date;
	mark->at = at;
	return 1;
}

/* put_answer() makes a packet whose headers try_answer() has written whole. Not 0: it is spoiled. */
static __always_inline int put_answer(struct __sk_buff *skb, const struct answer_mark *mark)
{
	__u32 number = mark->ready, queue = number / ANSWERS, date = mark->date & (DATES - 1), at = mark->at, len, digits;
	const struct ready *r = bpf_map_lookup_elem(&readies, &number);
	const struct date_texts *d = bpf_map_lookup_elem(&dates, &queue);

	if (!r || !d)
		return 1;
	len = r->len;
	digits = r->max_digits;
	asm volatile("" : "+r"(len), "+r"(digits)); /* one copy of each, for the verifier */
	if (len < DATE_LEN || len > MAX_ANSWER || digits > MAX_DIGITS)
		return 1;
	if (bpf_skb_change_tail(skb, at + len, 0))
		return 1;
	if (bpf_skb_store_bytes(skb, at, r->octets, len, 0))
		return 1;
	if (digits) {
		__u64 text = decimal(mark->left, digits);

		if (bpf_skb_store_bytes(skb, at + r->max_at, &text, digits, 0))
			return 1;
	}
	return bpf_skb_store_bytes(skb, at + r->date_at, d->all[date].text, DATE_LEN, 0);
}

#endif
