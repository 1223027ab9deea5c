/* blocklat: see blocklat.h. Two small BPF programs, written out below, on two tracepoints.
 *
 * Why not perf's ring buffers: records of completions that interrupt an idle CPU do not arrive
 * there (seen with perf(1) itself on 6.18: counted, but not recorded), and a storage server's CPU
 * is idle just when it waits for the disk. And matching issue with completion in the kernel leaves
 * half as many records to carry.
 *
 * The programs share one mapped array with us, so a drain is no system call. An entry's end time is
 * written last; we stop at an entry that is not there yet and clear what was read.
 */
#include "collectors/blocklat.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "collectors/procfs.h"
#include "collectors/trace.h"

#define IN_FLIGHT 16384 /* requests; the oldest are forgotten (LRU) */
#define LEVELS	  3
#define RATE_NS	  (20 * NSEC_PER_MSEC) /* shortest time that a rate is taken over */

struct blocklat {
	struct blocklat_shared *shared;
	uint64_t tail, lost;
	int level;
	uint64_t last_ns, last_head;
	uint64_t t0_ns, t1_ns;
	int pending_fd, shared_fd, prog_fd[2], event_fd[2];
	struct hist hist;
};

/* Sectors of 512 bytes: bits 8 to 15 number the stretches of 128 KiB. */
static const uint64_t level_mask[LEVELS] = {0, 0xf00, 0xff00};
static const unsigned int level_share[LEVELS] = {1, 16, 256};

/* --- our side --- */

struct blocklat *blocklat_bare(struct blocklat_shared *shared)
{
	struct blocklat *b = calloc(1, sizeof *b);

	if (!b)
		return NULL;
	b->shared = shared;
	b->pending_fd = b->shared_fd = -1;
	b->prog_fd[0] = b->prog_fd[1] = b->event_fd[0] = b->event_fd[1] = -1;
	hist_init(&b->hist);
	b->t1_ns = UINT64_MAX;
	return b;
}

/* Too many reads a second: go over to a coarser level. */
static void adapt(struct blocklat *b, uint64_t now_ns, uint64_t head)
{
	uint64_t ns = now_ns - b->last_ns;

	if (ns < RATE_NS) /* a few reads in no time are no rate */
		return;
	if (b->last_ns && b->level + 1 < LEVELS &&
	    (double)(head - b->last_head) * NSEC_PER_SEC / (double)ns > BLOCKLAT_READS_PER_S)
		__atomic_store_n(&b->shared->mask, level_mask[++b->level], __ATOMIC_RELAXED);
	b->last_ns = now_ns;
	b->last_head = head;
}

void blocklat_drain(struct blocklat *b, uint64_t now_ns)
{
	uint64_t head = __atomic_load_n(&b->shared->head, __ATOMIC_ACQUIRE);

	if (head - b->tail > BLOCKLAT_RING) { /* overwritten */
		b->lost += head - b->tail - BLOCKLAT_RING;
		b->tail = head - BLOCKLAT_RING;
	}
	for (; b->tail != head; b->tail++) {
		struct blocklat_read *r = &b->shared->ring[b->tail % BLOCKLAT_RING];
		uint64_t end = __atomic_load_n(&r->end_ns, __ATOMIC_ACQUIRE);
		uint64_t took = __atomic_load_n(&r->took_ns, __ATOMIC_RELAXED);

		if (!end || !took)
			break; /* still being written */
		r->end_ns = r->took_ns = 0;
		if (end >= b->t0_ns && end <= b->t1_ns)
			hist_add(&b->hist, took);
	}
	adapt(b, now_ns, head);
}

void blocklat_begin(struct blocklat *b, uint64_t t0_ns)
{
	hist_init(&b->hist);
	b->t0_ns = t0_ns;
	b->t1_ns = UINT64_MAX;
}

void blocklat_end(struct blocklat *b, uint64_t t1_ns)
{
	b->t1_ns = t1_ns;
}

const struct hist *blocklat_hist(const struct blocklat *b)
{
	return &b->hist;
}

uint64_t blocklat_lost(const struct blocklat *b)
{
	return b->lost;
}

