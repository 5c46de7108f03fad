/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The table of the flows that user space holds, which it writes through shared memory: a keyed hash for each. Who is in it needs
 * no question to the kernel's socket table. Who is not, may be ours all the same: a bucket may have been full.
 */
#ifndef XHTTPD_OURS_H
#define XHTTPD_OURS_H

#include "packet.h"

#define OURS_WAYS 8 /* 64 octets: a cache line */

struct ours_bucket {
	__u64 hashes[OURS_WAYS]; /* 0: free */
};

/* The secret of the hash: nobody can aim for a bucket, or for the entry of another. */
const volatile __u64 ours_key0 = 0;
const volatile __u64 ours_key1 = 0;
const volatile __u32 ours_mask = 0; /* buckets - 1, a power of two less one */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* set before loading */
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct ours_bucket);
} ours SEC(".maps");

struct sip {
	__u64 v0, v1, v2, v3;
};

static __always_inline __u64 rotate_left(__u64 x, int n)
{
	return x << n | x >> (64 - n);
}

static __always_inline void sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v2 += s->v3;
	s->v1 = rotate_left(s->v1, 13) ^ s->v0;
	s->v3 = rotate_left(s->v3, 16) ^ s->v2;
	s->v0 = rotate_left(s->v0, 32);
	s->v2 += s->v1;
	s->v0 += s->v3;
	s->v1 = rotate_left(s->v1, 17) ^ s->v2;
	s->v3 = rotate_left(s->v3, 21) ^ s->v0;
	s->v2 = rotate_left(s->v2, 32);
}

static __always_inline void sip_word(struct sip *s, __u64 m)
{
	s->v3 ^= m;
	sip_round(s);
	s->v0 ^= m;
}

static __always_inline void sip_word2(struct sip *s, __u64 m)
{
	s->v3 ^= m;
	sip_round(s);
	sip_round(s);
	s->v0 ^= m;
}

static __always_inline void sip_start(struct sip *s, __u64 k0, __u64 k1)
{
	s->v0 = k0 ^ 0x736f6d6570736575;
	s->v1 = k1 ^ 0x646f72616e646f6d;
	s->v2 = k0 ^ 0x6c7967656e657261;
	s->v3 = k1 ^ 0x7465646279746573;
}

/* struct flow is aligned to 4 octets only. */
static __always_inline __u64 octets8(const void *p)
{
	const __u32 *halves = p;

	return (__u64)halves[1] << 32 | halves[0];
}

static __always_inline __u64 flow_ports(const struct flow *f)
{
	return (__u64)bpf_ntohs(f->local_port_be) << 16 | bpf_ntohs(f->remote_port_be);
}

/*
 * flow_hash() is internal/wire's Key.Short: SipHash-1-3 of 40 octets, of which the last four are 0 there. SipHash-2-4 would cost
 * some 25 ns more.
 */
static __always_inline __u64 flow_hash(const struct flow *f, __u32 more)
{
	struct sip s;

	sip_start(&s, ours_key0, ours_key1);
	sip_word(&s, octets8(&f->local.octets[0]));
	sip_word(&s, octets8(&f->local.octets[8]));
	sip_word(&s, octets8(&f->remote.octets[0]));
	sip_word(&s, octets8(&f->remote.octets[8]));
	sip_word(&s, (__u64)more << 32 | flow_ports(f));
	sip_word(&s, 40ULL << 56);
	s.v2 ^= 0xff;
	sip_round(&s);
	sip_round(&s);
	sip_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

/* ours_bucket_of() returns where the flow may stand, or NULL, and the hash that stands for it. */
static __always_inline struct ours_bucket *ours_bucket_of(const struct flow *f, __u64 *hash)
{
	__u32 index;

	*hash = flow_hash(f, 0);
	index = *hash & ours_mask;
	if (*hash == 0)
		*hash = 1;
	return bpf_map_lookup_elem(&ours, &index); /* never NULL; the verifier does not know */
}

/* flow_is_ours() returns the hash of a flow that user space holds, else 0. */
static __always_inline __u64 flow_is_ours(const struct flow *f)
{
	__u64 hash;
	struct ours_bucket *bucket = ours_bucket_of(f, &hash);
	int i;

	if (!bucket)
		return 0;
#pragma unroll
	for (i = 0; i < OURS_WAYS; i++)
		if (*(volatile __u64 *)&bucket->hashes[i] == hash) /* user space writes it */
			return hash;
	return 0;
}

/*
 * ours_forget() takes the flow out: the kernel may get a socket for it now. If user space enters another flow in its place
 * meanwhile, that one is lost, which only makes it slower.
 */
static __noinline void ours_forget(const struct flow *f)
{
	__u64 hash;
	struct ours_bucket *bucket = ours_bucket_of(f, &hash);
	int i;

	if (!bucket)
		return;
#pragma unroll
	for (i = 0; i < OURS_WAYS; i++)
		if (*(volatile __u64 *)&bucket->hashes[i] == hash)
			*(volatile __u64 *)&bucket->hashes[i] = 0;
}

#endif
