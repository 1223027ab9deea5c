/* region: the buffer memory of a queue pair.
 *
 * Anonymous memory, aligned to and a multiple of 2 MiB so that transparent huge pages can back it
 * (fewer entries in the IOMMU's and the CPU's TLB), and touched once, so that the first I/O does
 * not pay for the first touch. Pinning is the back end's: each registers with its own device.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "stacks/atlas/nvme/backend.h"

#define HUGE_PAGE (2ul << 20)

int region_map(void **out, size_t *bytes, struct errbuf *e)
{
	size_t len = (*bytes + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
	char *p, *start;
	size_t head;

	if (!*bytes || len < *bytes)
		return errf(e, -EINVAL, "region_bytes of %zu makes no buffer memory", *bytes);
	p = mmap(NULL, len + HUGE_PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return errf(e, -errno, "cannot map %zu MiB of buffer memory: %s", len >> 20,
			    strerror(errno));
	start = (char *)(((uintptr_t)p + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1));
	head = (size_t)(start - p);
	if (head)
		munmap(p, head);
	munmap(start + len, HUGE_PAGE - head);

	madvise(start, len, MADV_HUGEPAGE);
	memset(start, 0, len);
	*out = start;
	*bytes = len;
	return 0;
}

void region_unmap(void *p, size_t bytes)
{
	munmap(p, bytes);
}