unsigned int blocklat_sampling(const struct blocklat *b)
{
	return level_share[b->level];
}

void blocklat_close(struct blocklat *b)
{
	int fds[] = {b->event_fd[1], b->event_fd[0], b->prog_fd[1],
		     b->prog_fd[0],  b->shared_fd,   b->pending_fd};

	if (b->shared_fd >= 0 && b->shared)
		munmap(b->shared, sizeof *b->shared);
	for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	free(b);
}

/* --- the programs --- */

#define INSN(code_, dst, src, off_, imm_)                                                          \
	((struct bpf_insn){.code = (code_),                                                        \
			   .dst_reg = (dst),                                                       \
			   .src_reg = (src),                                                       \
			   .off = (int16_t)(off_),                                                 \
			   .imm = (imm_)})
#define LOAD(size, dst, src, off)  INSN(BPF_LDX | BPF_MEM | (size), dst, src, off, 0)
#define STORE(size, dst, off, src) INSN(BPF_STX | BPF_MEM | (size), dst, src, off, 0)
#define MOVE(dst, src)		   INSN(BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0)
#define SET(dst, imm)		   INSN(BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, imm)
#define OP(op, dst, src)	   INSN(BPF_ALU64 | (op) | BPF_X, dst, src, 0, 0)
#define OP_IMM(op, dst, imm)	   INSN(BPF_ALU64 | (op) | BPF_K, dst, 0, 0, imm)
#define UNLESS_EQ(dst, src, skip)  INSN(BPF_JMP | BPF_JNE | BPF_X, dst, src, skip, 0)
#define UNLESS_IMM(dst, imm, skip) INSN(BPF_JMP | BPF_JNE | BPF_K, dst, 0, skip, imm)
#define IF_IMM(dst, imm, skip)	   INSN(BPF_JMP | BPF_JEQ | BPF_K, dst, 0, skip, imm)
#define CALL(helper)		   INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_##helper)
#define EXIT()			   INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
#define ADDRESS(dst, kind, fd)                                                                     \
	INSN(BPF_LD | BPF_DW | BPF_IMM, dst, kind, 0, fd), INSN(0, 0, 0, 0, 0)
#define FETCH_ADD(dst, off, src)                                                                   \
	INSN(BPF_STX | BPF_ATOMIC | BPF_DW, dst, src, off, BPF_ADD | BPF_FETCH)

enum { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, FP };
enum { KEY = -8, VALUE = -16 }; /* on the stack */

#define SHARED(field) ((int)offsetof(struct blocklat_shared, field))

/* Where the fields of a tracepoint's record lie. */
struct layout {
	struct trace_field dev, sector, rwbs;
};

#define PROLOGUE_LEN 12

/* Common beginning: our disk, a read, a traced stretch? Else jump `out` instructions behind the end
 * of the prologue. Then R7 is the shared memory and the sector lies at KEY. */
static void put_prologue(struct bpf_insn *p, const struct layout *l, int shared_fd, int out)
{
	const struct bpf_insn insns[PROLOGUE_LEN] = {
		ADDRESS(R7, BPF_PSEUDO_MAP_VALUE, shared_fd),
		LOAD(BPF_W, R2, R1, l->dev.offset),
		LOAD(BPF_DW, R3, R7, SHARED(dev)),
		UNLESS_EQ(R2, R3, out + 7),
		LOAD(BPF_B, R2, R1, l->rwbs.offset),
		UNLESS_IMM(R2, 'R', out + 5),
		LOAD(BPF_DW, R2, R1, l->sector.offset),
		LOAD(BPF_DW, R3, R7, SHARED(mask)),
		OP(BPF_AND, R3, R2),
		UNLESS_IMM(R3, 0, out + 1),
		STORE(BPF_DW, FP, KEY, R2),
	};

	memcpy(p, insns, sizeof insns);
}

