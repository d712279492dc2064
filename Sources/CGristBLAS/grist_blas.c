#define _GNU_SOURCE
#include "grist_blas.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

typedef void sgemm_function(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *, int);
typedef void strsm_function(int, int, int, int, int, int, int, float, const float *, int, float *, int);

static sgemm_function *sgemm;
static strsm_function *strsm;
static const char *description = "plain loops";
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Older OpenBLAS takes AMD's CPUs with AVX-512 for ones without. */
static const char *better_core(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_is("amd") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
    return "SkylakeX";
#endif
  return NULL;
}

/* Sets a variable that is not set, for as long as the library starts; whether it did. */
static bool lend(const char *name, const char *value) {
  return value && !getenv(name) && setenv(name, value, 0) == 0;
}

static void load(void) {
  static const char *const kNames[] = {"libopenblas.so.0", "libopenblas.so", "libopenblas.dylib"};
  /* Threads are ours, here and wherever else. */
  bool core = lend("OPENBLAS_CORETYPE", better_core()), threads = lend("OPENBLAS_NUM_THREADS", "1");
  void *library = NULL;
  for (size_t i = 0; !library && i < sizeof kNames / sizeof *kNames; i++) library = dlopen(kNames[i], RTLD_NOW | RTLD_LOCAL);
  if (core) unsetenv("OPENBLAS_CORETYPE");
  if (threads) unsetenv("OPENBLAS_NUM_THREADS");
  if (!library) return;
  sgemm_function *multiply = (sgemm_function *)dlsym(library, "cblas_sgemm");
  strsm_function *solve = (strsm_function *)dlsym(library, "cblas_strsm");
  void (*set_threads)(int) = (void (*)(int))dlsym(library, "openblas_set_num_threads");
  char *(*describe)(void) = (char *(*)(void))dlsym(library, "openblas_get_config");
  if (!multiply || !solve || !set_threads) return;
  set_threads(1);
  sgemm = multiply;
  strsm = solve;
  description = describe ? describe() : "OpenBLAS";
}

const char *grist_blas_description(void) {
  pthread_once(&once, load);
  return description;
}

static void multiply_plainly(bool a_turned, bool b_turned, int rows, int columns, int inner, float alpha, const float *a,
                             int a_stride, const float *b, int b_stride, float beta, float *out, int out_stride) {
  for (ptrdiff_t row = 0; row < rows; row++) {
    for (ptrdiff_t column = 0; column < columns; column++) {
      float sum = 0;
      for (ptrdiff_t i = 0; i < inner; i++)
        sum += (a_turned ? a[i * a_stride + row] : a[row * a_stride + i]) *
               (b_turned ? b[column * b_stride + i] : b[i * b_stride + column]);
      float *value = &out[row * out_stride + column];
      *value = alpha * sum + (beta == 0 ? 0 : beta * *value);
    }
  }
}

void grist_blas_multiply(enum grist_blas_transpose a_as, enum grist_blas_transpose b_as, int rows, int columns, int inner,
                         float alpha, const float *a, int a_stride, const float *b, int b_stride, float beta, float *out,
                         int out_stride) {
  pthread_once(&once, load);
  if (sgemm)
    sgemm(kGristRowMajor, a_as, b_as, rows, columns, inner, alpha, a, a_stride, b, b_stride, beta, out, out_stride);
  else
    multiply_plainly(a_as == kGristTranspose, b_as == kGristTranspose, rows, columns, inner, alpha, a, a_stride, b,
                     b_stride, beta, out, out_stride);
}

void grist_blas_solve_upper_transposed(int rows, int size, const float *triangle, int triangle_stride, float *b,
                                       int b_stride) {
  pthread_once(&once, load);
  enum { kRight = 142, kUpper = 121, kWithDiagonal = 131 };
  if (strsm) {
    strsm(kGristRowMajor, kRight, kUpper, kGristTranspose, kWithDiagonal, rows, size, 1, triangle, triangle_stride, b,
          b_stride);
    return;
  }
  /* Σ x[j] · triangle[i, j] = b[i] for j ≥ i: from the last. */
  for (ptrdiff_t row = 0; row < rows; row++) {
    float *x = b + row * b_stride;
    for (ptrdiff_t i = size - 1; i >= 0; i--) {
      float sum = x[i];
      for (ptrdiff_t j = i + 1; j < size; j++) sum -= x[j] * triangle[i * triangle_stride + j];
      x[i] = sum / triangle[i * triangle_stride + i];
    }
  }
}
