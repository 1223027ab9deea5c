/* profile_test: names to classes, call chains through a made-up kallsyms, and the real clock on
 * this machine where it is allowed. */
#include "collectors/profile.h"
#include "collectors/test_kit.h"

#include "base/clock.h"

static void test_names(void **state)
{
	(void)state;
	assert_int_equal(prof_symbol_class("tcp_sendmsg_locked"), PROF_NET);
	assert_int_equal(prof_symbol_class("__tcp_transmit_skb"), PROF_NET);
	assert_int_equal(prof_symbol_class("packet_snd"), PROF_NET);
	assert_int_equal(prof_symbol_class("veth_xmit"), PROF_NET);
	assert_int_equal(prof_symbol_class("filemap_read"), PROF_STORAGE);
	assert_int_equal(prof_symbol_class("__blk_mq_issue_directly"), PROF_STORAGE);
	assert_int_equal(prof_symbol_class("io_submit_sqes"), PROF_STORAGE);
	assert_int_equal(prof_symbol_class("aesni_gcm_enc"), PROF_CRYPTO);
	assert_int_equal(prof_symbol_class("memcpy_orig"), PROF_NONE);
	assert_int_equal(prof_symbol_class("_copy_from_iter"), PROF_NONE);
	assert_int_equal(prof_symbol_class("schedule"), PROF_NONE);
	assert_true(prof_crypto_file("/usr/lib/x86_64-linux-gnu/libcrypto.so.3"));
	assert_false(prof_crypto_file("/usr/lib/x86_64-linux-gnu/libc.so.6"));
}

static struct prof_symbols *symbols(struct kit *k, const char *text, int want)
{
	struct prof_symbols *s = NULL;
	struct errbuf e = {""};
	char path[128];
	FILE *f;

	snprintf(path, sizeof path, "%s/kallsyms", k->root);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(prof_symbols_load(&s, path, &e), want);
	assert_true(want == 0 || e.s[0]);
	unlink(path);
	return s;
}

static void test_chains(void **state)
{
	static const char text[] = "ffffffff81000000 T _text\n"
				   "ffffffff81001000 t copy_user\n"
				   "ffffffff81002000 T packet_snd\n"
				   "ffffffff81003000 T filemap_read\n"
				   "ffffffff81004000 D some_data\n"
				   "ffffffff81005000 t schedule\n"
				   "ffffffff81006000 T do_syscall_64\n"
				   "ffffffffc0001000 t virtblk_done\t[virtio_blk]\n";
	const uint64_t send[] = {0xffffffff81001010, 0xffffffff81002333, 0xffffffff81006001};
	const uint64_t page[] = {0xffffffff81001fff, 0xffffffff81003001, 0xffffffff81002001};
	const uint64_t irq[] = {0xffffffffc0001004, 0xffffffff81002001};
	const uint64_t other[] = {0xffffffff81005001, 0xffffffff81006001};
	const uint64_t below[] = {0x1000};
	struct prof_symbols *s;
	struct kit k;

	(void)state;
	kit_begin(&k, "");
	s = symbols(&k, text, 0);
	assert_int_equal(prof_kernel_class(s, send, 3), PROF_NET);
	assert_int_equal(prof_kernel_class(s, page, 3), PROF_STORAGE); /* the innermost decides */
	assert_int_equal(prof_kernel_class(s, irq, 2), PROF_STORAGE);
	assert_int_equal(prof_kernel_class(s, other, 2), PROF_KERNEL);
	assert_int_equal(prof_kernel_class(s, below, 1), PROF_KERNEL);
	prof_symbols_free(s);
	symbols(&k, "0000000000000000 T _text\n0000000000000000 t tcp_ack\n", -EACCES);
	kit_end(&k);
}

/* What this thread burns is seen, and is in no kernel's class. */
static void test_real(void **state)
{
	struct collector_env env = {
		.proc_root = "/proc", .sys_root = "/sys", .stack_pid = getpid()};
	struct testbed tb = {.prefix = 0};
	struct collector *c = NULL;
	struct errbuf e = {""};
	struct kit k;
	cpu_set_t old;
	uint64_t t;

	(void)state;
	CPU_ZERO(&tb.server_cpus);
	CPU_SET(0, &tb.server_cpus);
	env.tb = &tb;
	if (collector_profile.probe(&env, &e) || collector_profile.open(&c, &env, &e)) {
		assert_true(e.s[0]);
		skip();
	}
	kit_begin(&k, "");
	sched_getaffinity(0, sizeof old, &old);
	sched_setaffinity(0, sizeof tb.server_cpus, &tb.server_cpus);
	collector_profile.mark(c, 0, clock_ns());
	for (t = clock_ns(); clock_ns() < t + 100 * NSEC_PER_MSEC;)
		;
	collector_profile.sample(c, clock_ns(), &k.sink);
	collector_profile.mark(c, 1, clock_ns());
	sched_setaffinity(0, sizeof old, &old);
	collector_profile.finish(c, 1000000, &k.sink);
	collector_profile.close(c);
	kit_complete(&k, &collector_profile);
	assert_true(kit_get(&k, "prof_samples") > 0);
	assert_true(kit_get(&k, "prof_user_s_per_gb") > 0);
	kit_end(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_names),
					   cmocka_unit_test(test_chains),
					   cmocka_unit_test(test_real)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
