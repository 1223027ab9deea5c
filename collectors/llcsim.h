/* llcsim: a set-associative last-level cache, fed with touches of memory; it counts what
 * reaches DRAM.
 *
 * Semantics, fixed (a change here is a change of every figure made with it):
 *
 *	- lines of 64 bytes (or what cfg says), write-back, write-allocate, true LRU in each set;
 *	- a device's write (DMA in) updates a present line where it is; otherwise it allocates, and
 *	  only in the last `ddio_ways` ways of the set. Without DDIO ways it goes to memory, and a
 *	  present line is dropped;
 *	- a device's read (DMA out) is served by a present line and does not allocate: a miss is one
 *	  DRAM read, and the line's age does not change;
 *	- a CPU's access allocates in any way, the DDIO ways included. A store fetches the line
 *	  first (one DRAM read), unless the kind says that whole lines are overwritten;
 *	- a part of a line written by a device fetches the rest of the line on a miss;
 *	- a dirty line that is evicted is one DRAM write; a clean one costs nothing;
 *	- no prefetcher, no private caches (a caller that models one hands over its misses as reads
 *	  and its dirty evictions as LLC_WRITEBACK), no write combining, no non-temporal stores.
 *
 * A closed library: this header and llcsim.c, libc's calloc, free and memset, C and C++, position
 * independent. It includes nothing of this project, does no I/O, keeps no global state. One owner
 * at a time, no locks; nothing allocates after llcsim_new().
 *
 * Two users: the what-if model (whatif.c), whose addresses are atlas's buffers, and whoever sees
 * all accesses of a machine, such as a QEMU TCG plugin, whose addresses are guest-physical:
 *
 *	cc -shared -fPIC -I. $(pkg-config --cflags glib-2.0) plugin.c collectors/llcsim.c
 *
 *	struct llcsim_cfg cfg = {.bytes = 20 << 20, .ways = 20, .ddio = 2, .sample = 8,
 *				 .index = LLC_HASHED};
 *	llcsim_new(&llc, &cfg);                          // at install, several of them if wanted
 *	llcsim_touch(llc, store ? LLC_WRITE : LLC_READ, OWNER_CPU, phys, size);  // memory callback
 *	llcsim_touch(llc, LLC_DMA_IN, OWNER_DISK, phys, len);   // preadv into guest memory
 *	llcsim_touch(llc, LLC_DMA_OUT, OWNER_NIC, phys, len);   // writev from guest memory
 *	llcsim_reset(llc);                               // the guest's mark: the window begins
 *	n = *llcsim_count(llc, OWNER_DISK, LLC_DMA_IN);  // at exit; n.writes * n.all / n.lines
 *
 * Such a caller hands over device accesses in the order in which they lie between the CPU's, and
 * takes a lock of its own around all calls if more than one vCPU thread makes them. Private caches
 * (L1, L2) may be left out: they only hide hits.
 */
#ifndef COLLECTORS_LLCSIM_H
#define COLLECTORS_LLCSIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum llc_kind {
	LLC_READ,	/* CPU load (also: a private cache's miss) */
	LLC_WRITE,	/* CPU store: fetch on a miss, then dirty */
	LLC_WRITE_LINE, /* CPU store of whole lines: dirty without a fetch (rep movs, and the like)
			 */
	LLC_WRITEBACK,	/* a private cache evicts dirty lines: updates if present, else to DRAM */
	LLC_DMA_IN,	/* a device writes memory: disk data, received packets */
	LLC_DMA_OUT,	/* a device reads memory: transmitted packets */
	LLC_KINDS
};

extern const char *const llc_kind_name[LLC_KINDS];

/* Which set a line belongs to. */
enum llc_index {
	LLC_MODULO, /* its number modulo the sets: what closed forms are about */
	LLC_HASHED, /* a hash of its number: no pattern of addresses is better or worse than another
		     */
	/* Slices by a hash of its number, sets of a slice by its number modulo (Intel since Sandy
	 * Bridge: Maurice et al., RAID 2015). Patterns of addresses matter: of buffers that begin
	 * at multiples of a slice's sets and are filled in part, all the first parts compete. */
	LLC_SLICED
};

#define LLC_OWNERS   8	/* what the caller wants told apart: buffers, state, kernel, ... */
#define LLC_WAYS_MAX 64 /* ways of a set */

struct llcsim_cfg {
	uint64_t bytes;	     /* capacity; a whole number of sets */
	unsigned int ways;   /* 1..LLC_WAYS_MAX */
	unsigned int ddio;   /* ways that DMA may allocate in, 0..ways */
	unsigned int line;   /* bytes, a power of two; 0 = 64 */
	unsigned int sample; /* simulate one set in `sample`; 0 = all. Divides the number of sets */
	enum llc_index index;
	unsigned int slices; /* LLC_SLICED: of the cache; divides the number of sets */
};

/* Lines, of one owner and kind. With sampling, all but `all` are of the simulated sets only:
 * multiply them by all / lines, which is near cfg.sample, and exact for what was touched. */
struct llc_count {
	uint64_t all;	 /* touched, also in sets that are not simulated */
	uint64_t lines;	 /* touched in simulated sets */
	uint64_t hits;	 /* of them present */
	uint64_t reads;	 /* read from DRAM because of these touches */
	uint64_t writes; /* written to DRAM: lines that these touches made dirty, when they left */
};

struct llcsim;

/* 0, -EINVAL (sizes that do not fit together), -ENOMEM. */
int llcsim_new(struct llcsim **out, const struct llcsim_cfg *cfg);
void llcsim_free(struct llcsim *s);

/* Bytes [addr, addr + len); addresses are whatever the caller tells lines apart by. */
void llcsim_touch(struct llcsim *s, enum llc_kind kind, unsigned int owner, uint64_t addr,
		  uint64_t len);

/* Write all dirty lines back (counted) and forget everything that is cached. */
void llcsim_flush(struct llcsim *s);
/* Counts to zero; what is cached stays: the end of a warm-up. */
void llcsim_reset(struct llcsim *s);

const struct llc_count *llcsim_count(const struct llcsim *s, unsigned int owner,
				     enum llc_kind kind);
struct llc_count llcsim_total(const struct llcsim *s);
unsigned int llcsim_line(const struct llcsim *s); /* bytes */
uint64_t llcsim_sets(const struct llcsim *s);	  /* of the whole cache */
/* Lines of the range that are cached, those of sets that are not simulated left out. */
uint64_t llcsim_present(const struct llcsim *s, uint64_t addr, uint64_t len);
uint64_t llcsim_dirty(const struct llcsim *s); /* dirty lines cached */

#ifdef __cplusplus
}
#endif

#endif
