/* hostile: a program that tries to get more out of diskmap than it was granted.
 *
 * Two opens of one controller: the attacker, granted blocks 100 to 1099 for reading, and a victim
 * whose buffers hold a canary. Every attempt must be refused with the right error, and whatever
 * happens, not one byte of the victim's buffers, or of the attacker's beside the requested ones,
 * may change. That the device was not written is for the caller to compare.
 *
 * usage: hostile DEVICE SECONDS; prints `ok` and `not ok` lines.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "diskmap.h"

#define FIRST  100u
#define BLOCKS 1000u
#define CANARY 0xc5
#define OWN    0x3a

struct cqe {
	__u32 dw0, dw1;
	__u16 sq_head, sq_id, cid, status;
};

struct app {
	int fd;
	unsigned char *buf;
	volatile struct cqe *cq;
	unsigned int head, phase, depth;
};

static struct diskmap_info info;
static struct app att, vic;
static size_t region;
static unsigned int shift;
static int bad;

static void say(const char *what, int ok, const char *why)
{
	printf(ok ? "ok diskmap hostile: %s\n" : "not ok diskmap hostile: %s: %s (errno %d)\n",
	       what, why, errno);
	bad |= !ok;
}

static int submit(struct app *a, const struct diskmap_cmd *c, unsigned int n,
		  struct diskmap_submit *s)
{
	*s = (struct diskmap_submit){.cmds = (unsigned long)c, .count = n, .cq_head = a->head};
	return ioctl(a->fd, DISKMAP_SUBMIT, s) ? -errno : 0;
}

/* Completions until `n` came or a second passed. */
static unsigned int reap(struct app *a, unsigned int n)
{
	time_t end = time(NULL) + 3;
	unsigned int got = 0;

	while (got < n && time(NULL) < end) {
		if ((a->cq[a->head].status & 1u) != a->phase)
			continue;
		got++;
		if (++a->head == a->depth) {
			a->head = 0;
			a->phase ^= 1;
		}
	}
	return got;
}

static struct diskmap_cmd good(void)
{
	return (struct diskmap_cmd){.opcode = DISKMAP_OP_READ,
				    .nsid = 1,
				    .lba = FIRST,
				    .blocks = 8,
				    .length = 8u << shift,
				    .offset = 4096};
}

static size_t first_other(const unsigned char *p, size_t from, size_t to, unsigned char v)
{
	while (from < to && p[from] == v)
		from++;
	return from;
}

static int victim_intact(void)
{
	return first_other(vic.buf, 0, region, CANARY) == region;
}

/* The attacker's buffers changed only inside [from, to). */
static int own_intact(size_t from, size_t to)
{
	return first_other(att.buf, 0, from, OWN) == from &&
	       first_other(att.buf, to, region, OWN) == region;
}

static void refuse(const char *what, struct diskmap_cmd c, int want)
{
	struct diskmap_submit s;
	char why[80];
	int err = submit(&att, &c, 1, &s);

	snprintf(why, sizeof why, "returned %d, taken %u, error %d", err, s.taken, s.error);
	say(what, !err && s.taken == 0 && s.error == want, why);
	if (s.taken)
		reap(&att, s.taken);
}

#define REFUSE(what, want, change)                                                                 \
	do {                                                                                       \
		struct diskmap_cmd c = good();                                                     \
		change;                                                                            \
		refuse(what, c, want);                                                             \
	} while (0)

static void memory(void)
{
	REFUSE("buffer index one too high", -EFAULT, c.buffer = info.buffers);
	REFUSE("buffer index 2^32 - 1", -EFAULT, c.buffer = ~0u);
	REFUSE("buffer index whose address wraps", -EFAULT, c.buffer = 0x80000000u);
	REFUSE("offset beyond the buffer", -EFAULT, c.offset = info.buffer_size);
	REFUSE("offset 2^32 - 4", -EFAULT, c.offset = ~3u);
	REFUSE("offset not a multiple of 4", -EFAULT, c.offset = 4097);
	REFUSE("over the end of the buffers", -EFAULT,
	       (c.buffer = info.buffers - 1, c.offset = info.buffer_size - 4));
	REFUSE("length that wraps", -EINVAL, (c.blocks = ~0u, c.length = ~0u << shift));
	REFUSE("length other than the blocks", -EINVAL, c.length += 1u << shift);
	REFUSE("no blocks", -EINVAL, (c.blocks = 0, c.length = 0));
	REFUSE("more than the device takes", -EINVAL,
	       (c.blocks = (info.max_io >> shift) + 1, c.length = c.blocks << shift));
}

