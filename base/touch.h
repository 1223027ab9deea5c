/* touch: the file format of a recorded trace of buffer touches.
 *
 * Who touched which memory, and when: atlas writes it (stacks/atlas/trace.h), the what-if model
 * reads it (collectors/whatif_trace.h). A file is one header and `count` entries, oldest first, of
 * one thread, in this machine's byte order. Times are of base/clock.h, addresses virtual ones of
 * the traced process.
 */
#ifndef BASE_TOUCH_H
#define BASE_TOUCH_H

#include <stdint.h>

enum touch_kind {
	TOUCH_ISSUE,  /* a disk read into it was started; nothing is touched yet */
	TOUCH_DMA_IN, /* the read was seen completed: the device wrote it, at the latest now */
	TOUCH_CPU_READ,
	TOUCH_CPU_WRITE,
	TOUCH_DMA_OUT, /* handed to the network interface, which reads it */
	TOUCH_KINDS
};

struct touch {
	uint64_t t_ns, addr;
	uint32_t len, kind;
};

#define TOUCH_MAGIC 0x31686375746e6364ull /* "dcntuch1" */

struct touch_header {
	uint64_t magic;
	uint64_t count; /* entries that follow */
	uint64_t lost;	/* older ones, overwritten in the ring */
};

_Static_assert(sizeof(struct touch) == 24, "written to files");
_Static_assert(sizeof(struct touch_header) == 24, "written to files");

#endif
