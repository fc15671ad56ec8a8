// AVX-512F: the wide grid, a coefficient of 32 by one permutation.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels.h"
#if defined(__x86_64__) || defined(_M_X64)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC target("avx512f")
#endif
#include <immintrin.h>

namespace edgeacts {
namespace {

using V = __m512;
constexpr int W = 16, UNROLL = 2, UNROLL_POWERS = 4, PIXELS = 7, PIXELS_ELSE = 4;
constexpr int MOST_BLOCKS = 3, TILE[] = {0, 14, 14, 7};
constexpr bool ANY_SHAPE = false, QUOTIENTS = false;
constexpr int POWERS = 1, POWERS_COMMON = 2;  // without it degree 2 takes as long as segments

inline V load(const float* p) { return _mm512_loadu_ps(p); }
inline void store(float* p, V v) { _mm512_storeu_ps(p, v); }
inline __mmask16 part(size_t n) { return static_cast<__mmask16>((1u << n) - 1u); }
inline V load_part(const float* p, size_t n) { return _mm512_maskz_loadu_ps(part(n), p); }
inline void store_part(float* p, V v, size_t n) { _mm512_mask_storeu_ps(p, part(n), v); }
inline V set1(float v) { return _mm512_set1_ps(v); }
inline V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
inline V add(V a, V b) { return _mm512_add_ps(a, b); }
inline V mul(V a, V b) { return _mm512_mul_ps(a, b); }
// The second operand is what comes out when either is NaN.
inline V min(V bound, V v) { return _mm512_min_ps(bound, v); }
inline V max(V bound, V v) { return _mm512_max_ps(bound, v); }

inline Tail left_tail(const Table& t) { return t.left; }

template <Tail LEFT, Tail RIGHT, Shape SHAPE>
struct Evaluator {
  static constexpr int DEGREE = SHAPE == Shape::Parabolas ? 2 : kWideDegree;
  V lo, last, knee, last_knee, inverse, step, magic, left_slope, left_offset, right_slope, right_offset;
  V low[DEGREE + 1], high[DEGREE + 1];

  explicit Evaluator(const Table& t)
      : lo(set1(t.wide.lo)), last(set1(t.wide.last)), knee(set1(t.wide.knee)), last_knee(set1(t.wide.last_knee)),
        inverse(set1(t.wide.inverse)), step(set1(t.wide.step)), magic(set1(SHAPE == Shape::General ? 12582912.f : t.wide.magic)), left_slope(set1(t.left_slope)),
        left_offset(set1(t.left_offset)), right_slope(set1(t.right_slope)), right_offset(set1(t.right_offset)) {
    for (int d = 0; d <= DEGREE; d++) {
      low[d] = load(t.wide_coefficients[d]);
      high[d] = load(t.wide_coefficients[d] + 16);
    }
  }

  template <int N>
  void run(const V* x, V* y) const {
    V t[N], over[N];
    __m512i index[N];
    for (int k = 0; k < N; k++) {
      V inside = LEFT == Tail::Clamp ? max(lo, x[k]) : x[k];
      if constexpr (RIGHT == Tail::Same) {
        // What x has over the last segment is added in the end: cheaper than choosing between two results.
        const V most = min(last, inside);
        over[k] = _mm512_sub_ps(inside, most);
        inside = most;
      }
      const V at = SHAPE == Shape::Parabolas || SHAPE == Shape::Equal ? inside : min(last_knee, max(knee, inside));
      // Adding 3·2^22, or that times the step, rounded down, leaves the segment's number in the low bits; of these the
      // permutation takes five.
      constexpr int kDown = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;
      V number;
      if constexpr (SHAPE == Shape::General) {
        number = _mm512_fmadd_round_ps(at, inverse, magic, kDown);
        t[k] = _mm512_fnmadd_ps(_mm512_sub_ps(number, magic), step, inside);
      } else {  // additions only, which leave the multipliers to the polynomials
        number = _mm512_add_round_ps(at, magic, kDown);
        t[k] = _mm512_sub_ps(inside, _mm512_sub_ps(number, magic));
      }
      index[k] = _mm512_castps_si512(number);
    }
    for (int k = 0; k < N; k++) y[k] = coefficient(DEGREE, index[k]);
    for (int d = DEGREE - 1; d >= 1; d--)
      for (int k = 0; k < N; k++) y[k] = fma(y[k], t[k], coefficient(d, index[k]));
    for (int k = 0; k < N; k++) {
      V constant = coefficient(0, index[k]);
      if constexpr (RIGHT == Tail::Same) constant = add(constant, over[k]);
      y[k] = fma(y[k], t[k], constant);
    }
    for (int k = 0; k < N; k++) {
      if constexpr (LEFT != Tail::Clamp) {
        const __mmask16 below = _mm512_cmp_ps_mask(x[k], lo, _CMP_LT_OQ);
        y[k] = _mm512_mask_mov_ps(y[k], below, LEFT == Tail::Line ? fma(left_slope, x[k], left_offset) : left_offset);
      }
      if constexpr (RIGHT != Tail::Same) {
        const __mmask16 above = _mm512_cmp_ps_mask(x[k], last, _CMP_GT_OQ);
        y[k] = _mm512_mask_mov_ps(y[k], above, RIGHT == Tail::Line ? fma(right_slope, x[k], right_offset) : right_offset);
      }
    }
  }

