/* aead-bench: how fast each AES-GCM back end seals full records in place on one core.
 *
 * The driver takes it as the ceiling that cryptography sets (ceil_crypto_gbps). One 16 KiB buffer
 * that stays in cache is sealed over and over, with header, inner type and tag as atlas does it:
 * that is the upper bound; data that comes from memory is slower.
 *
 * Limits: one thread; the median of several slices, so that a moment of other load does not count.
 */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "stacks/atlas/tls/aead.h"

#define RECORD 16384
#define SLICES 9

static const char usage[] =
	"usage: aead-bench [--json] [--seconds S] [--aead NAME]\n"
	"  Seals 16 KiB records in place, AES-128-GCM and AES-256-GCM, on one core.\n"
	"  --json       one JSON object: {\"record_bytes\", \"results\": [{\"aead\", \"suite\",\n"
	"               \"bytes_per_s\", \"gbps\"}]}\n"
	"  --seconds S  time for each result, 0.01 to 60 (default 0.3)\n"
	"  --aead NAME  only this back end: ipsec-mb or openssl\n";

struct opts {
	bool json;
	double seconds;
	const char *only;
};

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Bytes per second of one slice of `ns`. */
static double slice(const struct aead_ops *o, void *ctx, uint8_t *p, uint64_t ns)
{
	uint8_t iv[AEAD_IV] = {0}, hdr[5] = {23, 3, 3, 0x40, 0x11}, trail[17];
	uint64_t start = clock_ns(), t = start, n = 0;

	for (; t - start < ns; t = clock_ns())
		for (int i = 0; i < 16; i++, n++) {
			memcpy(iv + 4, &n, sizeof n);
			o->seal(ctx, iv, hdr, p, RECORD, 23, trail, trail + 1);
		}
	return (double)n * RECORD * 1e9 / (double)(t - start);
}

/* 0 or -errno. */
static int measure(const struct aead_ops *o, int key_len, double seconds, double *out)
{
	static uint8_t key[32], p[RECORD] __attribute__((aligned(4096)));
	size_t n = (o->ctx_size + 63) & ~(size_t)63;
	uint64_t ns = (uint64_t)(seconds * 1e9 / SLICES);
	double v[SLICES];
	void *ctx = aligned_alloc(64, n);
	int err;

	if (!ctx)
		return -ENOMEM;
	memset(ctx, 0, n);
	err = o->thread_init();
	if (!err)
		err = o->key(ctx, key, key_len);
	if (!err) {
		for (int i = 0; i < SLICES; i++)
			v[i] = slice(o, ctx, p, ns);
		qsort(v, SLICES, sizeof *v, by_value);
		*out = v[SLICES / 2];
		o->clear(ctx);
	}
	free(ctx);
	return err;
}

static int run(const struct opts *op)
{
	static const struct aead_ops *const all[] = {&aead_ipsec_mb, &aead_openssl};
	json_t *results = json_array(), *root;
	int done = 0;

	for (int i = 0; i < 4; i++) {
		const struct aead_ops *o = all[i / 2];
		const char *suite = i & 1 ? "TLS_AES_256_GCM_SHA384" : "TLS_AES_128_GCM_SHA256";
		double rate;
		int err;

		if (op->only && strcmp(op->only, o->name) != 0)
			continue;
		err = measure(o, i & 1 ? 32 : 16, op->seconds, &rate);
		if (err) {
			fprintf(stderr, "aead-bench: %s does not work here: %s\n", o->name,
				strerror(-err));
			continue;
		}
		done++;
		json_array_append_new(results, json_pack("{s:s,s:s,s:f,s:f}", "aead", o->name,
							 "suite", suite, "bytes_per_s", rate,
							 "gbps", rate * 8 / 1e9));
		if (!op->json)
			printf("%-9s %-23s %6.2f GB/s %7.1f Gb/s\n", o->name, suite, rate / 1e9,
			       rate * 8 / 1e9);
	}
	root = json_pack("{s:i,s:o}", "record_bytes", RECORD, "results", results);
	if (op->json && root) {
		json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
		putchar('\n');
	}
	json_decref(root);
	return done ? 0 : 1;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {{"json", no_argument, NULL, 'j'},
					      {"seconds", required_argument, NULL, 's'},
					      {"aead", required_argument, NULL, 'a'},
					      {"help", no_argument, NULL, 'h'},
					      {0}};
	struct opts op = {.seconds = 0.3};
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'j':
			op.json = true;
			break;
		case 's':
			op.seconds = strtod(optarg, &end);
			if (*end || !(op.seconds >= 0.01 && op.seconds <= 60)) {
				fprintf(stderr, "aead-bench: --seconds %s: give 0.01 to 60\n",
					optarg);
				return 2;
			}
			break;
		case 'a':
			op.only = optarg;
			if (!aead_find(op.only)) {
				fprintf(stderr,
					"aead-bench: --aead %s: choose ipsec-mb or openssl\n",
					optarg);
				return 2;
			}
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (optind < argc) {
		fputs(usage, stderr);
		return 2;
	}
	return run(&op);
}
