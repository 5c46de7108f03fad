package xload

// As in package xdp; packet.h is its.
//go:generate go tool bpf2go -target bpfel -type addr take bpf/take.c -- -mcpu=v3 -Wall -Wextra -Werror -I../../xdp/bpf -I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu
