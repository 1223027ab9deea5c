/* atlas-catalog: where the files of a directory lie on their disk, for the `extents` device; `dcn
 * catalog` does the same. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "stacks/atlas/nvme/catalog.h"

int main(int argc, char **argv)
{
	struct errbuf e = {""};
	int files;

	log_init("atlas-catalog", LOG_INFO);
	if (argc == 2 && !strcmp(argv[1], "--help")) {
		printf("usage: atlas-catalog DIR FILE\n"
		       "Writes to FILE where the files below DIR lie on their disk (ext4, XFS). "
		       "Then unmount, and\n"
		       "serve them: atlas --device extents:FILE,vfio:0000:01:00.0 ...\n");
		return 0;
	}
	if (argc != 3) {
		log_err("usage: atlas-catalog DIR FILE");
		return 2;
	}
	files = catalog_write(argv[1], argv[2], &e);
	if (files < 0) {
		log_err("%s", e.s);
		return 1;
	}
	log_info("%d files below %s in %s", files, argv[1], argv[2]);
	return 0;
}
