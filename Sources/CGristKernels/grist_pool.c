#include "grist_pool.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#if defined(__x86_64__) || defined(__i386__)
#define RELAX() __builtin_ia32_pause()
#else
#define RELAX() ((void)0)
#endif

/* How long a thread looks for work before it sleeps: a few dozen microseconds, the gap between two kernels. */
enum { kSpins = 4000 };

/* Indices that a worker has yet to call: the first in the upper half, the one after the last in the lower. Each has its own
   line of the cache. */
struct share {
  alignas(64) _Atomic uint64_t range;
};

struct grist_pool {
  size_t threads;
  pthread_t *handles;
  pthread_mutex_t turn; /* held by the thread whose job is running */
  pthread_mutex_t lock; /* guards the sleepers */
  pthread_cond_t wake;
  pthread_cond_t done;
  atomic_size_t epoch; /* grows with every job */
  struct share *shares; /* one a thread */
  atomic_size_t running; /* workers that have not finished the current job */
  atomic_bool stopping;
  size_t first; /* of the current job's indices */
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

static uint64_t range_of(uint64_t from, uint64_t to) { return from << 32 | to; }
static uint64_t begin_of(uint64_t range) { return range >> 32; }
static uint64_t end_of(uint64_t range) { return range & UINT32_MAX; }

/* The next index of a worker's own share; false when it is used up. */
static bool take_own(struct share *own, uint64_t *index) {
  uint64_t range = atomic_load_explicit(&own->range, memory_order_relaxed);
  do {
    if (begin_of(range) == end_of(range)) return false;
    *index = begin_of(range);
  } while (!atomic_compare_exchange_weak_explicit(
      &own->range, &range, range_of(*index + 1, end_of(range)), memory_order_relaxed, memory_order_relaxed));
  return true;
}

/* Makes the later half of what another worker has left the own share, and takes its first index; false when nobody has any. */
static bool take_of_others(grist_pool *pool, size_t worker, uint64_t *index) {
  for (size_t i = 1; i < pool->threads; i++) {
    struct share *other = &pool->shares[(worker + i) % pool->threads];
    uint64_t range = atomic_load_explicit(&other->range, memory_order_relaxed), middle;
    do {
      middle = begin_of(range) + (end_of(range) - begin_of(range)) / 2;
      if (begin_of(range) == end_of(range)) break;
    } while (!atomic_compare_exchange_weak_explicit(
        &other->range, &range, range_of(begin_of(range), middle), memory_order_relaxed, memory_order_relaxed));
    if (begin_of(range) == end_of(range)) continue;
    /* Nobody writes to an empty share but its owner. */
    atomic_store_explicit(&pool->shares[worker].range, range_of(middle + 1, end_of(range)), memory_order_relaxed);
    *index = middle;
    return true;
  }
  return false;
}

static void work(grist_pool *pool, size_t worker) {
  const grist_pool *outer_pool = current_pool;
  size_t outer_worker = current_worker;
  current_pool = pool;
  current_worker = worker;
  uint64_t index;
  while (take_own(&pool->shares[worker], &index) || take_of_others(pool, worker, &index))
    pool->task(pool->context, pool->first + index, worker);
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
  /* aligned_alloc wants a whole number of lines, which shares are. */
  if (threads <= SIZE_MAX / sizeof *pool->shares)
    pool->shares = aligned_alloc(alignof(struct share), threads * sizeof *pool->shares);
  if (pool->handles == NULL || pool->shares == NULL) {
    grist_pool_destroy(pool);
    return NULL;
  }
  for (size_t i = 0; i < threads; i++) atomic_init(&pool->shares[i].range, 0);
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
  free(pool->shares);
  free(pool);
}

size_t grist_pool_threads(const grist_pool *pool) { return pool->threads; }

/* Indices [first, first + count), at most UINT32_MAX of them, while the caller has its turn. */
static void run_some(grist_pool *pool, size_t first, size_t count) {
  pool->first = first;
  uint64_t from = 0;
  for (size_t i = 0; i < pool->threads; i++) {
    uint64_t to = (uint64_t)count * (i + 1) / pool->threads;
    atomic_store_explicit(&pool->shares[i].range, range_of(from, to), memory_order_relaxed);
    from = to;
  }
  if (pool->threads == 1 || count == 1) {
    work(pool, 0);
    return;
  }
  atomic_store(&pool->running, pool->threads - 1);
  publish(pool);
  work(pool, 0);
  for (int spin = 0; spin < kSpins && atomic_load_explicit(&pool->running, memory_order_acquire) != 0; spin++) RELAX();
  if (atomic_load(&pool->running) != 0) {
    pthread_mutex_lock(&pool->lock);
    while (atomic_load(&pool->running) != 0) pthread_cond_wait(&pool->done, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
  }
}

void grist_pool_run(grist_pool *pool, size_t count, grist_pool_task task, void *context) {
  if (count == 0) return;
  if (current_pool == pool) {
    for (size_t i = 0; i < count; i++) task(context, i, current_worker);
    return;
  }
  pthread_mutex_lock(&pool->turn);
  pool->task = task;
  pool->context = context;
  for (size_t first = 0, some; first < count; first += some) {
    some = count - first < UINT32_MAX ? count - first : UINT32_MAX;
    run_some(pool, first, some);
  }
  pthread_mutex_unlock(&pool->turn);
}