  V coefficient(int d, __m512i index) const { return _mm512_permutex2var_ps(low[d], index, high[d]); }
};

// x times a quotient in v = 2^(rate·x): fewer operations than segments with a longer first or last one.
template <int POWER, int DEGREE, bool COMMON>
struct PowerQuotient {
  V lo, hi, rate, over[DEGREE + 1], under[DEGREE + 1], power[POWER + 1];

  explicit PowerQuotient(const Table& t) : lo(set1(t.quotient.lo)), hi(set1(t.quotient.hi)), rate(set1(t.quotient.rate)) {
    for (int d = 0; d <= DEGREE; d++) over[d] = set1(t.over[d][0]), under[d] = set1(t.under[d][0]);
    for (int d = 0; d <= POWER; d++) power[d] = set1(t.power[d][0]);
  }

  template <int N>
  void run(const V* x, V* y) const {
    V w[N], v[N], below[N];
    for (int k = 0; k < N; k++) w[k] = max(lo, x[k]);
    powers<N>(w, v);
    for (int k = 0; k < N; k++) y[k] = over[DEGREE], below[k] = under[DEGREE];
    horner<N, DEGREE, 1>(over, v, y);  // over[0] is 0 and over[1] is 1
    for (int k = 0; k < N; k++) y[k] = DEGREE == 1 ? v[k] : mul(y[k], v[k]);
    if constexpr (COMMON)
      for (int k = 0; k < N; k++) below[k] = add(y[k], under[0]);
    else
      horner<N, DEGREE, 0>(under, v, below);
    for (int k = 0; k < N; k++) y[k] = mul(w[k], _mm512_div_ps(y[k], below[k]));
  }

  // 2^(rate·w): what the exponent has before the point is added to the number's own.
  template <int N>
  void powers(const V* w, V* v) const {
    V r[N];
    __m512i exponent[N];
    const V magic = set1(12582912.f);  // a sum with it has no digits behind the point
    for (int k = 0; k < N; k++) {
      const V u = min(hi, w[k]), moved = fma(u, rate, magic);
      exponent[k] = _mm512_slli_epi32(_mm512_castps_si512(moved), 23);
      r[k] = _mm512_fmsub_ps(u, rate, _mm512_sub_ps(moved, magic));
      v[k] = power[POWER];
    }
    horner<N, POWER, 0>(power, r, v);
    for (int k = 0; k < N; k++) v[k] = _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(v[k]), exponent[k]));
  }

  template <int N, int FROM, int TO>
  static void horner(const V* row, const V* t, V* y) {
    for (int d = FROM - 1; d >= TO; d--)
      for (int k = 0; k < N; k++) y[k] = fma(y[k], t[k], row[d]);
  }
};

#include "drivers.inc"
#include "pointwise.inc"
#include "dense.inc"
#include "stem.inc"

}  // namespace

const Kernels kAvx512 = {"avx512", map, map_times, negate, dot, depthwise, pointwise, dense, stem};

}  // namespace edgeacts
#if defined(__clang__)
#pragma clang attribute pop
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#endif
