/* atlas: the specialised web server. Starts the workers, waits for SIGTERM or SIGINT, stops them.
 *
 * Where to start reading: core.h (theory), worker.c (the loop), pull.c (an ACK becomes a read
 * becomes a packet), then the rooms net/ tcp/ nvme/ tls/ http/.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "stacks/atlas/core.h"
#include "stacks/atlas/trace.h"

struct team {
	struct options opt;
	struct stats *stats;
	struct worker worker[WORKERS_MAX];
	struct worker *list[WORKERS_MAX + 1];
	pthread_t thread[WORKERS_MAX];
	bool started[WORKERS_MAX];
	volatile bool stop;
	int stop_fd; /* readable for ever once stopping: wakes every worker */
	pthread_barrier_t ready;
	int failed;
	struct errbuf err;
	pthread_mutex_t lock;
	cpu_set_t cpus;
};

static struct team team = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Worker i runs on the i-th CPU that the process may use, if there are enough. */
static void pin(struct team *t, unsigned int id)
{
	cpu_set_t one;
	unsigned int k = 0;

	if ((unsigned int)CPU_COUNT(&t->cpus) < t->opt.workers)
		return;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &t->cpus) || k++ != id)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		pthread_setaffinity_np(pthread_self(), sizeof one, &one);
		return;
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct errbuf e = {0};
	int err;

	pin(&team, w->id);
	pthread_mutex_lock(&team.lock); /* one after the other: the store's start-up walk */
	err = team.failed ? team.failed : worker_open(w, &e);
	if (!err && team.opt.trace)
		err = trace_open(&e);
	if (err && !team.failed) {
		team.failed = err;
		team.err = e;
	}
	pthread_mutex_unlock(&team.lock);
	pthread_barrier_wait(&team.ready);
	if (!team.failed)
		worker_run(w, &team.stop);
	worker_close(w);
	if (trace_close(team.opt.trace, w->id, &e))
		log_err("%s", e.s);
	return NULL;
}

static int start(struct team *t, struct errbuf *e)
{
	int err;

	t->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (t->stop_fd < 0)
		return errf(e, -errno, "eventfd: %s", strerror(errno));
	err = stats_open(&t->stats, &t->opt, e);
	if (err)
		return err;
	sched_getaffinity(0, sizeof t->cpus, &t->cpus);
	pthread_barrier_init(&t->ready, NULL, t->opt.workers + 1);
	for (unsigned int i = 0; i < t->opt.workers; i++) {
		struct worker *w = &t->worker[i];

		w->opt = &t->opt;
		w->id = i;
		w->peers = t->list;
		w->st = stats_worker(t->stats, i);
		w->stop_fd = t->stop_fd;
		t->list[i] = w;
		if (pthread_create(&t->thread[i], NULL, work, w)) {
			log_err("worker %u: no thread could be started", i);
			exit(1); /* the others wait at the barrier for ever */
		}
	}
	pthread_barrier_wait(&t->ready);
	if (t->failed)
		return errf(e, t->failed, "%s", t->err.s);
	return stats_serve(t->stats, e);
}

static void finish(struct team *t)
{
	uint64_t one = 1;

	t->stop = true;
	if (write(t->stop_fd, &one, sizeof one) < 0)
		log_warn("workers are stopping slowly");
	for (unsigned int i = 0; i < t->opt.workers; i++)
		if (t->list[i])
			pthread_join(t->thread[i], NULL);
	stats_close(t->stats);
	close(t->stop_fd);
}

static void wait_for_signal(const sigset_t *set)
{
	int sig;

	while (sigwait(set, &sig))
		;
	log_info("signal %d: stopping", sig);
}

int main(int argc, char **argv)
{
	struct errbuf e = {0};
	sigset_t set;
	int err;

	log_init("atlas", LOG_INFO);
	err = options_parse(&team.opt, argc, argv, &e);
	if (err > 0)
		return 0;
	if (err) {
		log_err("%s", e.s);
		return 2;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	err = start(&team, &e);
	if (err)
		log_err("%s", e.s[0] ? e.s : strerror(-err));
	else {
		log_info("ready");
		wait_for_signal(&set);
	}
	finish(&team);
	for (unsigned int i = 0; i < team.opt.workers; i++)
		if (team.worker[i].link_gone)
			err = -ENODEV;
	return err ? 1 : 0;
}
