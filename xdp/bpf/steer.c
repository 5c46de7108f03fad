/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * steer: TCP segments to a served address and port go to the AF_XDP socket of their receive queue, unless the kernel owns
 * the connection. So do the ICMP errors by which a router says that a segment of such a connection was too big: nobody else
 * can use them. Everything else, and every doubt, is passed to the kernel. No octet is touched.
 *
 * Requests of connections that user space has lent may be answered here (answer.h): bounce sends the answers. So are bare
 * acknowledgments of these taken in (lent.h).
 *
 * When user space does not keep up, segments of no connection are dropped, and SYNs are answered here: bounce sends them back.
 * When hardly any new connection is for user space, most are left to the kernel (leave.h).
 *
 * The order of the questions is that of their price: the packet itself, the settings, the heartbeat, the table of the flows
 * that are ours, and last the kernel's socket table, which costs as much as all the others together.
 *
 * With a large MTU a packet may lie in several buffers. The headers are in the first one, or the packet is too short for this
 * program; the socket gets it as a whole, if it fits one of its frames.
 */
#include "answer.h"
#include "icmp.h"
#include "injected.h"
#include "leave.h"
#include "ours.h"
#include "packet.h"
#include "synack.h"

#include <linux/pkt_cls.h>

#define SECOND_NANOS 1000000000LL

/* A daemon that has not beaten for so long gets no new connections; then no segment at all. */
#define STALE_SYN_NANOS (1 * SECOND_NANOS)
#define STALE_ALL_NANOS (5 * SECOND_NANOS)

#define MAX_ADDRESSES 4096

/* Why a packet left the program as it did. The first are packet_parse()'s, by its numbers. */
enum reason {
	REASON_REDIRECTED = PACKET_OK,
	REASON_TOO_SHORT = PACKET_TOO_SHORT,
	REASON_NOT_UNICAST = PACKET_NOT_UNICAST,
	REASON_VLAN = PACKET_VLAN,
	REASON_NOT_IP = PACKET_NOT_IP,
	REASON_IP_HEADER = PACKET_IP_HEADER,
	REASON_IP_OPTIONS = PACKET_IP_OPTIONS,
	REASON_FRAGMENT = PACKET_FRAGMENT,
	REASON_NOT_TCP = PACKET_NOT_TCP,
	REASON_BAD_ADDRESS = PACKET_BAD_ADDRESS,
	REASON_TCP_HEADER = PACKET_TCP_HEADER,
	REASON_BAD_QUOTE = PACKET_BAD_QUOTE,
	REASON_OTHER_PORT = PACKET_PROBLEMS,
	REASON_OTHER_ADDRESS,
	REASON_ODD_FLAGS,
	REASON_STALE_SYN, /* no heartbeat for a second: no new connections */
	REASON_STALE,     /* no heartbeat for five seconds: nothing */
	REASON_DRAINING,  /* a SYN while the daemon is ending */
	REASON_INJECTED,  /* user space has given it to the kernel; seen in generic mode only */
	REASON_KERNEL,    /* the kernel has a socket for the connection */
	REASON_NO_SOCKET, /* no AF_XDP socket for the receive queue */
	REASON_TOO_BIG,   /* redirected as well: a router's answer to a segment of ours */
	REASON_OURS,      /* redirected as well, the kernel was not asked: user space holds the connection */
	/* When a ring is crowded: */
	REASON_CROWD_SYN,    /* answered: turned into a SYN/ACK, for bounce */
	REASON_CROWD_ODD_SYN, /* one that the kernel has to answer */
	REASON_CROWD_COOKIE, /* redirected as well: the first segment of a connection */
	REASON_CROWD_HELLO,  /* dropped: a bare ACK or RST of no known connection, which nobody misses */
	REASON_CROWD_STRAY,  /* dropped: octets or a FIN of no known connection; a SYN whose frame cannot become the answer */
	REASON_CROWD_TOO_BIG, /* a router's answer about no known connection; the kernel ignores it */
	/*
	 * Dropped: fits no frame of the socket. No peer's segment is so long that keeps to the MSS that it was told (RFC 9293, 3.7.1),
	 * so it was merged by an offload: its segments come again, one by one. The kernel would answer it with a RST.
	 */
	REASON_OVERSIZED,
	REASON_ANSWERED, /* turned into the answer to a request, for bounce */
	REASON_SPOILED,  /* dropped: that could not be done */
	REASON_LEFT,     /* a SYN that user space does not want: hardly any connection is ours (leave.h) */
	REASON_ACKNOWLEDGED, /* dropped: a bare ACK on a connection that is lent, which was taken in */
	REASONS,             /* how many there are */
};

