#include "grist_pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#if defined(__x86_64__) || defined(__i386__)
#define RELAX() __builtin_ia32_pause()
#else
#define RELAX() ((void)0)
#endif

/* How long a thread looks for work before it sleeps: a few dozen microseconds, the gap between two kernels. */
enum { kSpins = 4000 };

struct grist_pool {
  size_t threads;
  pthread_t *handles;
  pthread_mutex_t turn; /* held by the thread whose job is running */
  pthread_mutex_t lock; /* guards the sleepers */
  pthread_cond_t wake;
  pthread_cond_t done;
  atomic_size_t epoch; /* grows with every job */
  atomic_size_t next;
  atomic_size_t running; /* workers that have not finished the current job */
  atomic_bool stopping;
  size_t count;
  grist_pool_task task;
  void *context;
};

struct worker {
  grist_pool *pool;
  size_t index;
};

/* The pool whose task this thread runs, and under which number; NULL outside of tasks. */
static _Thread_local const grist_pool *current_pool;
static _Thread_local size_t current_worker;

static void work(grist_pool *pool, size_t worker) {
  const grist_pool *outer_pool = current_pool;
  size_t outer_worker = current_worker;
  current_pool = pool;
  current_worker = worker;
  for (;;) {
    size_t index = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
    if (index >= pool->count) break;
    pool->task(pool->context, index, worker);
  }
  current_pool = outer_pool;
  current_worker = outer_worker;
}

static void *worker_main(void *argument) {
  struct worker self = *(struct worker *)argument;
  free(argument);
  grist_pool *pool = self.pool;
  size_t seen = 0;
  for (;;) {
    size_t epoch = seen;
    for (int spin = 0; spin < kSpins; spin++) {
      epoch = atomic_load_explicit(&pool->epoch, memory_order_acquire);
      if (epoch != seen) break;
      RELAX();
    }
    if (epoch == seen) {
      pthread_mutex_lock(&pool->lock);
      while ((epoch = atomic_load(&pool->epoch)) == seen) pthread_cond_wait(&pool->wake, &pool->lock);
      pthread_mutex_unlock(&pool->lock);
    }
    seen = epoch;
    if (atomic_load(&pool->stopping)) return NULL;
    work(pool, self.index);
    if (atomic_fetch_sub_explicit(&pool->running, 1, memory_order_acq_rel) == 1) {
      pthread_mutex_lock(&pool->lock);
      pthread_cond_signal(&pool->done);
      pthread_mutex_unlock(&pool->lock);
    }
  }
}

grist_pool *grist_pool_create(size_t threads) {
  if (threads < 1) threads = 1;
  grist_pool *pool = calloc(1, sizeof *pool);
  if (pool == NULL) return NULL;
  pool->threads = 1;
  pool->handles = calloc(threads, sizeof *pool->handles);
  pthread_mutex_init(&pool->turn, NULL);
  pthread_mutex_init(&pool->lock, NULL);
  pthread_cond_init(&pool->wake, NULL);
  pthread_cond_init(&pool->done, NULL);
  if (pool->handles == NULL) {
    grist_pool_destroy(pool);
    return NULL;
  }
  for (size_t i = 1; i < threads; i++) {
    struct worker *self = malloc(sizeof *self);
    if (self != NULL) {
      self->pool = pool;
      self->index = i;
      if (pthread_create(&pool->handles[i], NULL, worker_main, self) == 0) {
        pool->threads = i + 1;
        continue;
      }
      free(self);
    }
    grist_pool_destroy(pool);
    return NULL;
  }
  return pool;
}

static void publish(grist_pool *pool) {
  pthread_mutex_lock(&pool->lock);
  atomic_fetch_add(&pool->epoch, 1);
  pthread_cond_broadcast(&pool->wake);
  pthread_mutex_unlock(&pool->lock);
}

void grist_pool_destroy(grist_pool *pool) {
  if (pool == NULL) return;
  atomic_store(&pool->stopping, true);
  publish(pool);
  for (size_t i = 1; i < pool->threads; i++) pthread_join(pool->handles[i], NULL);
  pthread_mutex_destroy(&pool->turn);
  pthread_mutex_destroy(&pool->lock);
  pthread_cond_destroy(&pool->wake);
  pthread_cond_destroy(&pool->done);
  free(pool->handles);
  free(pool);
}

size_t grist_pool_threads(const grist_pool *pool) { return pool->threads; }

void grist_pool_run(grist_pool *pool, size_t count, grist_pool_task task, void *context) {
  if (count == 0) return;
  if (current_pool == pool) {
    for (size_t i = 0; i < count; i++) task(context, i, current_worker);
    return;
  }
  pthread_mutex_lock(&pool->turn);
  pool->count = count;
  pool->task = task;
  pool->context = context;
  atomic_store(&pool->next, 0);
  if (pool->threads > 1 && count > 1) {
    atomic_store(&pool->running, pool->threads - 1);
    publish(pool);
    work(pool, 0);
    for (int spin = 0; spin < kSpins && atomic_load_explicit(&pool->running, memory_order_acquire) != 0; spin++)
      RELAX();
    if (atomic_load(&pool->running) != 0) {
      pthread_mutex_lock(&pool->lock);
      while (atomic_load(&pool->running) != 0) pthread_cond_wait(&pool->done, &pool->lock);
      pthread_mutex_unlock(&pool->lock);
    }
  } else {
    work(pool, 0);
  }
  pthread_mutex_unlock(&pool->turn);
}