static void blocks(void)
{
	REFUSE("a block before the range", -ERANGE, c.lba = FIRST - 1);
	REFUSE("over the end of the range", -ERANGE, c.lba = FIRST + BLOCKS - 7);
	REFUSE("a block behind the range", -ERANGE, c.lba = FIRST + BLOCKS);
	REFUSE("block 2^64 - 1", -ERANGE, c.lba = ~0ull);
	REFUSE("blocks that wrap", -ERANGE, c.lba = ~0ull - 3);
	REFUSE("another namespace", -EINVAL, c.nsid = 2);
	REFUSE("all namespaces", -EINVAL, c.nsid = ~0u);
	REFUSE("a write, not granted", -EPERM, c.opcode = DISKMAP_OP_WRITE);
	REFUSE("write zeroes", -EPERM, c.opcode = 0x08);
	REFUSE("deallocate", -EPERM, c.opcode = 0x09);
	REFUSE("compare", -EPERM, c.opcode = 0x05);
	REFUSE("a vendor's opcode", -EPERM, c.opcode = 0x80);
	REFUSE("a reserved field", -EINVAL, c.reserved = 1);
	REFUSE("a CID that does not exist", -EINVAL, c.cid = (__u16)(info.depth - 1));
	REFUSE("CID 65535", -EINVAL, c.cid = 0xffff);
}

static void queue_state(void)
{
	struct diskmap_cmd c[2] = {good(), good()};
	struct diskmap_submit s;
	int err = submit(&att, c, 2, &s);

	say("the same CID twice", !err && s.taken == 1 && s.error == -EBUSY, "taken");
	reap(&att, 1);
	s = (struct diskmap_submit){.cq_head = info.depth};
	say("a head beyond the ring", ioctl(att.fd, DISKMAP_SUBMIT, &s) && errno == EINVAL,
	    "taken");
	s.cq_head = (att.head + 5) % info.depth;
	say("completions that never came", ioctl(att.fd, DISKMAP_SUBMIT, &s) && errno == EINVAL,
	    "taken");
	err = submit(&att, (void *)0x10, 5, &s);
	say("commands at a wild address", !err && s.taken == 0 && s.error == -EFAULT, "taken");
	err = submit(&att, (void *)0xffffffff81000000ul, 5, &s);
	say("commands in the kernel's memory", !err && s.taken == 0 && s.error == -EFAULT, "taken");
}

static void maps(void)
{
	size_t cq = ((size_t)info.depth * 16 + 4095) & ~4095ul;
	int rw = PROT_READ | PROT_WRITE, mem;

	say("the completion queue, writable",
	    mmap(NULL, cq, rw, MAP_SHARED, att.fd, DISKMAP_MAP_CQ) == MAP_FAILED, "mapped");
	say("the completion queue made writable later", mprotect((void *)att.cq, cq, rw) != 0,
	    "allowed");
	mem = open("/proc/self/mem", O_RDWR);
	say("the completion queue through /proc/self/mem",
	    mem < 0 || pwrite(mem, "x", 1, (off_t)(unsigned long)att.cq) < 0, "written");
	if (mem >= 0)
		close(mem);
	say("more than the buffers",
	    mmap(NULL, region + 4096, rw, MAP_SHARED, att.fd, (off_t)DISKMAP_MAP_BUFFERS) ==
		    MAP_FAILED,
	    "mapped");
	say("behind the buffers",
	    mmap(NULL, 4096, rw, MAP_SHARED, att.fd, (off_t)(DISKMAP_MAP_BUFFERS + region)) ==
		    MAP_FAILED,
	    "mapped");
	say("between queue and buffers",
	    mmap(NULL, 4096, PROT_READ, MAP_SHARED, att.fd, 1 << 20) == MAP_FAILED, "mapped");
	say("a private mapping",
	    mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, att.fd, DISKMAP_MAP_CQ) == MAP_FAILED,
	    "mapped");
}

