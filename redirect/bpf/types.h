/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Types shared with user space: bpf2go exports them to Go. */
#ifndef REDIRECT_TYPES_H
#define REDIRECT_TYPES_H

#include <linux/types.h>

/* A record is armed by user space, and spent by the segment that was given to the listener for good: a
 * spent one never makes a second socket, for that would be a ghost that repeats the request. */
enum record_state {
	RECORD_ARMED,
	RECORD_SPENT,
};

/* What the kernel must know to take a connection over. */
struct record {
	__u64 expires;   /* ns of CLOCK_MONOTONIC; the record does not exist from then on */
	__u32 seq, ack;  /* of the one segment that may become the socket, host order */
	__u32 ts_offset; /* our TSval = ms of CLOCK_MONOTONIC + ts_offset */
	__u32 ts_recent; /* TS.Recent of RFC 7323, 4.3 */
	__u16 mss;       /* the peer's */
	__u8 rcv_wscale; /* the shift that we advertised */
	__u8 snd_wscale; /* the peer's */
	__u8 wscale_ok, sack_ok, tstamp_ok, ecn_ok;
	__u8 state;      /* enum record_state */
};

/* Every way out of the programs; each is a counter and its label. */
enum verdict {
	/* assign */
	FOREIGN,          /* passed: nothing that xhttpd could ever have held (packet_parse) */
	NO_RECORD,        /* passed: not being handed over; nearly all traffic */
	EXPIRED,          /* passed: the record was too old, and is deleted */
	ESTABLISHED,      /* passed: the kernel has the socket; the record is deleted */
	NOT_ASSIGNABLE,   /* passed: SYN, RST or no ACK */
	OUT_OF_ORDER,     /* dropped: not the segment that the record waits for */
	SPENT,            /* dropped: the record has made its socket once, which is gone */
	NO_LISTENER,      /* passed, for the kernel to answer with RST */
	QUEUE_FULL,       /* assigned, though the kernel will drop it: the listener's accept queue is full */
	ASSIGN_REFUSED,   /* dropped: the kernel did not take the attributes */
	ASSIGNED,         /* assigned: the kernel makes the socket */
	/* inject */
	NOT_MARKED,       /* passed: not ours, goes out on the wire */
	INJECTED,         /* turned round, to be received by the interface */
	NUM_VERDICTS,
};

#endif
