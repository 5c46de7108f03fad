/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the hand-over needs of the kernel and the UAPI headers lack. */
#ifndef REDIRECT_SOCKET_H
#define REDIRECT_SOCKET_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

/* Of the kernel's struct sock, what is read here; CO-RE finds the offsets. */
struct sock {
	__u32 sk_ack_backlog;
	__u32 sk_max_ack_backlog;
} __attribute__((preserve_access_index));

/* Neither of these is in the UAPI headers: they are the kernel's (net/core/filter.c), since Linux 6.9. */
struct bpf_tcp_req_attrs {
	__u32 rcv_tsval;
	__u32 rcv_tsecr;
	__u16 mss;
	__u8 rcv_wscale;
	__u8 snd_wscale;
	__u8 ecn_ok;
	__u8 wscale_ok;
	__u8 sack_ok;
	__u8 tstamp_ok;
	__u8 usec_ts_ok;
	__u8 reserved[3];
};

extern int bpf_sk_assign_tcp_reqsk(struct __sk_buff *skb, struct sock *sk,
				   struct bpf_tcp_req_attrs *attrs, int attrs__sz) __ksym;

/* sk_acceptq_is_full() of include/net/sock.h. */
static __always_inline bool accept_queue_full(struct sock *sk)
{
	return sk->sk_ack_backlog > sk->sk_max_ack_backlog;
}

#endif