static void attaching(const char *path)
{
	struct diskmap_attach a = {.nsid = 1};
	struct diskmap_submit s = {0};
	struct diskmap_admin ad = {.opcode = 0x80};
	int fd = open(path, O_RDWR);

	say("a second queue for one file", ioctl(att.fd, DISKMAP_ATTACH, &a) && errno == EEXIST,
	    "given");
	say("commands without a queue", ioctl(fd, DISKMAP_SUBMIT, &s) && errno == ENOTCONN,
	    "taken");
	say("buffers without a queue",
	    mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, (off_t)DISKMAP_MAP_BUFFERS) == MAP_FAILED,
	    "mapped");
	a.flags = 0x80;
	say("unknown flags", ioctl(fd, DISKMAP_ATTACH, &a) && errno == EINVAL, "taken");
	a = (struct diskmap_attach){.nsid = 1, .first = 1, .blocks = ~0ull};
	say("a range that wraps", ioctl(fd, DISKMAP_ATTACH, &a) && errno == ERANGE, "granted");
	a = (struct diskmap_attach){.nsid = 1, .first = ~0ull};
	say("a range behind the device", ioctl(fd, DISKMAP_ATTACH, &a) && errno == ERANGE,
	    "granted");
	a = (struct diskmap_attach){.nsid = 4000000000u};
	say("a namespace that is not there", ioctl(fd, DISKMAP_ATTACH, &a) != 0, "granted");
	say("Format NVM", ioctl(fd, DISKMAP_ADMIN, &ad) && errno == EPERM, "taken");
	ad.opcode = 0x09;
	say("Set Features", ioctl(fd, DISKMAP_ADMIN, &ad) && errno == EPERM, "taken");
	ad = (struct diskmap_admin){.opcode = 0x02, .cdw10 = 0xffff0002u};
	say("a log page longer than its buffer", ioctl(fd, DISKMAP_ADMIN, &ad) && errno == EINVAL,
	    "taken");
	close(fd);
}

/* What an administrator may ask: Identify Controller, and the SMART log (with a temperature in
 * kelvin). */
static void admin(void)
{
	static unsigned char page[DISKMAP_ADMIN_DATA];
	struct diskmap_admin ad = {.opcode = 6, .cdw10 = 1, .data = (unsigned long)page};

	say("not hostile: Identify tells the serial number",
	    !ioctl(att.fd, DISKMAP_ADMIN, &ad) && !ad.status && !memcmp(page + 4, info.serial, 20),
	    "another");
	ad = (struct diskmap_admin){
		.opcode = 2, .nsid = ~0u, .cdw10 = 127u << 16 | 2, .data = (unsigned long)page};
	say("not hostile: the SMART log tells the temperature",
	    !ioctl(att.fd, DISKMAP_ADMIN, &ad) && !ad.status && page[1] | page[2] << 8, "none");
}

/* A granted read lands where it was asked to, and nowhere else; also across pages and buffers. */
static void exact(void)
{
	static const struct {
		unsigned int buffer, offset, bytes;
	} at[] = {{0, 4096, 4096},	     {0, 4092, 4096}, {1, 0, 65536},
		  {0, 1048576 - 2048, 8192}, {2, 8, 512},     {1, 4100, 131072}};
	int ok = 1;

	for (unsigned int i = 0; i < sizeof at / sizeof *at; i++) {
		struct diskmap_cmd c = good();
		struct diskmap_submit s;
		size_t from = (size_t)at[i].buffer * info.buffer_size + at[i].offset;

		memset(att.buf, OWN, region);
		c.buffer = at[i].buffer;
		c.offset = at[i].offset;
		c.length = at[i].bytes < info.max_io ? at[i].bytes : info.max_io;
		c.blocks = c.length >> shift;
		ok &= !submit(&att, &c, 1, &s) && s.taken == 1 && reap(&att, 1) == 1;
		ok &= own_intact(from, from + c.length);
		ok &= first_other(att.buf, from, from + c.length, OWN) < from + 16;
	}
	say("a read lands exactly in its place", ok, "other bytes changed");
}

static struct diskmap_cmd race[32];
static volatile int racing;

/* Changes valid commands into invalid ones and back while the kernel copies them. */
static void *flip(void *arg)
{
	unsigned int x = 1;

	(void)arg;
	while (racing) {
		volatile struct diskmap_cmd *c = &race[(x = x * 1103515245u + 12345u) >> 16 & 31];

		switch (x >> 8 & 7) {
		case 0:
			c->buffer = x;
			c->buffer = 0;
			break;
		case 1:
			c->offset = 0xfffffffcu;
			c->offset = 4096;
			break;
		case 2:
			c->length = 0xffffffffu;
			c->length = 8u << shift;
			break;
		case 3:
			c->blocks = 0xffffffu;
			c->blocks = 8;
			break;
		case 4:
			c->lba = x;
			c->lba = FIRST;
			break;
		case 5:
			c->opcode = DISKMAP_OP_WRITE;
			c->opcode = DISKMAP_OP_READ;
			break;
		case 6:
			c->nsid = 2;
			c->nsid = 1;
			break;
		default:
			c->cid = (__u16)x;
			c->cid = (__u16)(c - race);
			break;
		}
	}
	return NULL;
}

