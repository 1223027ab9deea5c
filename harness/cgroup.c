/* cgroup: memory control groups of both versions behind three calls.
 *
 * One idea: find where the memory controller is (v1 hierarchy, or the v2 root with memory in
 * cgroup.controllers), make one directory there, write one limit. Swap is limited too where the
 * kernel accounts it, or the budget would leak there.
 */
#include "harness/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/undo.h"

#define V1_ROOT "/sys/fs/cgroup/memory"
#define PREFIX	"dcn-"

static int put(const char *dir, const char *file, const char *text)
{
	char path[320];
	int fd, err = 0;

	snprintf(path, sizeof path, "%s/%s", dir, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

static int has_memory(const char *root)
{
	char path[320], s[256] = "";
	FILE *f;

	snprintf(path, sizeof path, "%s/cgroup.controllers", root);
	f = fopen(path, "r");
	if (!f)
		return 0;
	if (!fgets(s, sizeof s, f))
		s[0] = 0;
	fclose(f);
	return strstr(s, "memory") != NULL;
}

/* The hierarchy that has the memory controller. */
static int find_root(const char **root, struct errbuf *e)
{
	static const char *const v2[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};

	*root = V1_ROOT;
	if (!access(V1_ROOT "/memory.limit_in_bytes", F_OK) ||
	    !access(V1_ROOT "/cgroup.procs", F_OK))
		return 1;
	for (int i = 0; i < 2; i++)
		if (has_memory(v2[i])) {
			*root = v2[i];
			return 2;
		}
	return errf(e, -ENOENT,
		    "no memory cgroup controller; mount one (mount -t cgroup2 none "
		    "/sys/fs/cgroup), or boot with cgroup_enable=memory");
}

int cgroup_check(struct errbuf *e)
{
	const char *root;
	int v = find_root(&root, e);

	if (v < 0)
		return v;
	if (access(root, W_OK))
		return errf(e, -EACCES, "%s is not writable; run as root", root);
	return 0;
}

int cgroup_make(struct cgroup *cg, const char *name, uint64_t bytes, struct errbuf *e)
{
	const char *root;
	char text[32];
	int v = find_root(&root, e), err;

	memset(cg, 0, sizeof *cg);
	if (v < 0)
		return v;
	if (v == 2) /* already on, or we have no right: then the limit below fails and says so */
		put(root, "cgroup.subtree_control", "+memory");
	snprintf(cg->dir, sizeof cg->dir, "%s/" PREFIX "%s", root, name);
	snprintf(cg->procs, sizeof cg->procs, "%s/cgroup.procs", cg->dir);
	cg->version = v;
	undo_cgroup(cg->dir);
	if (mkdir(cg->dir, 0755) && errno != EEXIST) {
		err = errf(e, -errno,
			   "%s: %s; the page-cache budget needs the right to make a cgroup",
			   cg->dir, strerror(errno));
		cg->dir[0] = 0;
		return err;
	}
	snprintf(text, sizeof text, "%llu", (unsigned long long)bytes);
	err = put(cg->dir, v == 1 ? "memory.limit_in_bytes" : "memory.max", text);
	if (err) {
		err = errf(e, err, "%s: the memory limit can't be set: %s", cg->dir,
			   strerror(-err));
		cgroup_drop(cg);
		return err;
	}
	put(cg->dir, v == 1 ? "memory.memsw.limit_in_bytes" : "memory.swap.max",
	    v == 1 ? text : "0");
	return 0;
}

int cgroup_remove(const char *dir)
{
	const char *base = strrchr(dir, '/');
	char path[320];
	int pid, n = 0;
	FILE *f;

	if (!base || strncmp(base + 1, PREFIX, strlen(PREFIX)) ||
	    strncmp(dir, "/sys/fs/cgroup/", 15))
		return -EINVAL;
	snprintf(path, sizeof path, "%s/cgroup.procs", dir);
	for (int turn = 0; turn < 200; turn++) {
		if (!rmdir(dir) || errno == ENOENT)
			return 0;
		f = fopen(path, "r");
		while (f && n < 10000 && fscanf(f, "%d", &pid) == 1)
			if (pid > 1 && pid != getpid())
				kill(pid, SIGKILL), n++;
		if (f)
			fclose(f);
		usleep(10000);
	}
	return -EBUSY;
}

void cgroup_drop(struct cgroup *cg)
{
	if (cg->dir[0])
		cgroup_remove(cg->dir);
	cg->dir[0] = 0;
	cg->procs[0] = 0;
}

int64_t cgroup_usage(const struct cgroup *cg)
{
	unsigned long long v = 0;
	char path[320];
	FILE *f;
	int ok;

	snprintf(path, sizeof path, "%s/%s", cg->dir,
		 cg->version == 1 ? "memory.usage_in_bytes" : "memory.current");
	f = fopen(path, "r");
	if (!f)
		return -errno;
	ok = fscanf(f, "%llu", &v);
	fclose(f);
	return ok == 1 ? (int64_t)v : -EIO;
}
