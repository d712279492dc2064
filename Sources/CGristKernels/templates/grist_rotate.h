/* The block rotation of grist files: each 64 values times the normalised Hadamard matrix of that size. Included by
   grist_template.h, so once for each instruction set. Every instruction set gives the same bits. */
#ifndef GRIST_ROTATE_H
#define GRIST_ROTATE_H

#include "grist_kernels.h"
#include "templates/grist_vectors.h"

#pragma clang fp contract(off)

/* One butterfly within a vector: lanes whose number differs in one bit meet; the one with the bit set gets the difference. */
#define GRIST_BUTTERFLY(v, partner_of, sign_of)                                                                      \
  (__builtin_shufflevector(v, v, partner_of(0), partner_of(1), partner_of(2), partner_of(3), partner_of(4),          \
                           partner_of(5), partner_of(6), partner_of(7), partner_of(8), partner_of(9), partner_of(10), \
                           partner_of(11), partner_of(12), partner_of(13), partner_of(14), partner_of(15)) +         \
   (v) * (vec16){sign_of(0), sign_of(1), sign_of(2), sign_of(3), sign_of(4), sign_of(5), sign_of(6), sign_of(7),     \
                 sign_of(8), sign_of(9), sign_of(10), sign_of(11), sign_of(12), sign_of(13), sign_of(14),            \
                 sign_of(15)})
#define GRIST_PARTNER1(i) ((i) ^ 1)
#define GRIST_PARTNER2(i) ((i) ^ 2)
#define GRIST_PARTNER4(i) ((i) ^ 4)
#define GRIST_PARTNER8(i) ((i) ^ 8)
#define GRIST_SIGN1(i) ((i) & 1 ? -1.0f : 1.0f)
#define GRIST_SIGN2(i) ((i) & 2 ? -1.0f : 1.0f)
#define GRIST_SIGN4(i) ((i) & 4 ? -1.0f : 1.0f)
#define GRIST_SIGN8(i) ((i) & 8 ? -1.0f : 1.0f)

static void rotate_blocks(const float *x, float *out, size_t columns) {
  for (size_t start = 0; start < columns; start += GRIST_ROTATION_BLOCK) {
    vec16 v[4];
    for (int i = 0; i < 4; i++) v[i] = load16(x + start + 16 * i);
    vec16 a = v[0] + v[2], b = v[1] + v[3], c = v[0] - v[2], d = v[1] - v[3];
    v[0] = a + b, v[1] = a - b, v[2] = c + d, v[3] = c - d;
    for (int i = 0; i < 4; i++) {
      vec16 w = v[i];
      w = GRIST_BUTTERFLY(w, GRIST_PARTNER8, GRIST_SIGN8);
      w = GRIST_BUTTERFLY(w, GRIST_PARTNER4, GRIST_SIGN4);
      w = GRIST_BUTTERFLY(w, GRIST_PARTNER2, GRIST_SIGN2);
      w = GRIST_BUTTERFLY(w, GRIST_PARTNER1, GRIST_SIGN1);
      store16(out + start + 16 * i, w * 0.125f);
    }
  }
}

#endif