static void races(int seconds)
{
	time_t end = time(NULL) + seconds;
	unsigned long taken = 0, rounds = 0;
	struct diskmap_submit s;
	pthread_t t;

	memset(att.buf, OWN, region);
	for (unsigned int i = 0; i < 32; i++) {
		race[i] = good();
		race[i].cid = (__u16)i;
	}
	racing = 1;
	pthread_create(&t, NULL, flip, NULL);
	while (time(NULL) < end) {
		if (submit(&att, race, 32, &s))
			break;
		taken += s.taken;
		rounds++;
		if (reap(&att, s.taken) != s.taken)
			break;
	}
	racing = 0;
	pthread_join(t, NULL);
	printf("  %lu rounds, %lu of %lu commands taken\n", rounds, taken, rounds * 32);
	say("commands changed during the call", rounds > 10 && taken > 0 && time(NULL) >= end,
	    "the queue stopped");
	/* whatever was read, it was 8 blocks at offset 4096 of some buffer of the attacker's own */
	say("  and the victim's memory", victim_intact(), "changed");
}

/* One thread maps and unmaps while the other submits commands from a page that is not there: each
 * then wants what the other might hold. A module that locked both ways would stop here for good. */
static void *remap(void *arg)
{
	(void)arg;
	while (racing) {
		void *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, att.fd, DISKMAP_MAP_CQ);

		if (p != MAP_FAILED)
			munmap(p, 4096);
	}
	return NULL;
}

static void faults(int seconds)
{
	struct diskmap_cmd *c =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	time_t end = time(NULL) + seconds;
	struct diskmap_submit s = {0};
	unsigned long rounds = 0;
	int err = 0;
	pthread_t t;

	racing = 1;
	pthread_create(&t, NULL, remap, NULL);
	for (; !err && time(NULL) < end; rounds++) {
		madvise(c, 4096, MADV_DONTNEED); /* opcode 0, namespace 0 */
		err = submit(&att, c, 4, &s);
	}
	racing = 0;
	pthread_join(t, NULL);
	munmap(c, 4096);
	say("mapping while submitting from a page that is not there",
	    !err && rounds > 10 && s.error == -EINVAL, "the submission failed");
}

static int attach(struct app *a, const char *path, __u64 first, __u64 n)
{
	struct diskmap_attach at = {.nsid = 1, .first = first, .blocks = n};
	size_t cq = ((size_t)info.depth * 16 + 4095) & ~4095ul;

	a->fd = open(path, O_RDWR);
	if (a->fd < 0 || ioctl(a->fd, DISKMAP_INFO, &info) || ioctl(a->fd, DISKMAP_ATTACH, &at))
		return -1;
	region = (size_t)info.buffers * info.buffer_size;
	cq = ((size_t)info.depth * 16 + 4095) & ~4095ul;
	a->depth = info.depth;
	a->phase = 1;
	a->cq = mmap(NULL, cq, PROT_READ, MAP_SHARED, a->fd, DISKMAP_MAP_CQ);
	a->buf = mmap(NULL, region, PROT_READ | PROT_WRITE, MAP_SHARED, a->fd,
		      (off_t)DISKMAP_MAP_BUFFERS);
	return a->cq == MAP_FAILED || a->buf == MAP_FAILED ? -1 : 0;
}

int main(int argc, char **argv)
{
	struct diskmap_ns ns = {.nsid = 1};
	struct diskmap_submit s;
	size_t dirty;

	if (argc < 3 || attach(&vic, argv[1], 0, 0) || attach(&att, argv[1], FIRST, BLOCKS) ||
	    ioctl(att.fd, DISKMAP_NS, &ns)) {
		perror("hostile: attach");
		return 1;
	}
	shift = ns.lba_shift;
	dirty = first_other(att.buf, 0, region, 0);
	say("a new owner finds nothing in its buffers", dirty == region, "old bytes");
	memset(vic.buf, CANARY, region);
	memset(att.buf, OWN, region);
	attaching(argv[1]);
	admin();
	memory();
	blocks();
	queue_state();
	maps();
	say("no refused attempt moved a byte",
	    own_intact(4096, 4096 + (8u << shift)) && victim_intact(), "a byte changed");
	exact();
	races(atoi(argv[2]));
	faults(1);
	say("the victim's buffers are intact", victim_intact(), "changed");
	say("a good command still works",
	    !submit(&att, &(struct diskmap_cmd){.opcode = DISKMAP_OP_FLUSH, .nsid = 1, .cid = 40},
		    1, &s) &&
		    s.taken == 1 && reap(&att, 1) == 1,
	    "it does not");
	if (setuid(65534))
		say("dropping rights", 0, "failed");
	say("admin commands without CAP_SYS_ADMIN",
	    ioctl(att.fd, DISKMAP_ADMIN, &(struct diskmap_admin){.opcode = 6, .cdw10 = 1}) &&
		    errno == EPERM,
	    "taken");
	return bad;
}
