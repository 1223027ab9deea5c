/* units: text with a unit into numbers, and back.
 *
 * Experiment files and command lines say "300KiB", "10ms", "10Gbit": a number without its unit is
 * refused wherever more than one could be meant. All functions are pure, any thread, and never
 * look past the terminating NUL. They return 0, or -EINVAL (not a number, unknown unit, trailing
 * text) or -ERANGE (does not fit); *out is written only on success.
 */
#ifndef BASE_UNITS_H
#define BASE_UNITS_H

#include <stddef.h>
#include <stdint.h>

/* "300KiB" "6GiB" "64k" "512" -> bytes. KiB, MiB, GiB, TiB and k, K, M, G, T are powers of 1024;
 * kB, MB, GB, TB powers of 1000; a bare number or B is bytes. Fractions ("1.5GiB") are rounded. */
int units_size(const char *s, uint64_t *out);
/* "2s" "500ms" "100us" "50ns" "5m" "1h" -> ns. A bare number must be 0. */
int units_duration(const char *s, uint64_t *out);
/* "10Gbit" "100Mbit" "64kbit" (powers of 1000, also with a final "/s") -> bits per second. */
int units_rate(const char *s, uint64_t *out);
/* "1000" -> 1000; digits only, no sign. */
int units_count(const char *s, uint64_t *out);
/* "1.5", "-2e3": finite; nothing else may follow. */
int units_number(const char *s, double *out);
/* "0.1%" or "0.1" -> 0.1. In [0, 100]. */
int units_percent(const char *s, double *out);
/* "10ms..40ms" -> both ends, or "10ms" -> twice the same; -EINVAL when the ends are reversed. */
int units_duration_range(const char *s, uint64_t *lo, uint64_t *hi);

/* Shortest exact text: 314572800 -> "300MiB", 1500000000 ns -> "1.5s". Returns buf. */
const char *units_size_text(uint64_t bytes, char *buf, size_t len);
const char *units_duration_text(uint64_t ns, char *buf, size_t len);

#endif
