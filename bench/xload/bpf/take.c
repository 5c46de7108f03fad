/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * take: TCP segments from the server under load to the load generator's own addresses and ports go to the AF_XDP socket of their
 * receive queue; everything else is the kernel's. So the kernel never sees, and never resets, connections that it does not
 * know, and connections of its own, even to the same server, go on.
 */
#include "packet.h"

#define MAX_SOURCES 4096

/* Settings, written before the program is loaded. */
const volatile struct addr server = {};
const volatile __u16 server_port_be = 0;
const volatile __u16 first_port = 0, last_port = 0; /* of ours */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_SOURCES);
	__type(key, struct addr);
	__type(value, __u8);
} sources SEC(".maps");

/* The AF_XDP sockets by receive queue. max_entries is set to the interface's queues before loading. */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} xsks SEC(".maps");

static __always_inline int is_server(const struct addr *a)
{
	const __u32 *x = (const __u32 *)a->octets;
	const volatile __u32 *y = (const volatile __u32 *)server.octets;

	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2] && x[3] == y[3];
}

SEC("xdp")
int take(struct xdp_md *ctx)
{
	void *data_end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	struct packet p;
	__u16 port;

	if (packet_parse(data, data_end, data_end - data, &p) != PACKET_OK)
		return XDP_PASS;
	port = bpf_ntohs(p.flow.local_port_be);
	if (p.flow.remote_port_be != server_port_be || port < first_port || port > last_port)
		return XDP_PASS;
	if (!is_server(&p.flow.remote) || !bpf_map_lookup_elem(&sources, &p.flow.local))
		return XDP_PASS;
	return bpf_redirect_map(&xsks, ctx->rx_queue_index, XDP_PASS);
}

char _license[] SEC("license") = "Dual MIT/GPL";
