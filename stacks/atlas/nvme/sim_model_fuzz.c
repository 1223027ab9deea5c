/* libFuzzer target: the first line is options of a device name, the rest a model file. Either it is
 * a model whose every number can be simulated, or there is a sentence. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stacks/atlas/nvme/sim_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct sim_model *m)
{
	if (m->block < 512 || m->block > 4096 || m->block & (m->block - 1) || !m->capacity ||
	    m->capacity % m->block || !m->max_transfer || m->max_transfer % m->block)
		abort();
	for (int i = 0; i < 2; i++)
		if (!(m->bandwidth[i] >= 1e6 && m->bandwidth[i] <= 1e12) ||
		    !(m->latency_ns[i] >= 1 && m->latency_ns[i] <= 1e9))
			abort();
	if (!(m->jitter >= 0 && m->jitter <= 1) || !(m->error_rate >= 0 && m->error_rate <= 1))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *line = memchr(data, '\n', size);
	size_t len = line ? (size_t)(line - data) : 0, rest = line ? len + 1 : 0;
	struct errbuf e = {""};
	struct sim_model m;
	char arg[300];
	int fd = memfd_create("model", MFD_CLOEXEC), err;

	if (fd < 0 || write(fd, data + rest, size - rest) != (ssize_t)(size - rest))
		abort();
	snprintf(arg, sizeof arg, "/proc/self/fd/%d%.*s", fd, (int)(len < 250 ? len : 250),
		 (const char *)data);
	err = sim_model_load(&m, arg, &e);
	close(fd);
	if (!err)
		check(&m);
	else if (!e.s[0])
		abort();
	return 0;
}
