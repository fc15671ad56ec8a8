// AVX-512 with VBMI: half a table by one permutation.
#include <cstring>
#include <utility>

#include "int8.h"
#if defined(__x86_64__) || defined(_M_X64)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512vbmi")
#endif
#include <immintrin.h>

namespace edgeacts {
namespace {

constexpr int L = 16;
using Pairs = __m512i;
using Weights = __m512i;
using Sums = __m512i;

inline __m128i bytes(const uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
inline Pairs alone(const uint8_t* a) { return _mm512_cvtepu8_epi32(bytes(a)); }
inline Pairs pair(const uint8_t* a, const uint8_t* b) {
  return _mm512_or_si512(alone(a), _mm512_slli_epi32(alone(b), 16));
}
inline Weights load_weights(const int16_t* w) { return _mm512_loadu_si512(w); }
inline Sums load_bias(const int32_t* b) { return _mm512_loadu_si512(b); }
inline Sums dot(Sums sum, Pairs x, Weights w) {
  sum = _mm512_add_epi32(sum, _mm512_madd_epi16(x, w));
  asm("" : "+v"(sum));  // or GCC adds in another order, for which all products have to wait on the stack
  return sum;
}

struct Requantize {
  __m512 scale;
  __m512i zero_point;
  Requantize(const float* s, int32_t z) : scale(_mm512_loadu_ps(s)), zero_point(_mm512_set1_epi32(z)) {}
  void one(Sums sum, uint8_t* y) const {
    const __m512i rounded = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale));
    const __m512i shifted = _mm512_max_epi32(_mm512_add_epi32(rounded, zero_point), _mm512_setzero_si512());
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y), _mm512_cvtusepi32_epi8(shifted));
  }
  template <int N>
  void write(const Sums (&sums)[N], uint8_t* y, int64_t step) const {
    for (int n = 0; n < N; n++) one(sums[n], y + n * step);
  }
};

void lookup(const uint8_t* table, const uint8_t* x, uint8_t* y, size_t n) {
  const __m512i t0 = _mm512_loadu_si512(table), t1 = _mm512_loadu_si512(table + 64);
  const __m512i t2 = _mm512_loadu_si512(table + 128), t3 = _mm512_loadu_si512(table + 192);
  const auto looked_up = [&](__m512i v) {
    const __m512i lower = _mm512_permutex2var_epi8(t0, v, t1), upper = _mm512_permutex2var_epi8(t2, v, t3);
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(v), lower, upper);
  };
  size_t i = 0;
  for (; i + 256 <= n; i += 256) {
    __m512i v[4];
    for (int k = 0; k < 4; k++) v[k] = looked_up(_mm512_loadu_si512(x + i + 64 * k));
    for (int k = 0; k < 4; k++) _mm512_storeu_si512(y + i + 64 * k, v[k]);
  }
  for (; i < n; i += 64) {
    const __mmask64 part = n - i >= 64 ? ~__mmask64{0} : (__mmask64{1} << (n - i)) - 1;
    _mm512_mask_storeu_epi8(y + i, part, looked_up(_mm512_maskz_loadu_epi8(part, x + i)));
  }
}

#include "int8_drivers.inc"

// For a model that was compiled on another machine: here ONNX Runtime's own convolutions do not saturate.
void convolution8(const Convolution8& job, int64_t first, int64_t last, uint8_t* scratch) {
  kInt8Plain.convolution(job, first, last, scratch);
}

}  // namespace

const Int8Kernels kInt8Vbmi = {"vbmi", lookup, depthwise8, convolution8};

}  // namespace edgeacts
#if defined(__clang__)
#pragma clang attribute pop
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#endif
