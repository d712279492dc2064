/* What the codes of a table stand for, made ready to find the nearest. */
#ifndef GRIST_CODE_VALUES_H
#define GRIST_CODE_VALUES_H

#include <math.h>
#include <stdbool.h>

#include "templates/grist_vectors.h"

/* What codes stand for. Bucket b holds the numbers that times `unit` lie from 8b to 8(b + 1), b from -16 to 15, and stands at b
   modulo 32. */
enum { kBuckets = 32, kBucketWidth = 8, kBucketsEnd = kBuckets * kBucketWidth / 2 };

struct code_values {
  float values[16], middles[15];
  float greatest, unit; /* the values' greatest magnitude; a power of two, so that they fill the buckets */
  /* Of each bucket the index of the value nearest to its least numbers, and where the next one begins: its middle times `unit`, in
     eighths, or infinity. */
  int32_t bucket_indices[kBuckets];
  float bucket_middles[kBuckets];
  /* Sixteen times that index, and what makes it sixteen more from the bucket's place on where the next value begins: places are the
     sixteen halves of a bucket, each with all numbers above the half before it. */
  uint8_t bucket_steps[kBuckets];
  int8_t codes[16];
  bool buckets_suffice; /* none of them holds two middles */
};

static struct code_values code_values_of(const int8_t *table) {
  struct code_values result = {.unit = 1, .buckets_suffice = true};
  for (int i = 0; i < 16; i++) result.values[i] = result.codes[i] = table[i];
  for (int i = 0; i < 15; i++) result.middles[i] = (result.values[i] + result.values[i + 1]) / 2;
  result.greatest = -result.values[0] > result.values[15] ? -result.values[0] : result.values[15];
  while (result.unit < 16 && 2 * result.unit * result.greatest <= kBucketsEnd) result.unit *= 2;
  for (int bucket = -kBuckets / 2, i = 0; bucket < kBuckets / 2; bucket++) {
    float end = (float)((bucket + 1) * kBucketWidth), middle = i < 15 ? result.middles[i] * result.unit : INFINITY;
    result.bucket_indices[bucket & (kBuckets - 1)] = i;
    result.bucket_middles[bucket & (kBuckets - 1)] = middle / kBucketWidth;
    int place = middle < end ? (int)(2 * middle) + 1 - 2 * kBucketWidth * bucket : 2 * kBucketWidth;
    result.bucket_steps[bucket & (kBuckets - 1)] = (uint8_t)(16 * i + 2 * kBucketWidth - place);
    if (middle < end) i++;
    if (i < 15 && result.middles[i] * result.unit < end) result.buckets_suffice = false;
  }
  return result;
}

struct nearest {
  vec16 value, index;
};

#endif
