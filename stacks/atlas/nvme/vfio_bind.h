/* vfio_bind: take a PCI device from its driver, and give it back. Private to this room, but for
 * nvme_vfio_restore(), which `dcn restore` calls after a crash.
 *
 * What was taken is written to a file below /run/dcn before anything is changed, so that a process
 * that dies leaves behind how to undo it. Root. Source: the kernel's ABI/testing/sysfs-bus-pci.
 */
#ifndef ATLAS_NVME_VFIO_BIND_H
#define ATLAS_NVME_VFIO_BIND_H

#include <stdbool.h>

#include "base/errbuf.h"

/* Bind `bdf` ("0000:01:00.0") to `driver` ("vfio-pci"). Refuses (-EBUSY) while a namespace is
 * mounted or otherwise claimed. *taken: it was another driver's before and is to be given back. */
int pci_take(const char *bdf, const char *driver, bool *taken, struct errbuf *e);
/* To the driver that had it. 0 or -errno with a sentence. */
int pci_give_back(const char *bdf, struct errbuf *e);
/* IOMMU group number, or -errno with a sentence. */
int pci_iommu_group(const char *bdf, struct errbuf *e);

/* Give back whatever dead processes left. Devices given back, or -errno of the last failure. */
int nvme_vfio_restore(struct errbuf *e);

#endif