/* pending[sector] = now */
static int issue_program(struct bpf_insn *p, const struct layout *l, int shared_fd, int pending_fd)
{
	const struct bpf_insn body[] = {
		CALL(ktime_get_ns),
		STORE(BPF_DW, FP, VALUE, R0),
		ADDRESS(R1, BPF_PSEUDO_MAP_FD, pending_fd),
		MOVE(R2, FP),
		OP_IMM(BPF_ADD, R2, KEY),
		MOVE(R3, FP),
		OP_IMM(BPF_ADD, R3, VALUE),
		SET(R4, BPF_ANY),
		CALL(map_update_elem),
		SET(R0, 0), /* out */
		EXIT(),
	};
	int n = sizeof body / sizeof *body;

	put_prologue(p, l, shared_fd, n - 2);
	memcpy(p + PROLOGUE_LEN, body, sizeof body);
	return PROLOGUE_LEN + n;
}

/* if (pending[sector]) { took = now - it; delete it; ring[head++] = {now, took} } */
static int complete_program(struct bpf_insn *p, const struct layout *l, int shared_fd,
			    int pending_fd)
{
	const struct bpf_insn body[] = {
		CALL(ktime_get_ns),
		MOVE(R9, R0),
		ADDRESS(R1, BPF_PSEUDO_MAP_FD, pending_fd),
		MOVE(R2, FP),
		OP_IMM(BPF_ADD, R2, KEY),
		CALL(map_lookup_elem),
		IF_IMM(R0, 0, 15),
		LOAD(BPF_DW, R1, R0, 0),
		MOVE(R8, R9),
		OP(BPF_SUB, R8, R1),
		ADDRESS(R1, BPF_PSEUDO_MAP_FD, pending_fd),
		MOVE(R2, FP),
		OP_IMM(BPF_ADD, R2, KEY),
		CALL(map_delete_elem),
		SET(R1, 1),
		FETCH_ADD(R7, SHARED(head), R1),
		OP_IMM(BPF_AND, R1, BLOCKLAT_RING - 1),
		OP_IMM(BPF_LSH, R1, 4),
		OP(BPF_ADD, R7, R1),
		STORE(BPF_DW, R7, SHARED(ring[0].took_ns), R8),
		STORE(BPF_DW, R7, SHARED(ring[0].end_ns), R9),
		SET(R0, 0), /* out */
		EXIT(),
	};
	int n = sizeof body / sizeof *body;

	put_prologue(p, l, shared_fd, n - 2);
	memcpy(p + PROLOGUE_LEN, body, sizeof body);
	return PROLOGUE_LEN + n;
}

/* --- the kernel's side --- */

static int sys_bpf(int cmd, union bpf_attr *attr)
{
	int r = (int)syscall(SYS_bpf, cmd, attr, sizeof *attr);

	return r < 0 ? -errno : r;
}

static int make_map(enum bpf_map_type type, uint32_t key, uint32_t value, uint32_t entries,
		    uint32_t flags)
{
	union bpf_attr attr = {.map_type = type,
			       .key_size = key,
			       .value_size = value,
			       .max_entries = entries,
			       .map_flags = flags};

	return sys_bpf(BPF_MAP_CREATE, &attr);
}

static int load_program(const struct bpf_insn *p, int n)
{
	union bpf_attr attr = {.prog_type = BPF_PROG_TYPE_TRACEPOINT,
			       .insns = (uintptr_t)p,
			       .insn_cnt = (uint32_t)n,
			       .license = (uintptr_t) "Dual BSD/GPL"};

	return sys_bpf(BPF_PROG_LOAD, &attr);
}

