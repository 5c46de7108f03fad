/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Three programs that move a connection from user space into an unmodified server's accept queue:
 *
 *   inject  tcx egress:  a frame with our mark is turned round and received by the same interface
 *   assign  tcx ingress: the one segment that a record waits for becomes a socket of the listener
 *   verify  test run:    says whether the socket exists, or has existed
 *
 * No octet of a packet is changed, but for the source address of an injected frame (xdp/bpf/injected.h). Where assign is
 * unsure, it passes. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>
#include <stddef.h>

#include <bpf/bpf_helpers.h>

#include "../../xdp/bpf/packet.h"
#include "../../xdp/bpf/injected.h"
#include "socket.h"
#include "types.h"

char _license[] SEC("license") = "Dual MIT/GPL";

/* TCX_NEXT and TCX_DROP of <linux/bpf.h>, which older headers lack. NEXT, not PASS: others' programs on the
 * interface see every packet too. */
#define NEXT TC_ACT_UNSPEC
#define DROP TC_ACT_SHOT

#define NSEC_PER_MSEC 1000000

/* Settings. A listener's address of zeroes means the packet's own destination, a port of 0 likewise: the
 * ordinary case of a server on *:80. */
const volatile __u32 injection_mark = 0;
const volatile __u8 listener4_addr[16] = {};
const volatile __u8 listener6_addr[16] = {};
const volatile __be16 listener4_port = 0;
const volatile __be16 listener6_port = 0;

/* Not an LRU: that would evict a hand-over under way to make room for another, and its client would see a
 * connection die for no reason. When this is full, the update fails in user space, which then knows. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536); /* Config.Records */
	__type(key, struct flow);
	__type(value, struct record);
} records SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, NUM_VERDICTS);
	__type(key, enum verdict); /* so that the names reach Go */
	__type(value, __u64);
} counters SEC(".maps");

static __always_inline int leave(enum verdict why, int action)
{
	__u64 *n = bpf_map_lookup_elem(&counters, &why);
	if (n)
		(*n)++;
	return action;
}

SEC("tcx/egress")
int inject(struct __sk_buff *skb)
{
	if (!injection_mark || skb->mark != injection_mark)
		return leave(NOT_MARKED, NEXT);

	static const __u8 source[ETH_ALEN] = INJECTED_SOURCE;
	bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_source), source, sizeof(source), 0);
	skb->mark = 0; /* a received packet has none; routing rules and firewalls look at it */
	leave(INJECTED, 0);
	return bpf_redirect(skb->ifindex, BPF_F_INGRESS);
}

static __always_inline bool read_packet(struct __sk_buff *skb, struct packet *p)
{
	__u32 need = sizeof(struct ethhdr) + sizeof(struct ipv6hdr) + sizeof(struct tcphdr);

	if (skb->vlan_present)
		return false;
	/* A frame of a page or more comes from AF_PACKET with its Ethernet header alone in linear memory. */
	if (need > skb->len)
		need = skb->len;
	if ((void *)(long)skb->data + need > (void *)(long)skb->data_end)
		bpf_skb_pull_data(skb, need);
	return packet_parse((void *)(long)skb->data, (void *)(long)skb->data_end, skb->len, p) == PACKET_OK;
}

static __always_inline bool is_v4(const struct addr *a)
{
	const __u32 *words = (const __u32 *)a->octets;

	return words[0] == 0 && words[1] == 0 && words[2] == bpf_htonl(0xffff);
}

/* Changes the flow of a segment to the one that meets the listener. Says whether that is another, so that the
 * listener must be looked up anew. */
static __always_inline bool to_listener(struct flow *f, bool v4)
{
	const volatile __u8 *addr = v4 ? listener4_addr : listener6_addr;
	__be16 port = v4 ? listener4_port : listener6_port;
	bool other = false;
	__u8 any = 0;

	if (port && port != f->local_port_be) {
		f->local_port_be = port;
		other = true;
	}
	for (int i = 0; i < 16; i++)
		any |= addr[i];
	if (any) {
		for (int i = 0; i < 16; i++)
			f->local.octets[i] = addr[i];
		other = true;
	}
	if (other)
		f->remote_port_be = 0; /* the client may have a connection to the listener's own port: not that one */
	return other;
}

