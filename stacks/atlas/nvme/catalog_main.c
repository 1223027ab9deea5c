/* atlas-catalog: where the files of a directory lie on their disk, for the `extents` device. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "stacks/atlas/nvme/catalog.h"

int main(int argc, char **argv)
{
	struct errbuf e = {""};
	struct catalog c;

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
	if (catalog_take(&c, argv[1], &e) || catalog_save(&c, argv[2], &e)) {
		log_err("%s", e.s);
		return 1;
	}
	log_info("%u files of %s file system %s on disk \"%s\" in %s", c.files, c.fs, c.uuid,
		 c.serial, argv[2]);
	catalog_free(&c);
	return 0;
}