/* An event on one CPU carries the program, which then runs on all (trace_call_bpf). */
static int attach(int id, int prog_fd)
{
	struct perf_event_attr attr = {.size = sizeof attr,
				       .type = PERF_TYPE_TRACEPOINT,
				       .config = (uint64_t)id,
				       .sample_period = 1};
	int fd = (int)syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	if (ioctl(fd, PERF_EVENT_IOC_SET_BPF, prog_fd) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

static int get_layout(int dir, const char *name, struct layout *l, int *id, struct errbuf *e)
{
	struct trace_point p;
	int err = trace_point_get(dir, "block", name, &p, e);

	if (err)
		return err;
	*id = p.id;
	if (trace_point_field(&p, "dev", &l->dev) && l->dev.size == 4 &&
	    trace_point_field(&p, "sector", &l->sector) && l->sector.size == 8 &&
	    trace_point_field(&p, "rwbs", &l->rwbs))
		return 0;
	return errf(e, -EPROTO, "the tracepoint block:%s has other fields than known", name);
}

static int kernel_error(int err, const char *what, struct errbuf *e)
{
	if (err == -EPERM || err == -EACCES)
		return errf(e, err, "%s is not permitted; run as root (CAP_BPF, CAP_PERFMON)",
			    what);
	if (err == -ENOSYS)
		return errf(e, err, "the kernel has no BPF (CONFIG_BPF_SYSCALL)");
	return errf(e, err, "%s failed: %s", what, strerror(-err));
}

static int make_memory(struct blocklat *b, uint64_t dev, struct errbuf *e)
{
	void *p;

	b->pending_fd = make_map(BPF_MAP_TYPE_LRU_HASH, 8, 8, IN_FLIGHT, 0);
	if (b->pending_fd < 0)
		return kernel_error(b->pending_fd, "a BPF map for block tracing", e);
	b->shared_fd = make_map(BPF_MAP_TYPE_ARRAY, 4, sizeof *b->shared, 1, BPF_F_MMAPABLE);
	if (b->shared_fd < 0)
		return kernel_error(b->shared_fd, "a BPF map for block tracing", e);
	p = mmap(NULL, sizeof *b->shared, PROT_READ | PROT_WRITE, MAP_SHARED, b->shared_fd, 0);
	if (p == MAP_FAILED)
		return errf(e, -errno, "a BPF map can't be mapped: %s", strerror(errno));
	b->shared = p;
	b->shared->dev = dev;
	return 0;
}

static int start(struct blocklat *b, const char *sys_root, struct errbuf *e)
{
	static const char *const names[2] = {"block_rq_issue", "block_rq_complete"};
	int dir = trace_dir(sys_root, e), err = 0;

	if (dir < 0)
		return dir;
	for (int i = 1; i >= 0 && !err; i--) { /* completions first: no issue is left waiting */
		struct bpf_insn insns[64];
		struct layout l;
		int id, n;

		err = get_layout(dir, names[i], &l, &id, e);
		if (err)
			break;
		n = i ? complete_program(insns, &l, b->shared_fd, b->pending_fd)
		      : issue_program(insns, &l, b->shared_fd, b->pending_fd);
		b->prog_fd[i] = load_program(insns, n);
		if (b->prog_fd[i] < 0) {
			err = kernel_error(b->prog_fd[i], "a BPF program for block tracing", e);
			break;
		}
		b->event_fd[i] = attach(id, b->prog_fd[i]);
		if (b->event_fd[i] < 0)
			err = kernel_error(b->event_fd[i], "tracing the block layer", e);
	}
	close(dir);
	return err;
}

/* 12 bits of major, 20 of minor. */
static int disk_number(const char *sys_root, const char *disk, uint64_t *dev, struct errbuf *e)
{
	char path[128], text[64];
	unsigned int major, minor;

	snprintf(path, sizeof path, "block/%s/dev", disk);
	if (procfs_slurp(sys_root, path, text, sizeof text) < 0 ||
	    sscanf(text, "%u:%u", &major, &minor) != 2)
		return errf(e, -ENODEV, "%s/%s does not tell the disk's number", sys_root, path);
	*dev = major << 20 | minor;
	return 0;
}

int blocklat_open(struct blocklat **out, const char *sys_root, const char *disk, struct errbuf *e)
{
	struct blocklat *b = blocklat_bare(NULL);
	uint64_t dev = 0;
	int err;

	if (!b)
		return errf(e, -ENOMEM, "out of memory");
	err = disk_number(sys_root, disk, &dev, e);
	if (!err)
		err = make_memory(b, dev, e);
	if (!err)
		err = start(b, sys_root, e);
	if (err) {
		blocklat_close(b);
		return err;
	}
	*out = b;
	return 0;
}
