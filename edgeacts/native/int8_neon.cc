// NEON: a quarter of a table by one lookup of 64 bytes.
#include <cstring>
#include <utility>

#include "int8.h"
#if defined(__aarch64__)
#include <arm_neon.h>

namespace edgeacts {
namespace {

constexpr int L = 8;
struct Pairs {
  int16x8_t first, second;
};
struct Weights {
  int16x8_t first, second;
};
struct Sums {
  int32x4_t low, high;
};

inline int16x8_t words(const uint8_t* p) { return vreinterpretq_s16_u16(vmovl_u8(vld1_u8(p))); }
inline Pairs pair(const uint8_t* a, const uint8_t* b) { return {words(a), words(b)}; }
inline Pairs alone(const uint8_t* a) { return {words(a), vdupq_n_s16(0)}; }
inline Weights load_weights(const int16_t* w) {
  const int16x8x2_t both = vld2q_s16(w);
  return {both.val[0], both.val[1]};
}
inline Sums load_bias(const int32_t* b) { return {vld1q_s32(b), vld1q_s32(b + 4)}; }
inline Sums dot(Sums sum, Pairs x, Weights w) {
  sum.low = vmlal_s16(sum.low, vget_low_s16(x.first), vget_low_s16(w.first));
  sum.high = vmlal_high_s16(sum.high, x.first, w.first);
  sum.low = vmlal_s16(sum.low, vget_low_s16(x.second), vget_low_s16(w.second));
  sum.high = vmlal_high_s16(sum.high, x.second, w.second);
  return sum;
}

struct Requantize {
  float32x4_t low, high;
  int16x8_t zero_point;
  Requantize(const float* s, int32_t z) : low(vld1q_f32(s)), high(vld1q_f32(s + 4)), zero_point(vdupq_n_s16(static_cast<int16_t>(z))) {}
  void one(Sums sum, uint8_t* y) const {
    const int32x4_t a = vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32(sum.low), low));
    const int32x4_t b = vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32(sum.high), high));
    vst1_u8(y, vqmovun_s16(vqaddq_s16(vcombine_s16(vqmovn_s32(a), vqmovn_s32(b)), zero_point)));
  }
  template <int N>
  void write(const Sums (&sums)[N], uint8_t* y, int64_t step) const {
    for (int n = 0; n < N; n++) one(sums[n], y + n * step);
  }
};

void lookup(const uint8_t* table, const uint8_t* x, uint8_t* y, size_t n) {
  const uint8x16x4_t t0 = vld1q_u8_x4(table), t1 = vld1q_u8_x4(table + 64);
  const uint8x16x4_t t2 = vld1q_u8_x4(table + 128), t3 = vld1q_u8_x4(table + 192);
  const auto looked_up = [&](uint8x16_t v) {  // an index of 64 and more leaves what is there
    uint8x16_t found = vqtbl4q_u8(t0, v);
    found = vqtbx4q_u8(found, t1, vsubq_u8(v, vdupq_n_u8(64)));
    found = vqtbx4q_u8(found, t2, vsubq_u8(v, vdupq_n_u8(128)));
    return vqtbx4q_u8(found, t3, vsubq_u8(v, vdupq_n_u8(192)));
  };
  size_t i = 0;
  for (; i + 16 <= n; i += 16) vst1q_u8(y + i, looked_up(vld1q_u8(x + i)));
  if (i == n) return;
  uint8_t rest[16] = {};
  std::memcpy(rest, x + i, n - i);
  vst1q_u8(rest, looked_up(vld1q_u8(rest)));
  std::memcpy(y + i, rest, n - i);
}

#include "int8_drivers.inc"

// For a model that was compiled on another machine: here ONNX Runtime's own convolutions do not saturate.
void convolution8(const Convolution8& job, int64_t first, int64_t last, uint8_t* scratch) {
  kInt8Plain.convolution(job, first, last, scratch);
}

}  // namespace

const Int8Kernels kInt8Neon = {"neon", lookup, depthwise8, convolution8};

}  // namespace edgeacts
#endif
