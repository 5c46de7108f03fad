/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* How an XDP program in generic mode knows a frame that was injected: by its source address.
 *
 * Generic XDP runs on what bpf_redirect(BPF_F_INGRESS) brings back, too (native XDP does not), and cannot see
 * the mark. Without this it would give the frame to user space, which would inject it, and so on for ever.
 * The address need not be secret: who forges it is passed to the kernel, as without xhttpd. */
#ifndef XHTTPD_INJECTED_H
#define XHTTPD_INJECTED_H

#include <linux/if_ether.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* Locally administered, then "xhttp". */
#define INJECTED_SOURCE { 0x02, 'x', 'h', 't', 't', 'p' }

/* The caller has checked the bounds of *eth. By words: clang 14 calls a memcmp that BPF does not have. */
static __always_inline int is_injected(const struct ethhdr *eth)
{
	const __u16 *source = (const void *)eth->h_source;

	return source[0] == bpf_htons(0x0278) && source[1] == bpf_htons(0x6874) && source[2] == bpf_htons(0x7470);
}

#endif
