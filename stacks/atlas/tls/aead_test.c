/* aead: published vectors, and each back end against EVP's plain one-piece sequence: every length
 * of a record, both key lengths, odd addresses, and whatever was tampered with refused. */
#include "stacks/atlas/tls/aead.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "base/rng.h"

#define MAX 16384

static const struct aead_ops *const all[] = {&aead_ipsec_mb, &aead_openssl};
#define N_ALL (sizeof all / sizeof *all)

static void *ctx_new(const struct aead_ops *o, const uint8_t *key, int key_len)
{
	size_t n = (o->ctx_size + 63) & ~(size_t)63;
	void *c = aligned_alloc(64, n);

	assert_non_null(c);
	memset(c, 0, n);
	assert_int_equal(o->thread_init(), 0);
	assert_int_equal(o->key(c, key, key_len), 0);
	return c;
}

static void ctx_free(const struct aead_ops *o, void *c)
{
	const uint8_t *p = c;

	o->clear(c);
	for (size_t i = 0; i < o->ctx_size; i++)
		assert_int_equal(p[i], 0);
	free(c);
}

static void fill(struct rng *r, uint8_t *p, size_t n)
{
	for (; n >= 8; p += 8, n -= 8) {
		uint64_t v = rng_u64(r);

		memcpy(p, &v, 8);
	}
	while (n--)
		*p++ = (uint8_t)rng_u64(r);
}

static size_t unhex(const char *s, uint8_t *out)
{
	size_t n = strlen(s) / 2;

	for (size_t i = 0; i < n; i++)
		sscanf(s + 2 * i, "%2hhx", &out[i]);
	return n;
}

struct vector {
	const char *key, *iv; /* the IV with the record number in it already */
	const char *record, *plain;
	uint8_t type;
};

static const struct vector vectors[] = {
	/* RFC 8448 section 3: client data 0, server data 1, client alert 1, server alert 2. */
	{"17422dda596ed5d9acd890e3c63f5051", "5b78923dee08579033e523d9",
	 "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a"
	 "20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4",
	 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223242526272829"
	 "2a2b2c2d2e2f3031",
	 23},
	{"9f02283b6c9c07efc26bb9f2ac92e356", "cf782b88dd83549aadf1e985",
	 "17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602dcb"
	 "501a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d",
	 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223242526272829"
	 "2a2b2c2d2e2f3031",
	 23},
	{"17422dda596ed5d9acd890e3c63f5051", "5b78923dee08579033e523d8",
	 "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3", "0100", 21},
	{"9f02283b6c9c07efc26bb9f2ac92e356", "cf782b88dd83549aadf1e986",
	 "1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9", "0100", 21},
	/* "The Illustrated TLS 1.3 Connection" (AES-256): client data 0. */
	{"de2f4c7672723a692319873e5c227606691a32d1c59d8b9f51dbb9352e9ca9cc",
	 "bb007956f474b25de902432f", "1703030015828139cb7b73aaabf5b82fbf9a2961bcde10038a32",
	 "70696e67", 23},
};

static void published_records(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ALL * sizeof vectors / sizeof *vectors; i++) {
		const struct vector *v = &vectors[i / N_ALL];
		const struct aead_ops *o = all[i % N_ALL];
		uint8_t key[32], iv[12], rec[128], p[128], type, tag[16];
		size_t rec_len = unhex(v->record, rec), n = unhex(v->plain, p);
		void *c = ctx_new(o, key, (int)unhex(v->key, key));

		unhex(v->iv, iv);
		o->seal(c, iv, rec, p, n, v->type, &type, tag);
		assert_int_equal(rec_len, 5 + n + 17);
		assert_memory_equal(p, rec + 5, n);
		assert_int_equal(type, rec[5 + n]);
		assert_memory_equal(tag, rec + 5 + n + 1, 16);

		assert_int_equal(o->open(c, iv, rec, rec + 5, n + 1), 0);
		unhex(v->plain, p);
		assert_memory_equal(rec + 5, p, n);
		assert_int_equal(rec[5 + n], v->type);
		ctx_free(o, c);
	}
}

/* The oracle: payload and type in one piece, a fresh context: ciphertext | tag in out. */
static void reference(const uint8_t *key, int key_len, const uint8_t *iv, const uint8_t *aad,
		      const uint8_t *p, size_t n, uint8_t *out)
{
	EVP_CIPHER_CTX *e = EVP_CIPHER_CTX_new();
	int got;

	EVP_EncryptInit_ex(e, key_len == 16 ? EVP_aes_128_gcm() : EVP_aes_256_gcm(), NULL, key, iv);
	EVP_EncryptUpdate(e, NULL, &got, aad, 5);
	EVP_EncryptUpdate(e, out, &got, p, (int)n);
	EVP_EncryptFinal_ex(e, out + n, &got);
	EVP_CIPHER_CTX_ctrl(e, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG, out + n);
	EVP_CIPHER_CTX_free(e);
}

/* Buffers of one comparison; the payload has an odd address and guarded neighbours. */
struct bench {
	uint8_t plain[MAX + 1], want[MAX + 1 + AEAD_TAG], room[MAX + 160], out[MAX + 160];
};

