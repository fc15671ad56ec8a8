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

// Weights are packed for vectors of 8 channels, whatever this has.
void convolution8(const Convolution8& job, int64_t first, int64_t last, uint8_t*) {
  for (int64_t pixel = first; pixel < last; pixel++) {
    const int64_t row = pixel / job.out_width, image = row / job.out_height, top = row % job.out_height * job.stride - job.pad_top;
    const int64_t left = pixel % job.out_width * job.stride - job.pad_left;
    const auto byte = [&](int64_t k) -> int32_t {
      const int64_t y = top + k / job.in_channels / job.kernel, x = left + k / job.in_channels % job.kernel;
      if (k >= job.kernel * job.kernel * job.in_channels) return 0;
      if (y < 0 || y >= job.height || x < 0 || x >= job.width) return job.padding;
      return job.input[((image * job.height + y) * job.width + x) * job.in_channels + k % job.in_channels];
    };
    uint8_t* to = job.output + pixel * job.channels;
    const int8_t* weights = job.weights;
    for (int64_t c = 0; c < job.channels;) {
      const int64_t vectors = c + 16 <= job.channels ? 2 : 1, start = c + 8 <= job.channels ? c : job.channels - 8;
      for (int64_t i = 0; i < 8 * vectors; i++) {
        Sums sum = job.bias[start + i];
        for (int64_t k = 0; k < job.quads * 4; k += 2) {
          const int8_t* w = weights + (k / 4 * vectors * 8 + i) * 4 + k % 4;
          const int32_t both = byte(k) * w[0] + byte(k + 1) * w[1];
          sum += both > 32767 ? 32767 : both < -32768 ? -32768 : both;
        }
        Requantize(job.scale + start + i, job.zero_point).one(sum, to + start + i);
      }
      weights += job.quads * 4 * 8 * vectors;
      c += 8 * vectors;
    }
    if (job.after != nullptr) lookup(job.after, to, to, static_cast<size_t>(job.channels));
  }
}

}  // namespace

const Int8Kernels kInt8Plain = {"plain", lookup, depthwise8, convolution8};

}  // namespace edgeacts
