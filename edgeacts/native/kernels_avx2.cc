// AVX2 and FMA: the narrow grid, a coefficient of 8 by one permutation.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels.h"
#if defined(__x86_64__) || defined(_M_X64)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#include <immintrin.h>

namespace edgeacts {
namespace {

using V = __m256;
constexpr int W = 8, UNROLL = 4, PIXELS = 2, PIXELS_ELSE = 2;
constexpr bool ANY_SHAPE = true;

inline V load(const float* p) { return _mm256_loadu_ps(p); }
inline void store(float* p, V v) { _mm256_storeu_ps(p, v); }
inline __m256i part(size_t n) {
  alignas(32) static const int32_t kLanes[8] = {0, 1, 2, 3, 4, 5, 6, 7};
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_load_si256(reinterpret_cast<const __m256i*>(kLanes)));
}
inline V load_part(const float* p, size_t n) { return _mm256_maskload_ps(p, part(n)); }
inline void store_part(float* p, V v, size_t n) { _mm256_maskstore_ps(p, part(n), v); }
inline V set1(float v) { return _mm256_set1_ps(v); }
inline V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
inline V add(V a, V b) { return _mm256_add_ps(a, b); }
inline V mul(V a, V b) { return _mm256_mul_ps(a, b); }
// The second operand is what comes out when either is NaN.
inline V min(V bound, V v) { return _mm256_min_ps(bound, v); }
inline V max(V bound, V v) { return _mm256_max_ps(bound, v); }

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

  template <int N>
  void run(const V* x, V* y) const {
    V t[N];
    __m256i index[N];
    for (int k = 0; k < N; k++) {
      // Beyond the ends the numbers below are meaningless, and replaced in the end.
      const V number = _mm256_floor_ps(mul(min(last_knee, max(knee, x[k])), inverse));
      index[k] = _mm256_cvtps_epi32(number);  // the permutation takes the low three bits
      t[k] = _mm256_sub_ps(_mm256_fnmadd_ps(number, step, x[k]), half);
    }
    const int degree = table.narrow.degree;
    const V first = _mm256_load_ps(table.narrow_coefficients[degree]);
    for (int k = 0; k < N; k++) y[k] = _mm256_permutevar8x32_ps(first, index[k]);
    for (int d = degree - 1; d >= 0; d--) {
      const V coefficients = _mm256_load_ps(table.narrow_coefficients[d]);
      for (int k = 0; k < N; k++) y[k] = fma(y[k], t[k], _mm256_permutevar8x32_ps(coefficients, index[k]));
    }
    for (int k = 0; k < N; k++) {
      if constexpr (LEFT != Tail::Clamp) {
        const V below = _mm256_cmp_ps(x[k], lo, _CMP_LT_OQ);
        y[k] = _mm256_blendv_ps(y[k], LEFT == Tail::Line ? fma(left_slope, x[k], left_offset) : left_offset, below);
      }
      const V above = _mm256_cmp_ps(x[k], last, _CMP_GT_OQ);
      const V beyond = RIGHT == Tail::Same ? x[k] : RIGHT == Tail::Line ? fma(right_slope, x[k], right_offset) : right_offset;
      y[k] = _mm256_blendv_ps(y[k], beyond, above);
    }
  }
};

#include "drivers.inc"

}  // namespace

const Kernels kAvx2 = {"avx2", map, map_times, negate, dot, depthwise};

}  // namespace edgeacts
#if defined(__clang__)
#pragma clang attribute pop
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#endif