static void one_record(const struct aead_ops *o, void *c, struct rng *r, struct bench *b,
		       const uint8_t *iv, const uint8_t *aad, size_t n)
{
	uint8_t *p = b->room + 1 + rng_below(r, 64), *q = b->out + 1 + rng_below(r, 64);
	uint8_t type = 0, tag[AEAD_TAG],
		guard[4] = {p[-1] = 0xa5, p[n] = 0x5a, q[-1] = 0x3c, q[n] = 0xc3};

	memcpy(p, b->plain, n);
	o->seal_copy(c, iv, aad, p, q, n, b->plain[n], &type, tag);
	assert_memory_equal(p, b->plain, n);
	assert_memory_equal(q, b->want, n);
	assert_int_equal(type, b->want[n]);
	assert_memory_equal(tag, b->want + n + 1, AEAD_TAG);

	type = 0;
	memset(tag, 0, sizeof tag);
	o->seal(c, iv, aad, p, n, b->plain[n], &type, tag);
	assert_memory_equal(p, b->want, n);
	assert_int_equal(type, b->want[n]);
	assert_memory_equal(tag, b->want + n + 1, AEAD_TAG);
	assert_true(p[-1] == guard[0] && p[n] == guard[1] && q[-1] == guard[2] && q[n] == guard[3]);

	memcpy(p, b->want, n + 1 + AEAD_TAG);
	assert_int_equal(o->open(c, iv, aad, p, n + 1), 0);
	assert_memory_equal(p, b->plain, n + 1);
}

/* Every length, each with its own bytes, IV and header; a new key now and then in the same context.
 */
static void every_length(const struct aead_ops *o, int key_len)
{
	struct bench *b = calloc(1, sizeof *b);
	uint8_t key[32], iv[12], aad[5];
	void *c = NULL;
	struct rng r;

	assert_non_null(b);
	rng_seed(&r, 42);
	for (size_t n = 0; n <= MAX; n++) {
		if (n % 512 == 0) {
			fill(&r, key, sizeof key);
			if (!c)
				c = ctx_new(o, key, key_len);
			else
				assert_int_equal(o->key(c, key, key_len), 0);
		}
		fill(&r, iv, sizeof iv);
		fill(&r, aad, sizeof aad);
		fill(&r, b->plain, n + 1);
		reference(key, key_len, iv, aad, b->plain, n + 1, b->want);
		one_record(o, c, &r, b, iv, aad, n);
	}
	ctx_free(o, c);
	free(b);
}

static void every_length_against_evp(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ALL; i++) {
		every_length(all[i], 16);
		every_length(all[i], 32);
	}
}

/* Both key lengths in turn in one context, as the shared read context sees them; sealing and
 * opening mixed. */
static void one_context_many_keys(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ALL; i++) {
		const struct aead_ops *o = all[i];
		struct bench *b = calloc(1, sizeof *b);
		uint8_t key[32], iv[12], aad[5];
		void *c = NULL;
		struct rng r;

		rng_seed(&r, 7);
		for (int k = 0; k < 2000; k++) {
			int key_len = rng_below(&r, 2) ? 16 : 32;
			size_t n = rng_below(&r, 400);

			fill(&r, key, sizeof key);
			if (!c)
				c = ctx_new(o, key, key_len);
			assert_int_equal(o->key(c, key, key_len), 0);
			fill(&r, iv, sizeof iv);
			fill(&r, aad, sizeof aad);
			fill(&r, b->plain, n + 1);
			reference(key, key_len, iv, aad, b->plain, n + 1, b->want);
			one_record(o, c, &r, b, iv, aad, n);
		}
		ctx_free(o, c);
		free(b);
	}
}

/* One flipped bit anywhere: ciphertext, tag, header, IV. */
static void tampering_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ALL; i++) {
		const struct aead_ops *o = all[i];
		uint8_t key[32] = {1}, iv[12] = {2}, aad[5] = {23, 3, 3, 0, 60}, rec[60], p[60];
		void *c = ctx_new(o, key, 32);

		memset(p, 9, sizeof p);
		o->seal(c, iv, aad, p, 43, 23, p + 43, p + 44);
		for (size_t bit = 0; bit < 8 * (60 + 5 + 12); bit++) {
			uint8_t v[12], a[5], m = (uint8_t)(1u << bit % 8);
			size_t at = bit / 8;

			memcpy(rec, p, 60);
			memcpy(a, aad, 5);
			memcpy(v, iv, 12);
			*(at < 60 ? &rec[at] : at < 65 ? &a[at - 60] : &v[at - 65]) ^= m;
			assert_int_equal(o->open(c, v, a, rec, 44), -EBADMSG);
		}
		memcpy(rec, p, 60);
		assert_int_equal(o->open(c, iv, aad, rec, 44), 0);
		ctx_free(o, c);
	}
}

static void names(void **state)
{
	uint8_t key[32] = {0};

	(void)state;
	for (size_t i = 0; i < N_ALL; i++) {
		void *c = ctx_new(all[i], key, 16);

		assert_ptr_equal(aead_find(all[i]->name), all[i]);
		assert_int_equal(all[i]->key(c, key, 24), -EINVAL);
		ctx_free(all[i], c);
	}
	assert_null(aead_find("rot13"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_records),
		cmocka_unit_test(every_length_against_evp),
		cmocka_unit_test(one_context_many_keys),
		cmocka_unit_test(tampering_is_refused),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