/* Written by user space only. */
struct heartbeat {
	__u64 beat_nanos; /* CLOCK_MONOTONIC */
	__u32 draining;   /* not 0: no new connections */
	__u32 reserved;
};

/* Settings, written before the program is loaded. */
const volatile __u16 served_port_be = 0;
const volatile __u32 longest_frame = 0; /* that the sockets take, octets */
const volatile __u8 several_buffers = 0; /* may hold a packet: the program is loaded with BPF_F_XDP_HAS_FRAGS */

/* Addresses that are served: those of the interface, or those that the user names. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_ADDRESSES);
	__type(key, struct addr);
	__type(value, __u8);
} addresses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct heartbeat);
} heartbeats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, REASONS);
	__type(key, enum reason); /* also makes bpf2go see the type */
	__type(value, __u64);
} counters SEC(".maps");

/* The AF_XDP sockets by receive queue. max_entries is set to the interface's queues before loading. */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} xsks SEC(".maps");

/*
 * A SYN must be nothing but that. Other segments carry ACK, except for RST: a client whose socket is gone answers our data
 * with a RST without ACK (RFC 9293, 3.10.7.1), and only user space knows that connection.
 */
static __always_inline int flags_are_odd(__u8 flags)
{
	if (flags & TCP_SYN)
		return flags & (TCP_FIN | TCP_RST | TCP_ACK);
	if (flags & TCP_RST)
		return flags & TCP_FIN;
	return !(flags & TCP_ACK);
}

static __always_inline enum reason check_heartbeat(int is_syn, __u64 now_nanos)
{
	__u32 zero = 0;
	const struct heartbeat *h = bpf_map_lookup_elem(&heartbeats, &zero);
	__s64 age;

	if (!h) /* cannot be; the verifier does not know */
		return REASON_STALE;
	age = now_nanos - h->beat_nanos; /* signed: the beat may be newer than the clock as read here */
	if (age > STALE_ALL_NANOS)
		return REASON_STALE;
	if (is_syn && age > STALE_SYN_NANOS)
		return REASON_STALE_SYN;
	if (is_syn && h->draining)
		return REASON_DRAINING;
	return REASON_REDIRECTED;
}

/*
 * The kernel's socket table says who owns a connection, not a map of ours: it knows those that are older than the daemon,
 * and forgets when it should. The table of what is ours (ours.h) only spares the question; user space takes a flow out of it
 * before the kernel can get a socket for it. A SYN for a socket in TIME-WAIT is the kernel's as well.
 */
static __always_inline int kernel_owns(struct xdp_md *ctx, const struct packet *p)
{
	struct bpf_sock *sk = flow_lookup(ctx, &p->flow, p->is_ipv4);
	__u32 state;

	if (!sk)
		return 0;
	state = sk->state;
	bpf_sk_release(sk);
	return state != BPF_TCP_LISTEN;
}

/* Says what becomes of a segment of an unknown connection while the ring is crowded for SYNs. */
static __always_inline enum reason decide_crowded(struct xdp_md *ctx, const struct packet *p, __s64 waiting, __u64 now_nanos)
{
	if (p->flags & TCP_SYN) {
		switch (syn_answer(ctx, p, now_nanos)) {
		case 0:
			return REASON_CROWD_SYN;
		case 1:
			return REASON_CROWD_ODD_SYN;
		}
		return REASON_CROWD_STRAY;
	}
	if (waiting <= crowded_for_others)
		return REASON_REDIRECTED;
	if (p->flags & TCP_RST || (p->payload_len == 0 && !(p->flags & TCP_FIN)))
		return REASON_CROWD_HELLO;
	return cookie_is_valid(p, now_nanos) ? REASON_CROWD_COOKIE : REASON_CROWD_STRAY;
}

