/* interrupt: two flags set by signal handlers. */
#include "harness/interrupt.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t ints, terms;

static void say(const char *s)
{
	if (write(2, s, strlen(s)) < 0)
		return;
}

static void on_signal(int sig)
{
	if (sig == SIGTERM) {
		terms = 1;
		return;
	}
	if (ints++ == 0)
		say("\ndcn: finishing this run, then stopping (again: stop now)\n");
	else
		say("\ndcn: stopping now\n");
}

void interrupt_install(void)
{
	struct sigaction sa = {.sa_handler = on_signal};

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
	sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
}

bool interrupt_soon(void)
{
	return ints > 0 || terms;
}

bool interrupt_now(void)
{
	return ints > 1 || terms;
}

int interrupt_exit(void)
{
	return terms ? 143 : ints ? 130 : 0;
}
