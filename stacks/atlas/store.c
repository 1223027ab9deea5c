/* store: see store.h.
 *
 * A file is in one of three states: opening (connections may wait for it), open, or failed (freed
 * once the waiters know). Open files sit in a hash by path and in an LRU list while nobody holds a
 * reference. A stale or evicted one leaves the hash at once and is closed with its last reference.
 */
#include "stacks/atlas/store.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "stacks/atlas/core.h"
#include "stacks/atlas/nvme/uring_files.h"

#define PATH_INLINE 112

enum file_state { FILE_OPENING, FILE_OPEN, FILE_FAILED };

struct file {
	struct store *s;
	enum file_state state;
	int err;
	bool hashed, on_lru;
	uint32_t refs, nsid, block;
	uint64_t size, mtime_ns, ino, checked;
	time_t mtime;
	const char *mime;
	struct conn *waiters;
	struct file
		*replaces; /* opened anew to see whether that one is still what the path names */
	struct file *replacement; /* the other way round */
	TAILQ_ENTRY(file) link;	  /* lru, or the queue of opens and closes that wait for the ring */
	UT_hash_handle hh;
	struct nvme_file_req req;
	char *path; /* relative to the root */
	char inline_path[PATH_INLINE];
};

TAILQ_HEAD(file_list, file);

struct store {
	struct worker *w;
	int root_fd;
	unsigned int max_files, count, opening, no_direct;
	struct file *by_path; /* uthash */
	struct file_list lru, todo_open, todo_close;
	struct file *free;
};

/* ---- entries ---- */

static struct file *file_new(struct store *s, const char *path, size_t len)
{
	struct file *f = s->free;

	if (f)
		s->free = (struct file *)f->path;
	else if (!(f = malloc(sizeof *f)))
		return NULL;
	memset(f, 0, sizeof *f);
	f->path = len < PATH_INLINE ? f->inline_path : strdup(path);
	if (!f->path) {
		free(f);
		return NULL;
	}
	memcpy(f->path, path, len + 1);
	f->s = s;
	s->count++;
	return f;
}

static void file_free(struct file *f)
{
	struct store *s = f->s;

	if (f->path != f->inline_path)
		free(f->path);
	f->path = (char *)s->free;
	s->free = f;
	s->count--;
}

static void unhash(struct file *f)
{
	if (!f->hashed)
		return;
	HASH_DEL(f->s->by_path, f);
	f->hashed = false;
}

static void lru_remove(struct file *f)
{
	if (!f->on_lru)
		return;
	TAILQ_REMOVE(&f->s->lru, f, link);
	f->on_lru = false;
}

static void close_unused(struct file *f)
{
	struct store *s = f->s;

	unhash(f);
	lru_remove(f);
	if (f->replacement) {
		f->replacement->replaces =
			NULL; /* it will find no place in the hash, and be closed */
		f->replacement = NULL;
	}
	if (nvme_close_file(s->w->nvme, f->nsid) == 0)
		file_free(f);
	else
		TAILQ_INSERT_TAIL(&s->todo_close, f, link);
}

void store_get(struct file *f)
{
	lru_remove(f);
	f->refs++;
}

void store_put(struct store *s, struct file *f)
{
	if (--f->refs)
		return;
	if (f->hashed) {
		TAILQ_INSERT_TAIL(&s->lru, f, link);
		f->on_lru = true;
	} else {
		close_unused(f);
	}
}

/* ---- opening ---- */

static void opened(struct nvme_file_req *r, int res);

static void wake(struct file *f)
{
	struct conn *c = f->waiters, *next;

	f->waiters = NULL;
	for (; c; c = next) {
		next = c->opening_next;
		c->opening = NULL;
		c->opening_next = NULL;
		conn_opened(c);
	}
}

static void start_open(struct file *f)
{
	struct store *s = f->s;
	int err;

	f->req.cb = opened;
	f->req.cookie = f;
	err = nvme_open_file(s->w->nvme, s->root_fd, f->path, &f->req);
	if (!err)
		return;
	if (err != -EAGAIN && err != -ENOSPC)
		f->err = err; /* told from store_turn(): never within the caller's lookup */
	TAILQ_INSERT_TAIL(&s->todo_open, f, link);
}

