// C++ without vectors.
#include <cmath>
#include <cstring>
#include <utility>

#include "int8.h"

namespace edgeacts {
namespace {

constexpr int L = 1;
struct Pairs {
  int32_t first, second;
};
using Weights = Pairs;
using Sums = int32_t;

inline Pairs pair(const uint8_t* a, const uint8_t* b) { return {*a, *b}; }
inline Pairs alone(const uint8_t* a) { return {*a, 0}; }
inline Weights load_weights(const int16_t* w) { return {w[0], w[1]}; }
inline Sums load_bias(const int32_t* b) { return *b; }
inline Sums dot(Sums sum, Pairs x, Weights w) { return sum + x.first * w.first + x.second * w.second; }

struct Requantize {
  float scale, zero_point;
  Requantize(const float* s, int32_t z) : scale(*s), zero_point(static_cast<float>(z)) {}
  void one(Sums sum, uint8_t* y) const {
    float v = static_cast<float>(sum) * scale;
    v = v < -zero_point ? -zero_point : v > 255.f - zero_point ? 255.f - zero_point : v;
    *y = static_cast<uint8_t>(static_cast<int32_t>(std::nearbyint(v)) + static_cast<int32_t>(zero_point));
  }
  template <int N>
  void write(const Sums (&sums)[N], uint8_t* y, int64_t step) const {
    for (int n = 0; n < N; n++) one(sums[n], y + n * step);
  }
};

void lookup(const uint8_t* table, const uint8_t* x, uint8_t* y, size_t n) {
  for (size_t i = 0; i < n; i++) y[i] = table[x[i]];
}

#include "int8_drivers.inc"

}  // namespace

const Int8Kernels kInt8Plain = {"plain", lookup, depthwise8};

}  // namespace edgeacts
