/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/* diskmap: what the kernel module offers to programs through /dev/diskmapN.
 *
 *	open(O_RDWR)		the controller
 *	DISKMAP_ATTACH		one of its queue pairs, for a range of blocks of a namespace
 *	mmap(DISKMAP_MAP_BUFFERS)	its buffers; mmap(DISKMAP_MAP_CQ), read-only: its completion
 *queue DISKMAP_SUBMIT		a batch of commands, and how far completions have been read poll()
 *readable while completions wait that were not acknowledged
 *	close()			the queue is deleted and drained, then the next program may have it
 *
 * A program names memory by its place in its own buffers, never by address. The submission queue
 *and the PRP lists are the kernel's: a command is copied, checked and translated before the device
 *sees it. Completions are read in memory, without a call: an entry is new when its phase bit is 1
 *in the first round, 0 in the second, and so on (NVM Express 1.4 4.6).
 */
#ifndef DISKMAP_H
#define DISKMAP_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define DISKMAP_VERSION	    1
#define DISKMAP_BUFFER_SIZE (1u << 20)

struct diskmap_info {
	__u32 version;
	__u32 queues;	   /* of the controller */
	__u32 depth;	   /* entries of a queue; depth - 1 commands */
	__u32 buffer_size; /* bytes */
	__u32 buffers;	   /* of a queue; they lie one behind the other */
	__u32 max_io;	   /* bytes of a command */
	__u32 iommu;	   /* 1: a translating IOMMU stands before the device */
	__u32 namespaces;  /* highest number */
	char model[40];	   /* padded with spaces */
	char serial[20];
	__u32 reserved;
};

struct diskmap_ns {
	__u32 nsid; /* in */
	__u32 lba_shift;
	__u64 blocks;
};

#define DISKMAP_WRITE  1u
#define DISKMAP_DIRECT 2u

struct diskmap_attach {
	__u32 nsid;
	__u32 flags;	     /* DISKMAP_WRITE: writes are allowed; DISKMAP_DIRECT */
	__u64 first, blocks; /* the range; 0 blocks: to the end */
	__u32 queue;	     /* out: its number, from 1 */
	__u32 reserved;	     /* 0 */
};

enum { DISKMAP_OP_FLUSH = 0, DISKMAP_OP_WRITE = 1, DISKMAP_OP_READ = 2 };

struct diskmap_cmd {
	__u8 opcode;
	__u8 reserved; /* 0 */
	__u16 cid;     /* the program's, below depth - 1, not in flight */
	__u32 nsid;
	__u64 lba;
	__u32 blocks; /* 1.. */
	__u32 buffer; /* index, offset: where the first byte lies; offset is a multiple of 4 */
	__u32 offset;
	__u32 length; /* bytes: blocks << lba_shift */
};

struct diskmap_submit {
	__u64 cmds;    /* address of struct diskmap_cmd[count] */
	__u32 count;   /* may be 0 */
	__u32 taken;   /* out: commands the device has; fewer than count: the next one is wrong */
	__u32 cq_head; /* entries before this one have been read */
	__s32 error;   /* out: why the next one is wrong, 0 or -errno */
};

#define DISKMAP_ADMIN_DATA 4096

struct diskmap_admin { /* CAP_SYS_ADMIN; Identify, Get Log Page, Get Features */
	__u8 opcode;
	__u8 reserved[3];
	__u32 nsid;
	__u32 cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
	__u64 data;   /* address of DISKMAP_ADMIN_DATA bytes, or 0 */
	__u32 result; /* out: dword 0 of the completion */
	__u32 status; /* out: type << 8 | code */
};

/* DISKMAP_DIRECT only. */
struct diskmap_bell {
	__u32 sq_tail, cq_head; /* below depth */
};

struct diskmap_pages {	 /* device addresses of the buffers' pages */
	__u64 addresses; /* of __u64[count] */
	__u32 first, count;
};

#define DISKMAP_INFO   _IOR('D', 1, struct diskmap_info)
#define DISKMAP_NS     _IOWR('D', 2, struct diskmap_ns)
#define DISKMAP_ATTACH _IOWR('D', 3, struct diskmap_attach)
#define DISKMAP_SUBMIT _IOWR('D', 4, struct diskmap_submit)
#define DISKMAP_ADMIN  _IOWR('D', 5, struct diskmap_admin)

#define DISKMAP_BELL   _IOW('D', 6, struct diskmap_bell)
#define DISKMAP_PAGES  _IOW('D', 7, struct diskmap_pages)

/* Offsets for mmap. */
#define DISKMAP_MAP_CQ	    0
#define DISKMAP_MAP_SQ	    (1ull << 31) /* DISKMAP_DIRECT only */
#define DISKMAP_MAP_BUFFERS (1ull << 32)

#endif