/* Says whether a packet is one of ours: REASON_REDIRECTED or another of is_redirected(), or why not. */
static __always_inline enum reason decide(struct xdp_md *ctx, const struct ring_load *load)
{
	__u64 now_nanos;
	void *data_end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	__u32 frame_len = several_buffers ? bpf_xdp_get_buff_len(ctx) : data_end - data; /* a call, some ns */
	enum reason ours = REASON_REDIRECTED;
	enum packet_problem problem;
	enum reason reason;
	struct packet p;
	__u64 hash;
	int is_syn = 0, is_crowded;

	problem = packet_parse(data, data_end, frame_len, &p);
	if (problem == PACKET_NOT_TCP) {
		problem = too_big_parse(data, data_end, &p);
		ours = REASON_TOO_BIG;
	}
	if (problem != PACKET_OK)
		return (enum reason)problem;
	if (p.flow.local_port_be != served_port_be)
		return REASON_OTHER_PORT;
	if (!bpf_map_lookup_elem(&addresses, &p.flow.local))
		return REASON_OTHER_ADDRESS;
	if (is_injected(data)) /* packet_parse() has checked its bounds */
		return REASON_INJECTED;
	if (ours == REASON_REDIRECTED) {
		if (flags_are_odd(p.flags))
			return REASON_ODD_FLAGS;
		is_syn = p.flags & TCP_SYN;
	}
	now_nanos = bpf_ktime_get_ns();
	reason = check_heartbeat(is_syn, now_nanos);
	if (reason != REASON_REDIRECTED) {
		if (is_syn)
			ours_forget(&p.flow); /* the kernel answers it, and what comes next is for its socket */
		return reason;
	}
	hash = flow_is_ours(&p.flow);
	if (hash)
		reason = ours == REASON_REDIRECTED ? REASON_OURS : ours;
	else if (kernel_owns(ctx, &p))
		return REASON_KERNEL;
	if (lents_mask && reason == REASON_OURS) {
		int answered;

		if (try_ack(ctx, &p, hash, now_nanos))
			return REASON_ACKNOWLEDGED;
		answered = try_answer(ctx, &p, hash, now_nanos);
		if (answered)
			return answered > 0 ? REASON_ANSWERED : REASON_SPOILED;
	}
	if (frame_len > longest_frame)
		return REASON_OVERSIZED;
	if (reason != REASON_REDIRECTED)
		return reason;
	if (!load)
		return ours;
	is_crowded = ring_waiting(load) > crowded_for_syns;
	if (is_syn && syn_is_left(load, &p, is_crowded, now_nanos))
		return REASON_LEFT;
	if (!is_crowded)
		return ours;
	if (ours == REASON_TOO_BIG)
		return REASON_CROWD_TOO_BIG;
	return decide_crowded(ctx, &p, ring_waiting(load), now_nanos);
}

static __always_inline int is_redirected(enum reason reason)
{
	return reason == REASON_REDIRECTED || reason == REASON_TOO_BIG || reason == REASON_OURS || reason == REASON_CROWD_COOKIE;
}

SEC("xdp")
int steer(struct xdp_md *ctx)
{
	__u32 queue = ctx->rx_queue_index;
	struct ring_load *load = bpf_map_lookup_elem(&ring_loads, &queue);
	enum reason reason = decide(ctx, load);
	int verdict = XDP_PASS;
	__u64 *counter;

	if (is_redirected(reason)) {
		verdict = bpf_redirect_map(&xsks, queue, XDP_PASS);
		if (verdict != XDP_REDIRECT)
			reason = REASON_NO_SOCKET;
		else if (load)
			load->given++;
	} else if (reason == REASON_CROWD_HELLO || reason == REASON_CROWD_STRAY || reason == REASON_OVERSIZED ||
		   reason == REASON_SPOILED || reason == REASON_ACKNOWLEDGED) {
		verdict = XDP_DROP;
	}
	counter = bpf_map_lookup_elem(&counters, &reason);
	if (counter)
		(*counter)++; /* this CPU's own, and a program is not interrupted by itself */
	return verdict;
}

/* bounce: what steer has marked goes back where it came from. It is the first of the programs at tc's ingress. */
SEC("tcx/ingress")
int bounce(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	const __u64 *mark = (void *)(long)skb->data_meta;

	if ((void *)(mark + 1) > data)
		return TC_ACT_UNSPEC; /* TCX_NEXT, which older headers lack */
	if (*mark == bounce_mark + 1) {
		struct answer_mark answer;

		if ((void *)mark + sizeof(answer) > data)
			return TC_ACT_UNSPEC;
		answer = *(const struct answer_mark *)mark;
		if (put_answer(skb, &answer))
			return TC_ACT_SHOT;
	} else if (*mark != bounce_mark) {
		return TC_ACT_UNSPEC;
	}
	return bpf_redirect(skb->ifindex, 0);
}

char _license[] SEC("license") = "Dual MIT/GPL";
