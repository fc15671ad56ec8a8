// NEON: the narrow grid, a coefficient of 8 by a lookup of 32 bytes.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels.h"
#if defined(__aarch64__)
#include <arm_neon.h>

namespace edgeacts {
namespace {

using V = float32x4_t;
constexpr int W = 4, UNROLL = 4, UNROLL_POWERS = 4, PIXELS = 4, PIXELS_ELSE = 4;
constexpr int MOST_BLOCKS = 3, TILE[] = {0, 14, 14, 7};
constexpr bool ANY_SHAPE = true, QUOTIENTS = false;
constexpr int POWERS = 0, POWERS_COMMON = 0;

inline V load(const float* p) { return vld1q_f32(p); }
inline void store(float* p, V v) { vst1q_f32(p, v); }
inline V load_part(const float* p, size_t n) {
  float whole[W] = {0.f, 0.f, 0.f, 0.f};
  std::memcpy(whole, p, n * sizeof(float));
  return vld1q_f32(whole);
}
inline void store_part(float* p, V v, size_t n) {
  float whole[W];
  vst1q_f32(whole, v);
  std::memcpy(p, whole, n * sizeof(float));
}
inline V set1(float v) { return vdupq_n_f32(v); }
inline V fma(V a, V b, V c) { return vfmaq_f32(c, a, b); }
inline V add(V a, V b) { return vaddq_f32(a, b); }
inline V mul(V a, V b) { return vmulq_f32(a, b); }
// FMIN and FMAX give NaN when either is NaN.
inline V min(V bound, V v) { return vminq_f32(bound, v); }
inline V max(V bound, V v) { return vmaxq_f32(bound, v); }

inline Tail left_tail(const Table& t) { return t.narrow_left; }

template <Tail LEFT, Tail RIGHT, Shape>
struct Evaluator {
  const Table& table;
  V lo, last, knee, last_knee, inverse, step, half, left_slope, left_offset, right_slope, right_offset;

  explicit Evaluator(const Table& t)
      : table(t), lo(set1(t.narrow.lo)), last(set1(t.narrow.last)), knee(set1(t.narrow.knee)), last_knee(set1(t.narrow.last_knee)),
        inverse(set1(t.narrow.inverse)),
        step(set1(t.narrow.step)), half(set1(0.5f * t.narrow.step)), left_slope(set1(t.left_slope)),
        left_offset(set1(t.left_offset)), right_slope(set1(t.right_slope)), right_offset(set1(t.right_offset)) {}

  static V pick(const float* coefficients, uint8x16_t index) {
    uint8x16x2_t bytes;
    bytes.val[0] = vreinterpretq_u8_f32(vld1q_f32(coefficients));
    bytes.val[1] = vreinterpretq_u8_f32(vld1q_f32(coefficients + 4));
    return vreinterpretq_f32_u8(vqtbl2q_u8(bytes, index));
  }

  template <int N>
  void run(const V* x, V* y) const {
    V t[N];
    uint8x16_t index[N];
    for (int k = 0; k < N; k++) {
      // Beyond the ends the numbers below are meaningless, and replaced in the end.
      const V number = vrndmq_f32(mul(min(last_knee, max(knee, x[k])), inverse));
      const uint32x4_t segment = vandq_u32(vreinterpretq_u32_s32(vcvtq_s32_f32(number)), vdupq_n_u32(7));
      // The four bytes of segment s are 4s, 4s + 1, 4s + 2, 4s + 3.
      index[k] = vreinterpretq_u8_u32(vmlaq_u32(vdupq_n_u32(0x03020100u), segment, vdupq_n_u32(0x04040404u)));
      t[k] = vsubq_f32(vfmsq_f32(x[k], number, step), half);
    }
    const int degree = table.narrow.degree;
    for (int k = 0; k < N; k++) y[k] = pick(table.narrow_coefficients[degree], index[k]);
    for (int d = degree - 1; d >= 0; d--)
      for (int k = 0; k < N; k++) y[k] = fma(y[k], t[k], pick(table.narrow_coefficients[d], index[k]));
    for (int k = 0; k < N; k++) {
      if constexpr (LEFT != Tail::Clamp) {
        const V line = LEFT == Tail::Line ? fma(left_slope, x[k], left_offset) : left_offset;
        y[k] = vbslq_f32(vcltq_f32(x[k], lo), line, y[k]);
      }
      const V beyond = RIGHT == Tail::Same ? x[k] : RIGHT == Tail::Line ? fma(right_slope, x[k], right_offset) : right_offset;
      y[k] = vbslq_f32(vcgtq_f32(x[k], last), beyond, y[k]);
    }
  }
};

#include "drivers.inc"
#include "pointwise.inc"
#include "dense.inc"
#include "stem.inc"

}  // namespace

const Kernels kNeon = {"neon", map, map_times, negate, dot, depthwise, pointwise, dense, stem};

}  // namespace edgeacts
#endif
