// AVX2: a table as 16 shuffles, of which four levels of selections take one; sums of products by pairs.
#include <cstring>
#include <type_traits>
#include <utility>

#include "int8.h"
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

constexpr int L = 8;
using Pairs = __m256i;
using Weights = __m256i;
using Sums = __m256i;

inline __m128i bytes(const uint8_t* p) { return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)); }
inline Pairs pair(const uint8_t* a, const uint8_t* b) { return _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(bytes(a), bytes(b))); }
inline Pairs alone(const uint8_t* a) { return _mm256_cvtepu8_epi32(bytes(a)); }
inline Weights load_weights(const int16_t* w) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w)); }
inline Sums load_bias(const int32_t* b) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b)); }
inline Sums dot(Sums sum, Pairs x, Weights w) {
  sum = _mm256_add_epi32(sum, _mm256_madd_epi16(x, w));
  asm("" : "+x"(sum));  // or GCC adds in another order, for which all products have to wait on the stack
  return sum;
}

struct Requantize {
  __m256 scale;
  __m128i zero_point;
  Requantize(const float* s, int32_t z) : scale(_mm256_loadu_ps(s)), zero_point(_mm_set1_epi16(static_cast<int16_t>(z))) {}
  void one(Sums sum, uint8_t* y) const {
    // To nearest even. Clamping in the packs is the same as before rounding, whose bounds are whole numbers.
    const __m256i rounded = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(sum), scale));
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1));
    const __m128i shifted = _mm_adds_epi16(words, zero_point);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(y), _mm_packus_epi16(shifted, shifted));
  }
  template <int N>
  void write(const Sums (&sums)[N], uint8_t* y, int64_t step) const {
    if constexpr (N != 4) {
      for (int n = 0; n < N; n++) one(sums[n], y + n * step);
    } else {
      __m256i rounded[4];
      for (int n = 0; n < 4; n++) rounded[n] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(sums[n]), scale));
      const __m256i zero = _mm256_broadcastsi128_si256(zero_point);
      const __m256i a = _mm256_adds_epi16(_mm256_packs_epi32(rounded[0], rounded[1]), zero);
      const __m256i b = _mm256_adds_epi16(_mm256_packs_epi32(rounded[2], rounded[3]), zero);
      // Each half holds four channels of every pixel.
      const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
      const __m256i all = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(a, b), order);
      const __m128i first = _mm256_castsi256_si128(all), second = _mm256_extracti128_si256(all, 1);
      _mm_storel_epi64(reinterpret_cast<__m128i*>(y), first);
      _mm_storeh_pd(reinterpret_cast<double*>(y + step), _mm_castsi128_pd(first));
      _mm_storel_epi64(reinterpret_cast<__m128i*>(y + 2 * step), second);
      _mm_storeh_pd(reinterpret_cast<double*>(y + 3 * step), _mm_castsi128_pd(second));
    }
  }
};

// 16 parts of the table in each half of a register, chosen by the low four bits; then a selection by each of the others.
inline __m256i looked_up(const uint8_t* table, __m256i x) {
  const __m256i low = _mm256_and_si256(x, _mm256_set1_epi8(15));
  const __m256i bit4 = _mm256_slli_epi16(x, 3), bit5 = _mm256_slli_epi16(x, 2), bit6 = _mm256_slli_epi16(x, 1);
  const auto part = [&](int i) {
    const __m128i entries = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table + 16 * i));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(entries), low);
  };
  __m256i found[8];
  for (int i = 0; i < 8; i++) found[i] = _mm256_blendv_epi8(part(2 * i), part(2 * i + 1), bit4);
  for (int i = 0; i < 4; i++) found[i] = _mm256_blendv_epi8(found[2 * i], found[2 * i + 1], bit5);
  for (int i = 0; i < 2; i++) found[i] = _mm256_blendv_epi8(found[2 * i], found[2 * i + 1], bit6);
  return _mm256_blendv_epi8(found[0], found[1], x);
}

void lookup(const uint8_t* table, const uint8_t* x, uint8_t* y, size_t n) {
  alignas(32) uint8_t own[256];  // y may be anywhere: a copy need not be read again after each store
  std::memcpy(own, table, sizeof own);
  size_t i = 0;
  for (; i + 32 <= n; i += 32) {
    const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(y + i), looked_up(own, v));
  }
  if (i == n) return;
  alignas(32) uint8_t rest[32] = {};
  std::memcpy(rest, x + i, n - i);
  _mm256_store_si256(reinterpret_cast<__m256i*>(rest), looked_up(own, _mm256_load_si256(reinterpret_cast<const __m256i*>(rest))));
  std::memcpy(y + i, rest, n - i);
}

#include "int8_drivers.inc"

constexpr int PIXELS = 4, VECTORS = 2;

template <int PX, int V>
inline void tile(const uint8_t* a, int64_t stride, int64_t quads, const int8_t* weights, Sums (&sums)[V][PX]) {
  const __m256i ones = _mm256_set1_epi16(1);
  for (int64_t k = 0; k < quads; k++, weights += V * 32) {
    __m256i w[V];
    for (int v = 0; v < V; v++) w[v] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights + v * 32));
    for (int p = 0; p < PX; p++) {
      int32_t four;
      std::memcpy(&four, a + p * stride + 4 * k, sizeof four);
      const __m256i x = _mm256_set1_epi32(four);
      for (int v = 0; v < V; v++)
        sums[v][p] = _mm256_add_epi32(sums[v][p], _mm256_madd_epi16(_mm256_maddubs_epi16(x, w[v]), ones));
    }
  }
}

#include "int8_convolution.inc"

}  // namespace

const Int8Kernels kInt8Avx2 = {"avx2", lookup, depthwise8, convolution8};

}  // namespace edgeacts
#if defined(__clang__)
#pragma clang attribute pop
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#endif
