/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Where hardly any new connection turns out to be ours, most are left to the kernel from their SYN on: that spares the server
 * behind the hand-overs. User space says so, for a short time at once (struct ring_load), and goes on to see a sample.
 *
 * A client that sends its SYN again must not get answers from two ends, with two initial sequence numbers: it takes the one, and
 * the other end resets it. So the sample is chosen by what a SYN that is sent again has in common with the first, which are its
 * flow and its sequence number; that also makes it another one for each connection of a client. And which SYNs were not left is
 * noted, from some seconds before any is: such a one is not left later. The other way round the kernel's socket table knows.
 */
#ifndef XHTTPD_LEAVE_H
#define XHTTPD_LEAVE_H

#include "crowd.h"

#define NOTED_BUCKETS 8192 /* a power of two */
#define NOTED_WAYS 8

/* The SYNs that were not left: a part of the hash of each, the newest first. */
struct noted_bucket {
	__u32 hashes[NOTED_WAYS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NOTED_BUCKETS);
	__type(key, __u32);
	__type(value, struct noted_bucket);
} noted_syns SEC(".maps");

/* syn_is_left() reports whether the SYN p is left to the kernel. While the ring is crowded, none is. */
static __noinline int syn_is_left(const struct ring_load *load, const struct packet *p, int is_crowded, __u64 now_nanos)
{
	struct noted_bucket *bucket;
	__u64 hash;
	__u32 index;
	int i;

	if (now_nanos >= *(const volatile __u64 *)&load->note_until)
		return 0;
	hash = flow_hash(&p->flow, p->seq);
	index = hash >> 16 & (NOTED_BUCKETS - 1);
	bucket = bpf_map_lookup_elem(&noted_syns, &index);
	if (!bucket) /* cannot be; the verifier does not know */
		return 0;
#pragma unroll
	for (i = 0; i < NOTED_WAYS; i++)
		if (bucket->hashes[i] == hash >> 32)
			return 0;
	if (hash & *(const volatile __u64 *)&load->sample_mask && !is_crowded && now_nanos < *(const volatile __u64 *)&load->leave_until)
		return 1;
#pragma unroll
	for (i = NOTED_WAYS - 1; i > 0; i--)
		bucket->hashes[i] = bucket->hashes[i - 1];
	bucket->hashes[0] = hash >> 32;
	return 0;
}

#endif
