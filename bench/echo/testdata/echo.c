// Sends back what an AF_XDP socket receives, its ends swapped: what C can do with the same kernel, without a library.
//
//	echo IFINDEX XSKMAP-FD
//
// Writes a line when it is ready, and runs until its standard input ends.
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_xdp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FRAMES 4096 // half of them to receive into, half to send from
#define SIZE 2048
#define RING 2048
#define BATCH 64

struct ring {
	uint32_t *producer, *consumer, *flags;
	void *entries;
	uint32_t index; // ours: of what we have produced, or consumed
};

static void check(int ok, const char *what)
{
	if (!ok) {
		perror(what);
		exit(1);
	}
}

static uint32_t load(uint32_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static void store(uint32_t *p, uint32_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }

static struct ring map(int fd, struct xdp_ring_offset *off, size_t entry, uint64_t page)
{
	char *at = mmap(NULL, off->desc + RING * entry, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, page);
	check(at != MAP_FAILED, "map ring");
	return (struct ring){(void *)(at + off->producer), (void *)(at + off->consumer), (void *)(at + off->flags), at + off->desc, 0};
}

static void swap(uint8_t *p, int a, int b, int n)
{
	for (int k = 0; k < n; k++) {
		uint8_t c = p[a + k];
		p[a + k] = p[b + k];
		p[b + k] = c;
	}
}

int main(int argc, char **argv)
{
	check(argc == 3, "usage: echo IFINDEX XSKMAP-FD");
	int fd = socket(AF_XDP, SOCK_RAW, 0);
	check(fd >= 0, "socket");
	uint8_t *umem = mmap(NULL, FRAMES * SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	check(umem != MAP_FAILED, "map frames");
	struct xdp_umem_reg reg = {.addr = (uint64_t)umem, .len = FRAMES * SIZE, .chunk_size = SIZE};
	check(!setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof reg), "register frames");
	int n = RING;
	for (int opt = XDP_RX_RING; opt <= XDP_UMEM_COMPLETION_RING; opt++)
		if (opt != XDP_UMEM_REG)
			check(!setsockopt(fd, SOL_XDP, opt, &n, sizeof n), "make ring");
	struct xdp_mmap_offsets off;
	socklen_t len = sizeof off;
	check(!getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &off, &len), "ring offsets");
	struct ring rx = map(fd, &off.rx, sizeof(struct xdp_desc), XDP_PGOFF_RX_RING);
	struct ring tx = map(fd, &off.tx, sizeof(struct xdp_desc), XDP_PGOFF_TX_RING);
	struct ring fill = map(fd, &off.fr, sizeof(uint64_t), XDP_UMEM_PGOFF_FILL_RING);
	struct ring done = map(fd, &off.cr, sizeof(uint64_t), XDP_UMEM_PGOFF_COMPLETION_RING);

	struct sockaddr_xdp sa = {.sxdp_family = AF_XDP, .sxdp_ifindex = atoi(argv[1]), .sxdp_flags = XDP_COPY | XDP_USE_NEED_WAKEUP};
	check(!bind(fd, (struct sockaddr *)&sa, sizeof sa), "bind");
	uint32_t key = 0, value = fd;
	union bpf_attr attr = {.map_fd = atoi(argv[2]), .key = (uint64_t)&key, .value = (uint64_t)&value};
	check(!syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &attr, sizeof attr), "register socket");

	static uint64_t unused[FRAMES / 2];
	int spare = 0;
	for (uint64_t k = 0; k < FRAMES / 2; k++) {
		((uint64_t *)fill.entries)[k] = k * SIZE;
		unused[spare++] = (k + FRAMES / 2) * SIZE;
	}
	store(fill.producer, fill.index = FRAMES / 2);
	puts("ready");
	fflush(stdout);

	struct pollfd fds[2] = {{.fd = fd, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
	for (;;) {
		for (uint32_t all = load(done.producer); done.index != all; done.index++)
			unused[spare++] = ((uint64_t *)done.entries)[done.index % RING];
		store(done.consumer, done.index);
		uint32_t have = load(rx.producer) - rx.index;
		if (have > BATCH)
			have = BATCH;
		if (have > (uint32_t)spare)
			have = spare;
		if (!have) {
			if (load(tx.flags) & XDP_RING_NEED_WAKEUP && load(tx.consumer) != tx.index)
				sendto(fd, NULL, 0, MSG_DONTWAIT, NULL, 0);
			if (poll(fds, 2, 1) > 0 && fds[1].revents)
				return 0;
			continue;
		}
		for (uint32_t k = 0; k < have; k++) {
			struct xdp_desc *in = (struct xdp_desc *)rx.entries + rx.index++ % RING;
			struct xdp_desc *out = (struct xdp_desc *)tx.entries + tx.index++ % RING;
			uint64_t frame = unused[--spare];
			memcpy(umem + frame, umem + in->addr, in->len);
			swap(umem + frame, 0, 6, 6);   // Ethernet
			swap(umem + frame, 26, 30, 4); // IPv4
			swap(umem + frame, 34, 36, 2); // TCP
			*out = (struct xdp_desc){.addr = frame, .len = in->len};
			((uint64_t *)fill.entries)[fill.index++ % RING] = in->addr - in->addr % SIZE;
		}
		store(rx.consumer, rx.index);
		store(fill.producer, fill.index);
		store(tx.producer, tx.index);
		if (load(tx.flags) & XDP_RING_NEED_WAKEUP)
			sendto(fd, NULL, 0, MSG_DONTWAIT, NULL, 0);
	}
}
