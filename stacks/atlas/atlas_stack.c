/* atlas_stack: atlas as the driver starts it: on the server's interface, with an address of its
 * own. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/units.h"
#include "stacks/atlas/nvme/catalog.h"
#include "stacks/launch.h"

#define ARGS_MAX     64
#define ARG_LEN	     512

#define BUFFER_SIZE  (68u << 10) /* atlas's unit, atlas --help */
#define LOCK_PLENTY  (32u << 20) /* more than its default takes */
#define LOCK_UNIT    (2u << 20)	 /* atlas rounds up to huge pages */
#define LOCK_RESERVE (1u << 20)	 /* rings */

/* argv under construction; the strings live in it. */
struct args {
	const char *v[ARGS_MAX];
	char s[ARGS_MAX][ARG_LEN];
	int n;
};

static const char *const variants[] = {"copy",	"openssl", "prefetch", "fifo",
				       "nogso", "poll",	   NULL};

/* [stack] keys of an experiment that are passed on as they are. */
static const struct {
	const char *key, *option;
	enum { COUNT, SIZE, SECONDS, TEXT, FLAG } kind;
} options[] = {
	{"io_window", "--io-window", COUNT},
	{"buffers", "--buffers", COUNT},
	{"record_size", "--record-size", SIZE},
	{"pull", "--pull", SIZE},
	{"fetch", "--fetch", COUNT},
	{"min_pull", "--min-pull", SIZE},
	{"idle", "--idle", SECONDS},
	{"device", "--device", TEXT},
	{"stages", "--stages", FLAG},
};

static bool atlas_caches(const char *variant)
{
	(void)variant;
	return false; /* O_DIRECT throughout */
}

static int atlas_check(const char *variant, struct errbuf *e)
{
	(void)variant;
	(void)e;
	return 0; /* needs what the testbed needs */
}

static void add(struct args *a, const char *text)
{
	if (a->n == ARGS_MAX - 1)
		return;
	snprintf(a->s[a->n], ARG_LEN, "%s", text);
	a->v[a->n] = a->s[a->n];
	a->n++;
}

static void add2(struct args *a, const char *option, const char *value)
{
	add(a, option);
	add(a, value);
}

/* A value as experiments write it ("16KiB", "60s") as atlas takes it. */
static int convert(int kind, const char *in, char out[32])
{
	uint64_t v;
	int err;

	snprintf(out, 32, "%.31s", in);
	if (kind == COUNT)
		return 0;
	err = kind == SIZE ? units_size(in, &v) : units_duration(in, &v);
	if (err)
		return err;
	snprintf(out, 32, "%llu", (unsigned long long)(kind == SIZE ? v : v / 1000000000));
	return 0;
}

/* [stack] device = extents:auto,DEVICE: the content's files from the disk itself. The catalogue is
 * taken anew for each start; leases keep it true while the file system is mounted. */
#define AUTO "extents:auto,"

static bool auto_catalog(const struct stack_env *env, char text[ARG_LEN])
{
	return env->option && !env->option(env, "device", text, ARG_LEN) &&
	       !strncmp(text, AUTO, strlen(AUTO));
}

static int atlas_prepare(const struct stack_env *env, struct errbuf *e)
{
	char text[ARG_LEN], path[ARG_LEN];
	int files;

	if (!auto_catalog(env, text))
		return 0;
	snprintf(path, sizeof path, "%.400s/extents.json", env->work_dir);
	files = catalog_write(env->content_dir, path, e);
	return files < 0 ? files : 0;
}

static void add_device(struct args *a, const struct stack_env *env, const char *device)
{
	char text[ARG_LEN];

	if (!auto_catalog(env, text)) {
		add2(a, "--device", device);
		return;
	}
	snprintf(text, sizeof text, "extents:%.150s/extents.json@%.150s,%.150s", env->work_dir,
		 env->content_dir, device + strlen(AUTO));
	add2(a, "--device", text);
}

