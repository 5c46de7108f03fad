package xdp

// The object and the Go declarations come from C; the result is committed, so that users need no clang. Of the two -I, the one
// that exists gives the UAPI headers of Debian's multiarch layout. The kernel's minimum version allows -mcpu=v3.
//go:generate go tool bpf2go -target bpfel -type reason -type heartbeat -type addr -type ours_bucket -type ring_load -type lent -type ready -type date_texts steer bpf/steer.c -- -mcpu=v3 -Wall -Wextra -Werror -I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu
