/* One sentence about what went wrong and what to do next.
 *
 * Functions that can fail on outside input return -errno and leave the sentence here; the caller
 * that handles the error prints it once. Owned by the caller, any thread, never blocks.
 */
#ifndef BASE_ERRBUF_H
#define BASE_ERRBUF_H

struct errbuf {
	char s[512]; /* always terminated; empty when nothing was said */
};

/* Write the sentence (no final newline; cut at the buffer's end) and return `err` (a -errno), so
 * that `return errf(e, -EINVAL, "...")` is one line. `e` may be NULL. */
int errf(struct errbuf *e, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
