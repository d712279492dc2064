#include <string.h>

#include "grist_kernels.h"

/* IEEE 754 binary16 by bit operations, so that every machine agrees to the bit. */

float grist_float_from_half(uint16_t bits) {
  uint32_t sign = (uint32_t)(bits & 0x8000) << 16;
  uint32_t exponent = (bits >> 10) & 31;
  uint32_t fraction = bits & 1023;
  uint32_t out;
  if (exponent == 31) {
    out = sign | 0x7f800000 | fraction << 13;
  } else if (exponent != 0) {
    out = sign | (exponent + 112) << 23 | fraction << 13;
  } else {
    float value = (float)fraction * 0x1p-24f;
    memcpy(&out, &value, sizeof out);
    out |= sign;
  }
  float value;
  memcpy(&value, &out, sizeof value);
  return value;
}

uint16_t grist_half_from_float(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
  uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x47800000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {
    /* Subnormal: adding 0.5 lines the value's last kept bit up with f32's last bit, rounding on the way. */
    float shifted;
    memcpy(&shifted, &magnitude, sizeof shifted);
    shifted += 0.5f;
    uint32_t shifted_bits;
    memcpy(&shifted_bits, &shifted, sizeof shifted_bits);
    return sign | (uint16_t)(shifted_bits - 0x3f000000);
  }
  uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
  return sign | (uint16_t)((rounded - 0x38000000) >> 13);
}
