/* The one pool of compute threads. */
#ifndef GRIST_POOL_H
#define GRIST_POOL_H

#include <stddef.h>

typedef struct grist_pool grist_pool;

/* Called once for each index. `worker` is in [0, threads) and tells apart calls that run at the same time. */
typedef void (*grist_pool_task)(void *context, size_t index, size_t worker);

/* A pool of `threads` >= 1 threads, the caller of grist_pool_run counted in. Returns NULL when threads cannot be
   started. */
grist_pool *grist_pool_create(size_t threads);
void grist_pool_destroy(grist_pool *pool);
size_t grist_pool_threads(const grist_pool *pool);

/* Calls task(context, i, worker) for every i in [0, count) and returns when all are done. Each thread begins with a
   stretch of indices of its own, in order: what lies side by side in memory is read so by one core. One that is done takes over
   half of what another has left, so a slow or busy core holds nobody up. A call from inside a task of the same pool runs its indices in place,
   under the number of the worker it is called from; one from a task of another pool is like any other, but two pools must
   not wait for each other. Calls from different threads take turns. */
void grist_pool_run(grist_pool *pool, size_t count, grist_pool_task task, void *context);

#endif