/* Give what had to wait for room in the ring another try. */
void store_turn(struct store *s)
{
	struct file *f;
	unsigned int n = 0;

	while ((f = TAILQ_FIRST(&s->todo_close))) {
		TAILQ_REMOVE(&s->todo_close, f, link);
		if (nvme_close_file(s->w->nvme, f->nsid)) {
			TAILQ_INSERT_HEAD(&s->todo_close, f, link);
			break;
		}
		file_free(f);
	}
	while (n++ < 4 && (f = TAILQ_FIRST(&s->todo_open))) {
		TAILQ_REMOVE(&s->todo_open, f, link);
		if (f->err)
			opened(&f->req, f->err);
		else
			start_open(f);
	}
}

static void hash(struct file *f)
{
	struct store *s = f->s;

	HASH_ADD_KEYPTR(hh, s->by_path, f->path, strlen(f->path), f);
	f->hashed = f->hh.tbl != NULL;
}

/* `f` was opened (or not) to check on f->replaces, which was served meanwhile. */
static void replaced(struct file *f)
{
	struct file *old = f->replaces;

	f->replaces = NULL;
	old->replacement = NULL;
	if (f->state == FILE_OPEN && f->ino == old->ino && f->size == old->size &&
	    f->mtime == old->mtime && f->mtime_ns == old->mtime_ns) {
		old->checked = f->checked; /* the same: the new descriptor is closed again */
		return;
	}
	if (!old->hashed)
		return; /* evicted meanwhile */
	unhash(old);
	if (f->state == FILE_OPEN)
		hash(f);
	if (!old->refs)
		close_unused(old);
}

static void opened(struct nvme_file_req *r, int res)
{
	struct file *f = r->cookie;
	struct store *s = f->s;

	s->opening--;
	f->checked = s->w->now;
	if (res < 0) {
		f->state = FILE_FAILED;
		f->err = res;
		s->no_direct += res == -EOPNOTSUPP;
	} else {
		struct nvme_ns_info ns = {.block = 4096};

		f->state = FILE_OPEN;
		f->nsid = (uint32_t)res;
		nvme_ns(s->w->nvme, f->nsid, &ns);
		f->block = ns.block;
		f->size = r->st.stx_size;
		f->ino = r->st.stx_ino;
		f->mtime = r->st.stx_mtime.tv_sec;
		f->mtime_ns = (uint64_t)r->st.stx_mtime.tv_nsec;
		f->mime = http_mime(f->path);
	}
	if (f->replaces)
		replaced(f);
	f->refs++;
	wake(f); /* the waiters look it up again */
	f->refs--;
	if (f->state == FILE_FAILED) {
		unhash(f);
		file_free(f);
	} else if (!f->refs) {
		f->refs++;
		store_put(s, f);
	}
}

/* Room for one more: close the least recently used. false: everything is in use. */
static bool make_room(struct store *s)
{
	struct file *f = TAILQ_FIRST(&s->lru);

	if (s->count < s->max_files)
		return true;
	if (!f)
		return false;
	close_unused(f);
	return true;
}

static int open_new(struct store *s, const char *path, size_t len, struct conn *c)
{
	struct file *f;

	if (!make_room(s))
		return -ENFILE;
	f = file_new(s, path, len);
	if (!f)
		return -ENOMEM;
	hash(f);
	f->waiters = c;
	if (c)
		c->opening = f;
	s->opening++;
	start_open(f);
	return -EINPROGRESS;
}

/* Open the path of `old` anew; nobody waits for it. */
static void revalidate(struct store *s, struct file *old)
{
	struct file *f;

	old->checked = s->w->now; /* not again before the next period, whatever comes of it */
	if (s->count >= s->max_files || !(f = file_new(s, old->path, strlen(old->path))))
		return;
	f->replaces = old;
	old->replacement = f;
	s->opening++;
	start_open(f);
}

