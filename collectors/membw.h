/* membw, private: where memory traffic can be read from. The first source that works is used, in
 * the order of their ids, and the id is in the results.
 *
 * A source tells bytes since it was opened. One owner, nothing blocks but open and close.
 */
#ifndef COLLECTORS_MEMBW_H
#define COLLECTORS_MEMBW_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/errbuf.h"
#include "harness/collector.h"

#define MEMBW_SOCKETS 4 /* told apart; all are in the total */

enum membw_id {
	MEMBW_NONE,
	MEMBW_IMC,     /* Intel uncore IMC, sysfs */
	MEMBW_UMC,     /* AMD UMC, sysfs (Zen 4, kernel 6.7 on) */
	MEMBW_DF,      /* AMD data fabric, sysfs: reads and writes in one */
	MEMBW_PFM,     /* libpfm4's uncore names */
	MEMBW_PCM,     /* Intel's pcm-memory, a subprocess */
	MEMBW_RESCTRL, /* CPU-attributed: no device DMA in it */
};

struct membw_totals {
	double read, write; /* bytes; meaningless if !apart */
	double total;
	double socket_read[MEMBW_SOCKETS], socket_write[MEMBW_SOCKETS];
	int sockets;
	double share; /* least running / enabled so far */
	bool valid;
};

struct membw_source;

struct membw_source_ops {
	enum membw_id id;
	bool apart;	     /* reads and writes are told apart */
	bool dram;	     /* false: CPU-attributed */
	unsigned int lag_ms; /* how old a total may be */
	int (*open)(struct membw_source **out, const struct collector_env *env, struct errbuf *e);
	void (*read)(struct membw_source *s, struct membw_totals *t);
	void (*close)(struct membw_source *s);
};

extern const struct membw_source_ops membw_imc, membw_umc, membw_df, membw_pfm, membw_pcm,
	membw_resctrl;

/* pcm-memory's CSV, apart for tests. */
#define PCM_COLUMNS 512
struct pcm_csv {
	int columns;
	int read[MEMBW_SOCKETS], write[MEMBW_SOCKETS]; /* columns, -1 none */
	int all_read, all_write;
	int sockets;
};
struct pcm_row {
	double read, write; /* MB/s */
	double socket_read[MEMBW_SOCKETS], socket_write[MEMBW_SOCKETS];
};
/* From the two header lines. False if it is not the format. */
bool pcm_header(struct pcm_csv *c, const char *line1, const char *line2);
/* One line of values. False if it is cut, or the totals are negative or not numbers. */
bool pcm_values(const struct pcm_csv *c, const char *line, struct pcm_row *r);

/* Read memory from each of `cpus` at once for `ms` milliseconds, far more of it than caches hold.
 * Bytes read, 0 if there was no memory for it; *s becomes the time it took. Blocks. */
double membw_walk(const cpu_set_t *cpus, uint64_t llc_bytes, unsigned int ms, double *s);

#endif
