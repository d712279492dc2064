/* Stored int4 tiles to wide ones, see grist_kernels.h.

   A weight's share of the wide scale is the product of what its code stands for and of its group's scale over the greatest:
   both 16 bits wide, shifted so that the sharper one uses them, and rounded as one product of fractions. */
#ifndef GRIST_AVX512_WIDE_H
#define GRIST_AVX512_WIDE_H

/* What codes stand for, twice in a row so that the bit above an index may be anything, times 2^shift: the least for which a
   group's factor, at most 127 / greatest, is below 2^shift. */
struct wide_meanings {
  __m512i values;
  float greatest;
  int shift;
};

static inline struct wide_meanings wide_meanings_of(const int8_t *table) {
  int greatest = 1, shift = 0;
  for (int code = 0; code < 16; code++) {
    int value = table != NULL ? table[code] : code - 8, magnitude = value < 0 ? -value : value;
    greatest = magnitude > greatest ? magnitude : greatest;
  }
  while ((greatest << shift) < kWideMost) shift++;
  int16_t values[32];
  for (int i = 0; i < 32; i++) values[i] = (int16_t)((table != NULL ? table[i % 16] : i % 16 - 8) * (1 << shift));
  return (struct wide_meanings){_mm512_loadu_si512(values), (float)greatest, shift};
}

/* Each of sixteen factors below 1, twice in a row, in 15 bits. */
GRIST_INLINE __m512i pairs_of_factors(__m512 factors) {
  __m512i fixed = _mm512_cvtps_epi32(_mm512_mul_ps(factors, _mm512_set1_ps(32768)));
  fixed = _mm512_max_epi32(_mm512_min_epi32(fixed, _mm512_set1_epi32(32767)), _mm512_set1_epi32(-32767));
  return _mm512_or_si512(_mm512_slli_epi32(fixed, 16), _mm512_and_si512(fixed, _mm512_set1_epi32(0xffff)));
}

/* Of pairs of bytes: those in front whose codes lie in the lowest bits of `front`, those behind of `behind`. */
GRIST_INLINE __m512i wide_codes(__m512i front, __m512i behind, __m512i values, __m512i factors) {
  __m512i first = _mm512_mulhrs_epi16(_mm512_permutexvar_epi16(front, values), factors);
  __m512i second = _mm512_mulhrs_epi16(_mm512_permutexvar_epi16(behind, values), factors);
  __m512i both = _mm512_mask_blend_epi8(0xaaaaaaaaaaaaaaaaull, first, _mm512_slli_epi16(second, 8));
  return _mm512_xor_si512(both, _mm512_set1_epi8((char)0x80));
}

static void widen_tile(const grist_stored_tile *tile, uint8_t *codes, float *scales) {
  enum { kAhead = 4096 };
  struct wide_meanings meanings = wide_meanings_of(tile->table);
  size_t padded = padded_columns(tile->columns), groups = (tile->columns + tile->group_size - 1) / tile->group_size;
  size_t together = GRIST_WIDE_GROUP / tile->group_size;
  const uint8_t *source = tile->codes;
  float factor = (float)kWideMost / meanings.greatest / (float)(1 << meanings.shift);
  for (size_t first = 0, k = 0; first < groups; first += together, scales += GRIST_TILE_ROWS) {
    size_t last = first + together < groups ? first + together : groups;
    __m512 greatest = _mm512_setzero_ps(), finite = _mm512_setzero_ps();
    for (size_t group = first; group < last; group++) {
      __m512 scale = tile_scales(tile->scales + group * GRIST_TILE_ROWS);
      greatest = _mm512_max_ps(greatest, _mm512_abs_ps(scale));
      finite = _mm512_fmadd_ps(scale, _mm512_setzero_ps(), finite); /* NaN where one is not */
    }
    __m512 wide = _mm512_mul_ps(greatest, _mm512_set1_ps(meanings.greatest / (float)kWideMost));
    _mm512_storeu_ps(scales, _mm512_add_ps(wide, finite));
    __mmask16 some = _mm512_cmp_ps_mask(greatest, _mm512_setzero_ps(), _CMP_GT_OQ);
    __m512 share = _mm512_maskz_div_ps(some, _mm512_set1_ps(factor), greatest);
    for (size_t group = first; group < last; group++) {
      __m512i factors = pairs_of_factors(_mm512_mul_ps(tile_scales(tile->scales + group * GRIST_TILE_ROWS), share));
      size_t end = k + tile->group_size < padded ? k + tile->group_size : padded;
      for (; k < end; k += GRIST_BLOCK_COLUMNS, source += 64, codes += 128) {
        /* Asked for into the second-level cache: reading from memory alone takes twice as long as what is done here. */
        __builtin_prefetch((const void *)((uintptr_t)source + kAhead), 0, 2);
        __m512i pairs = _mm512_loadu_si512(source);
        __m512i behind = _mm512_srli_epi16(pairs, 8);
        _mm512_storeu_si512(codes, wide_codes(pairs, behind, meanings.values, factors));
        _mm512_storeu_si512(
            codes + 64,
            wide_codes(_mm512_srli_epi16(pairs, 4), _mm512_srli_epi16(behind, 4), meanings.values, factors));
      }
    }
  }
}

#endif