static int add_options(struct args *a, const struct stack_env *env, struct errbuf *e)
{
	char text[ARG_LEN], value[32];

	for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
		if (!env->option || env->option(env, options[i].key, text, sizeof text))
			continue;
		if (options[i].kind == FLAG) {
			if (strcmp(text, "on") == 0)
				add(a, options[i].option);
			continue;
		}
		if (options[i].kind == TEXT) {
			add_device(a, env, text);
			continue;
		}
		if (convert(options[i].kind, text, value))
			return errf(e, -EINVAL, "stack.%s = %s: not understood", options[i].key,
				    text);
		add2(a, options[i].option, value);
	}
	return 0;
}

/* Pinned memory is limited for everybody but the real root: how many I/O buffers a worker may have,
 * 0 for as many as atlas likes. */
static unsigned long lockable_buffers(int workers)
{
	unsigned long long inside = 0, outside = 1, count = 0, bytes;
	struct rlimit lock;
	FILE *f = fopen("/proc/self/uid_map", "re");

	if (!f || fscanf(f, "%llu %llu %llu", &inside, &outside, &count) != 3)
		outside = 1;
	if (f)
		fclose(f);
	if ((geteuid() == 0 && outside == 0) || getrlimit(RLIMIT_MEMLOCK, &lock))
		return 0;
	bytes = lock.rlim_cur / (unsigned int)workers;
	if (bytes >= LOCK_PLENTY)
		return 0;
	bytes = bytes > LOCK_RESERVE ? bytes - LOCK_RESERVE : 0;
	return (unsigned long)(bytes / LOCK_UNIT * (LOCK_UNIT / BUFFER_SIZE));
}

static int atlas_start(const struct stack_env *env, struct stack_proc *p, struct errbuf *e)
{
	const struct testbed *tb = env->tb;
	struct args *a = calloc(1, sizeof *a);
	unsigned long buffers;
	char text[ARG_LEN];
	int err;

	if (!a)
		return errf(e, -ENOMEM, "out of memory");
	snprintf(text, sizeof text, "%.480s/atlas", env->bin_dir);
	add(a, text);
	add2(a, "--if", tb->server_if);
	snprintf(text, sizeof text, "%s/%d", tb->atlas_ip, tb->prefix);
	add2(a, "--ip", text);
	if (tb->atlas_gw[0])
		add2(a, "--gw", tb->atlas_gw);
	add2(a, "--root", env->content_dir);
	if (env->tls) {
		add2(a, "--tls-cert", env->cert);
		add2(a, "--tls-key", env->key);
	}
	snprintf(text, sizeof text, "%d", env->workers);
	add2(a, "--workers", text);
	if (env->variant[0])
		add2(a, "--variant", env->variant);
	/* The kernel's name for it is reno; what else the kernel has, atlas refuses by itself. */
	add2(a, "--congestion",
	     strcmp(tb->cfg.congestion, "reno") == 0 ? "newreno" : tb->cfg.congestion);
	snprintf(p->stats_path, sizeof p->stats_path, "%.200s/stats.sock", env->work_dir);
	add2(a, "--stats", p->stats_path);
	buffers = lockable_buffers(env->workers);
	if (buffers && (!env->option || env->option(env, "buffers", text, sizeof text))) {
		snprintf(text, sizeof text, "%lu", buffers);
		add2(a, "--buffers", text);
	}
	err = add_options(a, env, e);
	launch_url(env, p, tb->atlas_ip);
	if (!err)
		err = launch_start(env, p, a->v, e);
	free(a);
	return err;
}

const struct stack_ops stack_atlas = {
	.name = "atlas",
	.variants = variants,
	.caches = atlas_caches,
	.check = atlas_check,
	.prepare = atlas_prepare,
	.start = atlas_start,
	.ready = launch_ready_line,
	.stats = launch_stats,
	.stop = launch_stop,
};
