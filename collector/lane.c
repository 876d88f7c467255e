/*
 * lane: see lane.h. One mutex guards both lists; the thread holds it only to take a run and to hand
 * it back, never while it works. The writer (writer.c) and the bulk worker (worker.c) are lanes.
 */
#include "collector/lane.h"

#include <errno.h>
#include <ev.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct op_list {
	struct lane_op *first, **last;
	unsigned count;
	size_t bytes;
};

struct lane {
	struct ev_loop *loop;
	ev_async wake;
	struct lane_options options;
	pthread_t thread;
	bool has_thread;
	pthread_mutex_t mutex;
	pthread_cond_t work; /* something waits, or stopping */
	bool is_idle;	     /* the thread sleeps on `work` */
	bool is_stopping;
	struct op_list waiting, finished;
};

static void list_init(struct op_list *list)
{
	*list = (struct op_list){ .last = &list->first };
}

static void list_append(struct op_list *list, struct lane_op *op)
{
	op->next = NULL;
	*list->last = op;
	list->last = &op->next;
	list->count++;
	list->bytes += op->bytes;
}

static struct lane_op *list_pop(struct op_list *list)
{
	struct lane_op *op = list->first;

	if (!op)
		return NULL;
	list->first = op->next;
	if (!list->first)
		list->last = &list->first;
	list->count--;
	list->bytes -= op->bytes;
	op->next = NULL;
	return op;
}

static void *thread_main(void *arg)
{
	struct lane *lane = arg;
	struct op_list run;
	struct lane_op *op;

	pthread_mutex_lock(&lane->mutex);
	for (;;) {
		while (lane->waiting.count == 0 && !lane->is_stopping) {
			lane->is_idle = true;
			pthread_cond_wait(&lane->work, &lane->mutex);
			lane->is_idle = false;
		}
		if (lane->waiting.count == 0)
			break;
		list_init(&run);
		while (run.count < lane->options.max_run && (op = list_pop(&lane->waiting)))
			list_append(&run, op);
		pthread_mutex_unlock(&lane->mutex);
		lane->options.run(lane->options.arg, run.first, run.count);
		pthread_mutex_lock(&lane->mutex);
		while ((op = list_pop(&run)))
			list_append(&lane->finished, op);
		ev_async_send(lane->loop, &lane->wake);
	}
	pthread_mutex_unlock(&lane->mutex);
	return NULL;
}

static void deliver(struct lane *lane)
{
	struct op_list finished;
	struct lane_op *op;

	pthread_mutex_lock(&lane->mutex);
	finished = lane->finished;
	if (!finished.first)
		finished.last = &finished.first;
	list_init(&lane->finished);
	pthread_mutex_unlock(&lane->mutex);
	if (finished.first && lane->options.before_done)
		lane->options.before_done(lane->options.arg);
	while ((op = list_pop(&finished)))
		op->done(op, op->result);
}

static void on_wake(struct ev_loop *loop, ev_async *watcher, int events)
{
	(void)loop;
	(void)events;
	deliver(watcher->data);
}

int lane_create(struct ev_loop *loop, const struct lane_options *options, struct lane **ret_lane, struct err *err)
{
	struct lane *lane = calloc(1, sizeof(*lane));
	sigset_t all, old;
	int r;

	if (!lane)
		return err_sys(err, -ENOMEM, "thread %s", options->name);
	lane->loop = loop;
	lane->options = *options;
	list_init(&lane->waiting);
	list_init(&lane->finished);
	pthread_mutex_init(&lane->mutex, NULL);
	pthread_cond_init(&lane->work, NULL);
	ev_async_init(&lane->wake, on_wake);
	lane->wake.data = lane;
	ev_async_start(loop, &lane->wake);
	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&lane->thread, NULL, thread_main, lane);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r != 0) {
		lane_destroy(lane);
		return err_sys(err, -r, "cannot start thread %s", options->name);
	}
	lane->has_thread = true;
	pthread_setname_np(lane->thread, options->name);
	*ret_lane = lane;
	return 0;
}

void lane_destroy(struct lane *lane)
{
	if (!lane)
		return;
	pthread_mutex_lock(&lane->mutex);
	lane->is_stopping = true;
	pthread_cond_signal(&lane->work);
	pthread_mutex_unlock(&lane->mutex);
	if (lane->has_thread)
		pthread_join(lane->thread, NULL);
	ev_async_stop(lane->loop, &lane->wake);
	deliver(lane);
	pthread_cond_destroy(&lane->work);
	pthread_mutex_destroy(&lane->mutex);
	free(lane);
}

int lane_submit(struct lane *lane, struct lane_op *op)
{
	int r = 0;

	pthread_mutex_lock(&lane->mutex);
	if (lane->is_stopping)
		r = -ESHUTDOWN;
	else if (lane->waiting.count >= lane->options.max_ops ||
		 lane->waiting.bytes + op->bytes > lane->options.max_bytes)
		r = -EAGAIN;
	if (r == 0) {
		list_append(&lane->waiting, op);
		if (lane->is_idle)
			pthread_cond_signal(&lane->work);
	}
	pthread_mutex_unlock(&lane->mutex);
	return r;
}

unsigned lane_count_waiting(struct lane *lane)
{
	unsigned count;

	pthread_mutex_lock(&lane->mutex);
	count = lane->waiting.count;
	pthread_mutex_unlock(&lane->mutex);
	return count;
}
