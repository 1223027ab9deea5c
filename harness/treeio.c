/* treeio: the disk's own counters see everybody; these see the server alone, so the cache ratio can
 * be checked on a machine that does other things too. At most 512 processes. */
#include "harness/treeio.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TREE_MAX 512

static int64_t own(const char *proc_root, pid_t pid)
{
	unsigned long long v = 0;
	char path[300], line[128];
	int found = 0;
	FILE *f;

	snprintf(path, sizeof path, "%s/%d/io", proc_root, (int)pid);
	f = fopen(path, "r");
	if (!f)
		return -errno;
	while (!found && fgets(line, sizeof line, f))
		found = sscanf(line, "read_bytes: %llu", &v) == 1;
	fclose(f);
	return found ? (int64_t)v : -EPROTO;
}

int64_t treeio_read_bytes(const char *proc_root, pid_t root)
{
	pid_t tree[TREE_MAX] = {root};
	int64_t sum = own(proc_root, root), v;
	int n = 1;

	if (sum < 0)
		return sum;
	for (int i = 0; i < n; i++) {
		char path[300];
		int pid;
		FILE *f;

		snprintf(path, sizeof path, "%s/%d/task/%d/children", proc_root, (int)tree[i],
			 (int)tree[i]);
		f = fopen(path, "r");
		while (f && n < TREE_MAX && fscanf(f, "%d", &pid) == 1) {
			v = own(proc_root, pid);
			sum += v > 0 ? v : 0;
			tree[n++] = pid;
		}
		if (f)
			fclose(f);
	}
	return sum;
}
