// AVX2 and FMA: the quotient for the whole function; where a table has none, the narrow grid, a coefficient of 8 by one permutation.
#include <algorithm>
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
constexpr int W = 8, UNROLL = 4, UNROLL_POWERS = 4, PIXELS = 2, PIXELS_ELSE = 2;
constexpr int MOST_BLOCKS = 3, TILE[] = {0, 8, 6, 4};
constexpr bool ANY_SHAPE = true, QUOTIENTS = true;
constexpr int POWERS = kPowerQuotientDegree, POWERS_COMMON = kPowerQuotientDegree;

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

inline Tail left_tail(const Table& t) {
  const bool zero = t.quotient.over >= 0 && t.narrow_left == Tail::Flat && t.left_offset == 0.f;
  return zero ? Tail::Zero : t.narrow_left;
}

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

// One quotient for all x: no coefficient has to be looked up, which takes the multipliers' ports.
template <Tail LEFT, Tail RIGHT, bool DIVIDES, bool EVEN>
struct Whole {
  const Table& table;
  V lo, hi, left_slope, left_offset, right_slope, right_offset;

  explicit Whole(const Table& t)
      : table(t), lo(set1(t.quotient.lo)), hi(set1(t.quotient.hi)), left_slope(set1(t.left_slope)), left_offset(set1(t.left_offset)),
        right_slope(set1(t.right_slope)), right_offset(set1(t.right_offset)) {}

  template <int N>
  void run(const V* x, V* y) const {
    V u[N], under[N];
    for (int k = 0; k < N; k++) {
      u[k] = min(hi, max(lo, x[k]));
      if constexpr (EVEN) u[k] = mul(u[k], u[k]);
    }
    int d = table.quotient.over, e = table.quotient.under;
    for (int k = 0; k < N; k++) y[k] = _mm256_load_ps(table.over[d]);
    if constexpr (DIVIDES) {
      for (int k = 0; k < N; k++) under[k] = _mm256_load_ps(table.under[e]);
      for (; d > 0 && e > 0; d--, e--) {  // side by side: neither waits for its own chain
        step<N>(table.over[d - 1], u, y);
        step<N>(table.under[e - 1], u, under);
      }
      for (; e > 0; e--) step<N>(table.under[e - 1], u, under);
    }
    for (; d > 0; d--) step<N>(table.over[d - 1], u, y);
    for (int k = 0; k < N; k++) {
      if constexpr (DIVIDES) y[k] = _mm256_div_ps(y[k], under[k]);
      if constexpr (EVEN) {
        u[k] = min(hi, max(lo, x[k]));
        y[k] = fma(u[k], set1(0.5f), y[k]);
      }
      if constexpr (RIGHT == Tail::Flat) {
        y[k] = _mm256_blendv_ps(y[k], right_offset, _mm256_cmp_ps(x[k], hi, _CMP_GT_OQ));
      } else {
        const V over = _mm256_sub_ps(max(lo, x[k]), u[k]);
        y[k] = RIGHT == Tail::Same ? add(y[k], over) : fma(right_slope, over, y[k]);
      }
      const V line = LEFT == Tail::Line ? fma(left_slope, x[k], left_offset) : left_offset;
      if constexpr (DIVIDES && LEFT == Tail::Zero) {
        // x at or below lo, found by integers: comparing and choosing floats takes the multipliers' ports. A NaN has other bits.
        const __m256i below = _mm256_cmpeq_epi32(_mm256_castps_si256(u[k]), _mm256_castps_si256(lo));
        y[k] = _mm256_andnot_ps(_mm256_castsi256_ps(below), y[k]);
      } else {
        y[k] = _mm256_blendv_ps(y[k], line, _mm256_cmp_ps(x[k], lo, _CMP_LT_OQ));
      }
    }
  }

  template <int N>
  static void step(const float* coefficient, const V* u, V* y) {
    const V c = _mm256_load_ps(coefficient);
    for (int k = 0; k < N; k++) y[k] = fma(y[k], u[k], c);
  }
};

template <Tail LEFT, Tail RIGHT>
struct Evaluator<LEFT, RIGHT, Shape::Quotient> : Whole<LEFT, RIGHT, true, false> {
  using Whole<LEFT, RIGHT, true, false>::Whole;
};

template <Tail LEFT, Tail RIGHT>
struct Evaluator<LEFT, RIGHT, Shape::EvenQuotient> : Whole<LEFT, RIGHT, true, true> {
  using Whole<LEFT, RIGHT, true, true>::Whole;
};

// x times a quotient in v = 2^(rate·x), which has few coefficients where the function is made of eˣ.
template <int POWER, int DEGREE, bool COMMON>
struct PowerQuotient {
  const Table& table;
  V lo, hi, rate;

  explicit PowerQuotient(const Table& t) : table(t), lo(set1(t.quotient.lo)), hi(set1(t.quotient.hi)), rate(set1(t.quotient.rate)) {}

  template <int N>
  void run(const V* x, V* y) const {
    V w[N], u[N], v[N], under[N];
    for (int k = 0; k < N; k++) w[k] = max(lo, x[k]), u[k] = min(hi, w[k]);
    powers<N>(u, v);
    for (int k = 0; k < N; k++) y[k] = coefficient(table.over, DEGREE), under[k] = coefficient(table.under, DEGREE);
    horner<N, DEGREE, 1>(table.over, v, y);  // over[0] is 0 and over[1] is 1
    for (int k = 0; k < N; k++) y[k] = DEGREE == 1 ? v[k] : mul(y[k], v[k]);
    if constexpr (COMMON)
      for (int k = 0; k < N; k++) under[k] = add(y[k], coefficient(table.under, 0));
    else
      horner<N, DEGREE, 0>(table.under, v, under);
    for (int k = 0; k < N; k++) y[k] = mul(w[k], _mm256_div_ps(y[k], under[k]));
  }

  // 2^(rate·u): what the exponent has before the point is added to the number's own.
  template <int N>
  void powers(const V* u, V* v) const {
    V r[N];
    __m256i exponent[N];
    const V magic = set1(12582912.f);  // a sum with it has no digits behind the point
    for (int k = 0; k < N; k++) {
      const V moved = fma(u[k], rate, magic);
      exponent[k] = _mm256_slli_epi32(_mm256_castps_si256(moved), 23);
      r[k] = _mm256_fmsub_ps(u[k], rate, _mm256_sub_ps(moved, magic));
      v[k] = coefficient(table.power, POWER);
    }
    horner<N, POWER, 0>(table.power, r, v);
    for (int k = 0; k < N; k++) v[k] = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(v[k]), exponent[k]));
  }

  static V coefficient(const float (*row)[kLanes], int degree) { return _mm256_load_ps(row[degree]); }

  template <int N, int FROM, int TO>
  static void horner(const float (*row)[kLanes], const V* t, V* y) {
    for (int d = FROM - 1; d >= TO; d--)
      for (int k = 0; k < N; k++) y[k] = fma(y[k], t[k], coefficient(row, d));
  }
};

template <Tail LEFT, Tail RIGHT>
struct Evaluator<LEFT, RIGHT, Shape::Polynomial> : Whole<LEFT, RIGHT, false, false> {
  using Whole<LEFT, RIGHT, false, false>::Whole;
};

#include "drivers.inc"
#include "pointwise.inc"
#include "dense.inc"
#include "stem.inc"

}  // namespace

const Kernels kAvx2 = {"avx2", map, map_times, negate, dot, depthwise, pointwise, dense, stem};

}  // namespace edgeacts
#if defined(__clang__)
#pragma clang attribute pop
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#endif
