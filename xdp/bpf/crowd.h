/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * When more comes than user space keeps up with, the ring is for the connections that it knows. Of what is unknown, only so much
 * may wait there at a time; the rest is decided here, so that a flood does not push well-behaved packets out of the ring.
 *
 * Nobody tells the program how full the ring is. It counts what it has put in, user space what it has taken out.
 */
#ifndef XHTTPD_CROWD_H
#define XHTTPD_CROWD_H

#include "ours.h"
#include "packet.h"

/* For each receive queue; a cache line for each writer. */
struct ring_load {
	__u64 given; /* by this program only, which runs once at a time for a queue */
	__u64 reserved[7];
	__u64 taken; /* by user space only, which makes it equal to given when it finds the ring empty */
	__u64 note_until;  /* by user space only, CLOCK_MONOTONIC: see leave.h */
	__u64 leave_until; /* likewise */
	__u64 sample_mask; /* likewise: one in a power of two is not left, whose hash has none of these bits */
	__u64 reserved2[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* set to the interface's queues before loading */
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct ring_load);
} ring_loads SEC(".maps");

/* How many packets may wait in a ring for another one of an unknown connection to come in: SYNs, which have somebody else to
 * answer them, and others. */
const volatile __s64 crowded_for_syns = 256;
const volatile __s64 crowded_for_others = 512;

/* How many packets wait in a ring, more or less. Negative when some were on their way while user space looked. */
static __always_inline __s64 ring_waiting(const struct ring_load *load)
{
	return *(const volatile __u64 *)&load->given - *(const volatile __u64 *)&load->taken;
}

/* The secret of the cookies, tcpstate's. */
const volatile __u64 cookie_key0 = 0;
const volatile __u64 cookie_key1 = 0;

/* As in tcpstate/cookie.go. */
#define COOKIE_PERIOD_NANOS 64000000000ULL
#define COOKIE_SHIFT 26
#define COOKIE_LOW ((1U << COOKIE_SHIFT) - 1)
#define COOKIE_MAX_AGE 2
#define COOKIE_MAX_DATA (1U << 7)
#define COOKIE_F1 1ULL
#define COOKIE_F2 2ULL

/* cookie_hash() is internal/wire's Key.Hash with the key of the cookies: SipHash-2-4 of 56 octets. Not static: so the verifier
 * looks at it only once. */
__noinline __u64 cookie_hash(const struct flow *f, __u64 a, __u64 b)
{
	struct sip s;

	if (!f)
		return 0;
	sip_start(&s, cookie_key0, cookie_key1);
	sip_word2(&s, octets8(&f->local.octets[0]));
	sip_word2(&s, octets8(&f->local.octets[8]));
	sip_word2(&s, octets8(&f->remote.octets[0]));
	sip_word2(&s, octets8(&f->remote.octets[8]));
	sip_word2(&s, flow_ports(f));
	sip_word2(&s, a);
	sip_word2(&s, b);
	sip_word2(&s, 56ULL << 56);
	s.v2 ^= 0xff;
	sip_round(&s);
	sip_round(&s);
	sip_round(&s);
	sip_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

/*
 * cookie_is_valid() reports whether a segment acknowledges a SYN/ACK that was sent for the SYN right before it: the first
 * segment of a connection does. It is tcpstate's Listener.check, but for the echoed timestamp, which that looks at.
 */
static __always_inline int cookie_is_valid(const struct packet *p, __u64 now_nanos)
{
	__u64 count = now_nanos / COOKIE_PERIOD_NANOS;
	__u32 x, age, data;

	x = p->ack - 1 - (__u32)cookie_hash(&p->flow, COOKIE_F1, 0);
	age = (count - (x >> COOKIE_SHIFT)) & ((1U << (32 - COOKIE_SHIFT)) - 1);
	if (age > COOKIE_MAX_AGE)
		return 0;
	data = (x - (__u32)cookie_hash(&p->flow, COOKIE_F2 | (__u64)(p->seq - 1) << 32, count - age)) & COOKIE_LOW;
	return data <= COOKIE_MAX_DATA;
}

#endif