int store_lookup(struct store *s, const char *path, struct conn *c, struct file **out)
{
	char index[HTTP_PATH_MAX + 16];
	size_t len = strlen(path);
	struct file *f;

	if (len && path[len - 1] == '/') { /* a directory is asked for: its index */
		len = (size_t)snprintf(index, sizeof index, "%sindex.html", path);
		path = index;
	}
	path++;
	len--;
	HASH_FIND(hh, s->by_path, path, len, f);
	if (!f)
		return open_new(s, path, len, c);
	if (f->state == FILE_FAILED)
		return f->err;
	if (f->state == FILE_OPENING) {
		c->opening_next = f->waiters;
		f->waiters = c;
		c->opening = f;
		return -EINPROGRESS;
	}
	if (s->w->now - f->checked > STORE_FRESH_NS && !f->replacement)
		revalidate(s, f);
	store_get(f);
	*out = f;
	return 0;
}

void store_cancel(struct store *s, struct conn *c)
{
	struct conn **p;

	(void)s;
	if (!c->opening)
		return;
	for (p = &c->opening->waiters; *p; p = &(*p)->opening_next)
		if (*p == c) {
			*p = c->opening_next;
			break;
		}
	c->opening = NULL;
	c->opening_next = NULL;
}

/* ---- start and end ---- */

static struct store *walk_store; /* nftw has no argument; start-up is one thread at a time */
static size_t walk_root_len;

static int walk_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	struct store *s = walk_store;
	const char *rel = path + walk_root_len;

	(void)st;
	(void)ftw;
	while (*rel == '/')
		rel++;
	if (type != FTW_F || !*rel || strlen(rel) >= HTTP_PATH_MAX)
		return 0;
	if (s->count >= s->max_files)
		return 1;
	open_new(s, rel, strlen(rel), NULL);
	while (s->opening >= NVME_FILE_OPS_MAX / 2) {
		store_turn(s);
		nvme_sqsync(s->w->nvme);
		nvme_consume_completions(s->w->nvme, NVME_FILE_OPS_MAX);
	}
	return 0;
}

static void preload(struct store *s, const char *root)
{
	walk_store = s;
	walk_root_len = strlen(root);
	s->w->now = clock_ns();
	nftw(root, walk_one, 16, FTW_PHYS | FTW_MOUNT);
	while (s->opening) {
		store_turn(s);
		nvme_sqsync(s->w->nvme);
		nvme_consume_completions(s->w->nvme, NVME_FILE_OPS_MAX);
	}
}

int store_open(struct store **out, struct worker *w, const char *root, unsigned int max_files,
	       struct errbuf *e)
{
	struct store *s = calloc(1, sizeof *s);

	if (!s)
		return errf(e, -ENOMEM, "no memory for the file store");
	s->root_fd = root ? open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (root && s->root_fd < 0) {
		int err = -errno;

		free(s);
		return errf(e, err, "--root %s: %s; name a directory that atlas may read", root,
			    strerror(-err));
	}
	s->w = w;
	s->max_files = max_files;
	TAILQ_INIT(&s->lru);
	TAILQ_INIT(&s->todo_open);
	TAILQ_INIT(&s->todo_close);
	w->store = *out = s;
	if (root)
		preload(s, root);
	if (s->no_direct && !s->count) /* the walk asks for regular files only */
		return errf(
			e, -EOPNOTSUPP,
			"--root %s: its file system can't do direct reads (O_DIRECT); serve from "
			"ext4, XFS or a recent tmpfs",
			root);
	return 0;
}

void store_close(struct store *s)
{
	struct file *f, *next;

	if (!s)
		return;
	HASH_ITER(hh, s->by_path, f, next)
	{
		unhash(f);
		file_free(f);
	}
	while ((f = TAILQ_FIRST(&s->todo_close))) {
		TAILQ_REMOVE(&s->todo_close, f, link);
		file_free(f);
	}
	while ((f = s->free)) {
		s->free = (struct file *)f->path;
		free(f);
	}
	if (s->root_fd >= 0)
		close(s->root_fd);
	free(s);
}

void store_obj(const struct file *f, struct http_obj *o)
{
	*o = (struct http_obj){.size = f->size,
			       .mtime = f->mtime,
			       .ino = f->ino,
			       .mtime_ns = f->mtime_ns,
			       .mime = f->mime};
}

uint32_t store_nsid(const struct file *f)
{
	return f->nsid;
}

uint32_t store_block(const struct file *f)
{
	return f->block;
}

struct worker *store_worker(const struct file *f)
{
	return f->s->w;
}

unsigned int store_count(const struct store *s)
{
	return s->count;
}
