/* diskmap_direct: diskmap's mapped submission queue, as in the paper: commands and PRP lists are
 * written here, and the only call is the one for the doorbells.
 *
 * The one idea: a trusted program trades the kernel's checks for fewer instructions a command. What
 * it is trusted with is the whole controller's IOMMU domain, so the module gives it to one owner
 * with CAP_SYS_RAWIO behind a translating IOMMU only.
 *
 * Limits: PRP lists lie behind the region in the module's buffers, a page a command. Source: the
 * paper, 3.1; NVMe 1.4, 4.1 to 4.3.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "stacks/atlas/nvme/diskmap_priv.h"

size_t diskmap_direct_bytes(const struct diskmap *d)
{
	return (size_t)(d->info.depth - 1) * NVME_PAGE;
}

static int get_pages(struct diskmap *d, struct errbuf *e)
{
	uint32_t count = d->info.buffers * (d->info.buffer_size / NVME_PAGE);
	struct diskmap_pages p = {.count = count};

	d->page = calloc(count, sizeof *d->page);
	if (!d->page)
		return errf(e, -ENOMEM, "no memory");
	p.addresses = (uintptr_t)d->page;
	if (ioctl(d->fd, DISKMAP_PAGES, &p))
		return errf(e, -errno, "diskmap tells no device addresses: %s", strerror(errno));
	return 0;
}

int diskmap_direct_open(struct diskmap *d, size_t at, struct errbuf *e)
{
	int rw = PROT_READ | PROT_WRITE;
	void *p;

	d->sq_bytes = ((size_t)d->info.depth * sizeof *d->sq + NVME_PAGE - 1) & ~(NVME_PAGE - 1ul);
	p = mmap(NULL, d->sq_bytes, rw, MAP_SHARED, d->fd, (off_t)DISKMAP_MAP_SQ);
	if (p == MAP_FAILED)
		return errf(e, -errno, "cannot map diskmap's submission queue: %s",
			    strerror(errno));
	d->sq = p;
	d->lists_bytes = diskmap_direct_bytes(d);
	d->lists_page = (uint32_t)(at / NVME_PAGE);
	p = mmap(NULL, d->lists_bytes, rw, MAP_SHARED, d->fd,
		 (off_t)(DISKMAP_MAP_BUFFERS + (size_t)d->lists_page * NVME_PAGE));
	if (p == MAP_FAILED)
		return errf(e, -errno, "cannot map room for PRP lists: %s", strerror(errno));
	d->lists = p;
	return get_pages(d, e);
}

void diskmap_direct_close(struct diskmap *d)
{
	if (d->sq)
		munmap(d->sq, d->sq_bytes);
	if (d->lists)
		munmap(d->lists, d->lists_bytes);
	free(d->page);
}

/* Our pages need not follow each other for the device: the table says where each one is. */
static void build_prps(struct diskmap *d, const struct diskmap_cmd *c, struct nvme_sqe *s)
{
	size_t at = (size_t)c->buffer * d->info.buffer_size + c->offset;
	size_t page = at / NVME_PAGE, last = (at + c->length - 1) / NVME_PAGE;
	uint64_t *list = (uint64_t *)(d->lists + (size_t)c->cid * NVME_PAGE);

	s->prp1 = d->page[page] + at % NVME_PAGE;
	if (last == page)
		return;
	if (last == page + 1) {
		s->prp2 = d->page[last];
		return;
	}
	for (size_t i = page + 1; i <= last; i++)
		*list++ = d->page[i];
	s->prp2 = d->page[d->lists_page + c->cid];
}

void diskmap_direct_put(struct diskmap *d, const struct diskmap_cmd *c)
{
	struct nvme_sqe s = {.opcode = c->opcode,
			     .cid = c->cid,
			     .nsid = c->nsid,
			     .cdw10 = (uint32_t)c->lba,
			     .cdw11 = (uint32_t)(c->lba >> 32),
			     .cdw12 = c->blocks - 1};

	build_prps(d, c, &s);
	d->sq[d->tail] = s;
	if (++d->tail == d->info.depth)
		d->tail = 0;
}

/* The call orders our writes before the doorbell's. */
int diskmap_direct_bell(struct diskmap *d)
{
	struct diskmap_bell b = {.sq_tail = d->tail, .cq_head = d->head};

	if (ioctl(d->fd, DISKMAP_BELL, &b))
		return -errno;
	d->rung = d->tail;
	d->acked = d->head;
	return 0;
}