/* Makes a socket of the listener out of the segment. Says what became of it. */
static __always_inline enum verdict assign_to(struct __sk_buff *skb, struct bpf_sock *listener, struct record *r)
{
	struct sock *sk = (struct sock *)bpf_skc_to_tcp_sock(listener);
	if (!sk)
		return NO_LISTENER;

	struct bpf_tcp_req_attrs attrs = {
		.mss = r->mss,
		.rcv_wscale = r->rcv_wscale,
		.snd_wscale = r->snd_wscale,
		.ecn_ok = r->ecn_ok,
		.wscale_ok = r->wscale_ok,
		.sack_ok = r->sack_ok,
		.tstamp_ok = r->tstamp_ok,
	};
	if (r->tstamp_ok) {
		/* The kernel takes its offset from rcv_tsecr - now. TSval must never step back (RFC 7323, 5.3). */
		attrs.rcv_tsval = r->ts_recent;
		attrs.rcv_tsecr = (__u32)(bpf_ktime_get_ns() / NSEC_PER_MSEC) + r->ts_offset;
	}
	bool full = accept_queue_full(sk);
	if (bpf_sk_assign_tcp_reqsk(skb, sk, &attrs, sizeof(attrs)))
		return ASSIGN_REFUSED;
	if (full)
		return QUEUE_FULL; /* dropped in the listener, and counted there as ListenOverflows */
	r->state = RECORD_SPENT;
	return ASSIGNED;
}

static __always_inline bool is_listener(const struct bpf_sock *sk)
{
	return sk->state == BPF_TCP_LISTEN;
}

SEC("tcx/ingress")
int assign(struct __sk_buff *skb)
{
	struct packet p;
	if (!read_packet(skb, &p))
		return leave(FOREIGN, NEXT);

	struct record *r = bpf_map_lookup_elem(&records, &p.flow);
	if (!r)
		return leave(NO_RECORD, NEXT);
	if (bpf_ktime_get_ns() >= r->expires) {
		bpf_map_delete_elem(&records, &p.flow);
		return leave(EXPIRED, NEXT);
	}

	/* The first sight of the socket ends the record, whatever the segment is. */
	struct bpf_sock *sk = flow_lookup(skb, &p.flow, p.is_ipv4);
	if (sk && !is_listener(sk)) {
		bpf_sk_release(sk);
		bpf_map_delete_elem(&records, &p.flow);
		return leave(ESTABLISHED, NEXT);
	}

	enum verdict v;
	int action = DROP;
	if ((p.flags & (TCP_ACK | TCP_SYN | TCP_RST)) != TCP_ACK) {
		v = NOT_ASSIGNABLE;
		action = NEXT;
	} else if (p.seq != r->seq || p.ack != r->ack) {
		v = OUT_OF_ORDER;
	} else if (r->state != RECORD_ARMED) {
		v = SPENT;
	} else {
		if (to_listener(&p.flow, p.is_ipv4)) {
			if (sk)
				bpf_sk_release(sk);
			sk = flow_lookup(skb, &p.flow, p.is_ipv4);
		}
		v = sk && is_listener(sk) ? assign_to(skb, sk, r) : NO_LISTENER;
		if (v != ASSIGN_REFUSED)
			action = NEXT;
	}
	if (sk)
		bpf_sk_release(sk);
	return leave(v, action);
}

/* Run by BPF_PROG_TEST_RUN, in the network namespace of the calling thread. The data are an Ethernet header of
 * zeroes and a struct flow for which user space has put a record. Returns 1 if the kernel has a socket for the
 * flow (a listener is none), and ends the record; 1 as well if the record is gone, for then assign has seen the
 * socket, which may have lived and died since; otherwise 0. */
SEC("tc")
int verify(struct __sk_buff *skb)
{
	struct flow f;
	if (bpf_skb_load_bytes(skb, sizeof(struct ethhdr), &f, sizeof(f)))
		return 0;
	struct bpf_sock *sk = flow_lookup(skb, &f, is_v4(&f.remote));
	bool taken = sk && !is_listener(sk);
	if (sk)
		bpf_sk_release(sk);
	if (taken)
		bpf_map_delete_elem(&records, &f);
	return taken || !bpf_map_lookup_elem(&records, &f);
}
