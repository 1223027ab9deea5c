/* direct: the mapped submission queue: a trusted program writes commands itself and calls only for
 * the doorbells. Also the smallest example of an NVMe queue pair in user space.
 *
 * usage: direct DEVICE iommu|none     device contents as workloads/content.h, seed 1, object 0
 * Prints `ok` and `not ok` lines; with `none` the mode must be refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "diskmap.h"

#define PAGE   4096u
#define WINDOW 32u
#define READS  4000u

struct sqe {
	__u8 opcode, flags;
	__u16 cid;
	__u32 nsid;
	__u64 reserved, mptr, prp1, prp2;
	__u32 cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};

struct cqe {
	__u32 dw0, dw1;
	__u16 sq_head, sq_id, cid, status;
};

static int bad;

static void say(const char *what, int ok)
{
	printf(ok ? "ok diskmap direct: %s\n" : "not ok diskmap direct: %s: errno %d\n", what,
	       errno);
	bad |= !ok;
}

/* workloads/content.h */
static __u64 mix(__u64 z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static int right(const __u64 *p, __u64 off, unsigned int len)
{
	__u64 key = mix(1 ^ mix(1));

	for (unsigned int i = 0; i < len / 8; i++)
		if (p[i] != mix(key + (off / 8 + i) * 0x9e3779b97f4a7c15ull))
			return 0;
	return 1;
}

static struct diskmap_info info;
static struct sqe *sq;
static volatile struct cqe *cq;
static unsigned char *buf;
static __u64 *page;
static __u64 lba_of[WINDOW];

static void put(unsigned int *tail, unsigned int slot, __u64 lba, unsigned int shift)
{
	struct sqe *s = &sq[*tail];

	/* 8 KiB in two pages of ours that need not lie together for the device */
	*s = (struct sqe){.opcode = DISKMAP_OP_READ,
			  .cid = (__u16)slot,
			  .nsid = 1,
			  .prp1 = page[2 * slot],
			  .prp2 = page[2 * slot + 1],
			  .cdw10 = (__u32)lba,
			  .cdw11 = (__u32)(lba >> 32),
			  .cdw12 = (2 * PAGE >> shift) - 1};
	lba_of[slot] = lba;
	*tail = (*tail + 1) % info.depth;
}

/* Reads with WINDOW outstanding; returns those whose bytes were right, *calls the doorbell calls.
 */
static unsigned int run(int fd, const struct diskmap_ns *ns, unsigned int *calls)
{
	unsigned int tail = 0, head = 0, phase = 1, started = 0, done = 0, good = 0, x = 7;
	unsigned int step = 2 * PAGE >> ns->lba_shift;
	time_t end = time(NULL) + 30;

	*calls = 0;
	for (; started < WINDOW; started++)
		put(&tail, started, started * step, ns->lba_shift);
	while (done < READS && time(NULL) < end) {
		struct diskmap_bell b = {.sq_tail = tail, .cq_head = head};

		if (ioctl(fd, DISKMAP_BELL, &b))
			break;
		++*calls;
		while ((cq[head].status & 1u) != phase && time(NULL) < end)
			;
		for (; (cq[head].status & 1u) == phase && done < READS; done++) {
			unsigned int slot = cq[head].cid % WINDOW;

			good += !(cq[head].status >> 1) &&
				right((__u64 *)(buf + 2 * PAGE * slot),
				      lba_of[slot] << ns->lba_shift, 2 * PAGE);
			if (++head == info.depth) {
				head = 0;
				phase ^= 1;
			}
			if (started < READS) {
				x = x * 1103515245u + 12345u;
				started++;
				put(&tail, slot, (x >> 8) % (ns->blocks / step) * step,
				    ns->lba_shift);
			}
		}
	}
	return good;
}

static int map_all(int fd)
{
	size_t bytes = (size_t)info.buffers * info.buffer_size, npages = bytes / PAGE;
	struct diskmap_pages p = {.count = (__u32)npages};
	int rw = PROT_READ | PROT_WRITE;

	page = calloc(npages, sizeof *page);
	p.addresses = (unsigned long)page;
	sq = mmap(NULL, (info.depth * 64 + PAGE - 1) & ~(PAGE - 1), rw, MAP_SHARED, fd,
		  (off_t)DISKMAP_MAP_SQ);
	cq = mmap(NULL, (info.depth * 16 + PAGE - 1) & ~(PAGE - 1), PROT_READ, MAP_SHARED, fd,
		  DISKMAP_MAP_CQ);
	buf = mmap(NULL, bytes, rw, MAP_SHARED, fd, (off_t)DISKMAP_MAP_BUFFERS);
	return sq == MAP_FAILED || cq == MAP_FAILED || buf == MAP_FAILED ||
	       ioctl(fd, DISKMAP_PAGES, &p);
}

int main(int argc, char **argv)
{
	struct diskmap_attach a = {.nsid = 1, .flags = DISKMAP_DIRECT}, checked = {.nsid = 1};
	int fd, other, iommu = argc > 2 && !strcmp(argv[2], "iommu");
	struct diskmap_bell wild = {.sq_tail = ~0u};
	struct diskmap_submit s = {.count = 0};
	struct diskmap_ns ns = {.nsid = 1};
	unsigned int calls, good;

	fd = argc > 2 ? open(argv[1], O_RDWR) : -1;
	other = fd < 0 ? -1 : open(argv[1], O_RDWR);
	if (other < 0 || ioctl(fd, DISKMAP_INFO, &info) || ioctl(fd, DISKMAP_NS, &ns)) {
		perror("direct");
		return 1;
	}
	if (!iommu) {
		say("refused without an IOMMU",
		    ioctl(fd, DISKMAP_ATTACH, &a) && errno == EOPNOTSUPP);
		return bad;
	}
	say("not beside another owner", !ioctl(other, DISKMAP_ATTACH, &checked) &&
						ioctl(fd, DISKMAP_ATTACH, &a) && errno == EBUSY);
	say("a checked owner has no submission queue to map",
	    mmap(NULL, PAGE, PROT_READ, MAP_SHARED, other, (off_t)DISKMAP_MAP_SQ) == MAP_FAILED);
	say("and no doorbell",
	    ioctl(other, DISKMAP_BELL, &(struct diskmap_bell){0}) && errno == EINVAL);
	close(other);
	other = open(argv[1], O_RDWR);
	say("attached", !ioctl(fd, DISKMAP_ATTACH, &a));
	say("nobody else gets a queue", ioctl(other, DISKMAP_ATTACH, &checked) && errno == EBUSY);
	say("no checked submission beside it", ioctl(fd, DISKMAP_SUBMIT, &s) && errno == EINVAL);
	say("a tail beyond the ring", ioctl(fd, DISKMAP_BELL, &wild) && errno == EINVAL);
	if (map_all(fd)) {
		say("mapped", 0);
		return 1;
	}
	good = run(fd, &ns, &calls);
	printf("  %u of %u reads right, %.3f calls a read\n", good, READS, (double)calls / READS);
	say("reads through its own submission queue", good == READS);
	close(other);
	other = open(argv[1], O_RDWR);
	munmap(sq, (info.depth * 64 + PAGE - 1) & ~(PAGE - 1));
	munmap((void *)(unsigned long)cq, (info.depth * 16 + PAGE - 1) & ~(PAGE - 1));
	munmap(buf, (size_t)info.buffers * info.buffer_size);
	close(fd);
	if (setuid(65534))
		say("dropping rights", 0);
	say("refused without CAP_SYS_RAWIO", ioctl(other, DISKMAP_ATTACH, &a) && errno == EPERM);
	say("a checked queue is free again", !ioctl(other, DISKMAP_ATTACH, &checked));
	return bad;
}
