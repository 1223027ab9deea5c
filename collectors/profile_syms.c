/* profile_syms: see profile.h. The table of name prefixes is the method: it is rough by nature, and
 * what it does not know is `other kernel`, never guessed. Names are those of Linux 6.x. */
#include "collectors/profile.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct prof_symbols {
	uint64_t *addr;
	uint8_t *cls;
	size_t n, room;
};

static const char *const crypto[] = {"aesni_", "aes_", "gcm_", "gcmaes", "ghash", "crypto_", NULL};

static const char *const net[] = {"tcp_",
				  "tcp4_",
				  "tcp6_",
				  "ip_",
				  "ipv4_",
				  "ipv6_",
				  "ip6_",
				  "inet_",
				  "inet6_",
				  "sock_",
				  "sk_",
				  "skb_",
				  "kfree_skb",
				  "consume_skb",
				  "napi_",
				  "netif_",
				  "net_rx_",
				  "net_tx_",
				  "net_rps",
				  "dev_",
				  "veth_",
				  "packet_",
				  "tpacket",
				  "qdisc_",
				  "sch_direct",
				  "gro_",
				  "nf_",
				  "rps_",
				  "process_backlog",
				  "enqueue_to_backlog",
				  "validate_xmit",
				  "arp_",
				  "neigh_",
				  "fib_",
				  "tls_",
				  "release_sock",
				  "lock_sock",
				  "sys_send",
				  "sys_recv",
				  "eth_",
				  "splice_to_socket",
				  "alloc_skb",
				  "pskb_",
				  "udp_",
				  "br_",
				  "unix_",
				  "do_tcp_",
				  "x64_sys_send",
				  "x64_sys_recv",
				  "x64_sys_sendto",
				  "x64_sys_accept",
				  "sys_accept",
				  "ep_",
				  "epoll",
				  "do_epoll",
				  NULL};

static const char *const storage[] = {"blk_",
				      "bio_",
				      "submit_bio",
				      "virtblk",
				      "nvme_",
				      "scsi_",
				      "ext4_",
				      "xfs_",
				      "btrfs_",
				      "jbd2_",
				      "iomap_",
				      "filemap_",
				      "page_cache_",
				      "generic_file_",
				      "generic_perform",
				      "vfs_read",
				      "ksys_read",
				      "ksys_pread",
				      "x64_sys_pread",
				      "x64_sys_read",
				      "io_submit_",
				      "io_read",
				      "io_issue_",
				      "io_uring_",
				      "io_sq",
				      "io_cqring",
				      "io_import",
				      "do_sys_io_uring",
				      "x64_sys_io_uring",
				      "mpage_",
				      "do_mpage",
				      "readahead",
				      "read_pages",
				      "shrink_",
				      "try_to_free",
				      "lru_",
				      "workingset_",
				      "dio_",
				      "blkdev_",
				      "elv_",
				      "dd_",
				      "shmem_",
				      "block_",
				      "end_bio",
				      "do_read_cache",
				      "io_req_",
				      "io_handle_tw",
				      "tctx_task_work",
				      "ctx_flush_and_put",
				      "rw_verify_area",
				      NULL};

static bool listed(const char *const *list, const char *name)
{
	for (; *list; list++)
		if (!strncmp(name, *list, strlen(*list)))
			return true;
	return false;
}

enum prof_class prof_symbol_class(const char *name)
{
	name += strspn(name, "_"); /* __tcp_transmit_skb */
	if (listed(crypto, name))
		return PROF_CRYPTO;
	if (listed(net, name))
		return PROF_NET;
	return listed(storage, name) ? PROF_STORAGE : PROF_NONE;
}

int prof_crypto_file(const char *path)
{
	return strstr(path, "/libcrypto.") || strstr(path, "/libIPSec_MB.");
}

static int add(struct prof_symbols *s, uint64_t addr, enum prof_class cls)
{
	if (s->n == s->room) {
		size_t room = s->room ? 2 * s->room : 1 << 17;
		uint64_t *a = realloc(s->addr, room * sizeof *a);
		uint8_t *k;

		if (!a)
			return -ENOMEM;
		s->addr = a;
		k = realloc(s->cls, room);
		if (!k)
			return -ENOMEM;
		s->cls = k;
		s->room = room;
	}
	s->addr[s->n] = addr;
	s->cls[s->n++] = (uint8_t)cls;
	return 0;
}

struct pair {
	uint64_t addr;
	uint8_t cls;
};

static int by_address(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

/* Modules come after the kernel and may lie below it. */
static int sort(struct prof_symbols *s)
{
	struct pair *p = malloc((s->n + 1) * sizeof *p);

	if (!p)
		return -ENOMEM;
	for (size_t i = 0; i < s->n; i++)
		p[i] = (struct pair){s->addr[i], s->cls[i]};
	qsort(p, s->n, sizeof *p, by_address);
	for (size_t i = 0; i < s->n; i++) {
		s->addr[i] = p[i].addr;
		s->cls[i] = p[i].cls;
	}
	free(p);
	return 0;
}

int prof_symbols_load(struct prof_symbols **out, const char *path, struct errbuf *e)
{
	struct prof_symbols *s = calloc(1, sizeof *s);
	FILE *f = fopen(path, "re");
	char line[512], name[256], type;
	unsigned long long addr;
	int err = 0;

	if (!s || !f) {
		err = s ? -errno : -ENOMEM;
		goto fail;
	}
	while (!err && fgets(line, sizeof line, f))
		if (sscanf(line, "%llx %c %255s", &addr, &type, name) == 3 && addr &&
		    strchr("tTwW", type))
			err = add(s, addr, prof_symbol_class(name));
	if (!err && !s->n)
		err = -EACCES;
	if (!err)
		err = sort(s);
	if (err)
		goto fail;
	fclose(f);
	*out = s;
	return 0;
fail:
	if (f)
		fclose(f);
	prof_symbols_free(s);
	return errf(e, err, "%s: %s", path,
		    err == -EACCES ? "the kernel hides its addresses; run as root, or `sysctl "
				     "kernel.kptr_restrict=1`"
				   : strerror(-err));
}

void prof_symbols_free(struct prof_symbols *s)
{
	if (!s)
		return;
	free(s->addr);
	free(s->cls);
	free(s);
}

enum prof_class prof_kernel_class(const struct prof_symbols *s, const uint64_t *ip, int n)
{
	for (int i = 0; i < n; i++) {
		size_t lo = 0, hi = s->n;

		while (lo < hi) { /* the first symbol above ip */
			size_t mid = lo + (hi - lo) / 2;

			if (s->addr[mid] <= ip[i])
				lo = mid + 1;
			else
				hi = mid;
		}
		if (lo && s->cls[lo - 1] != PROF_NONE)
			return (enum prof_class)s->cls[lo - 1];
	}
	return PROF_KERNEL;
}
