// What an instruction set offers for INT8. All is on bytes: int8 values go through tables that say so.
#pragma once
#include <cstddef>
#include <cstdint>

namespace edgeacts {

// A depthwise convolution on bytes [N][H][W][C] with 256-entry tables on what it reads and writes:
//   y = after[clamp(round(scale[c] · (bias[c] + Σ w·before[x])) + zero_point)]
// where scale[c] · |bias[c] + Σ w·before[x]| stays below 2^30: larger ones would leave int32 (int8_convolutions.py refuses them).
// Its weights are int16 [2][(kernel + 1) / 2][kernel][C][2], rows of the kernel by two: first (0, 1), (2, 3), .. with zero after the
// last, then (0) with zero after it, (1, 2), ..
struct Depthwise8 {
  int64_t batch, channels, height, width, out_height, out_width;
  int64_t kernel, stride, pad_top, pad_left;
  const uint8_t *input, *before, *after;  // the tables may be null
  const int16_t* weights;
  const int32_t* bias;  // with the input's zero point taken off
  const float* scale;
  int32_t zero_point;
  uint8_t padding;  // what stands beside the image, after the table
  uint8_t* output;
};

// A convolution of all channels on bytes [N][H][W][in_channels] to [N][H'][W'][channels], scaled and looked up like the above.
// Its weights are int8: for vectors of 8 channels, in twos and the last one alone and overlapping where need be, 4 · quads rows of
// the product by four, [quads][vectors][8][4]. The products of two neighbours add up with saturation to int16.
struct Convolution8 {
  int64_t batch, in_channels, channels, height, width, out_height, out_width;
  int64_t kernel, stride, pad_top, pad_left, quads;
  const uint8_t *input, *after;  // the table may be null
  const int8_t* weights;
  const int32_t* bias;  // with the input's zero point taken off
  const float* scale;
  int32_t zero_point;
  uint8_t padding;
  uint8_t* output;
};

constexpr int64_t kConvolutionPixels = 64;  // at once: their input stays in the L1 cache
inline size_t convolution8_scratch(const Convolution8& job) { return static_cast<size_t>(kConvolutionPixels * job.quads * 4); }

struct Int8Kernels {
  const char* name;
  // y = table[x]; x and y may be the same.
  void (*lookup)(const uint8_t* table, const uint8_t* x, uint8_t* y, size_t n);
  // Output rows [first, last) of an image; `scratch` holds depthwise8_scratch() bytes. Kernels 3x3 and 5x5, stride 1 and 2.
  void (*depthwise)(const Depthwise8&, int64_t image, int64_t first, int64_t last, uint8_t* scratch);
  // Output pixels [first, last) of all images' ones; `scratch` holds convolution8_scratch() bytes. At least 8 channels.
  void (*convolution)(const Convolution8&, int64_t first, int64_t last, uint8_t* scratch);
};

// Bytes of an input row with its padding on both sides.
inline int64_t padded_row(const Depthwise8& job) {
  const int64_t left = job.width + job.pad_left, needed = (job.out_width - 1) * job.stride + job.kernel;
  return (left > needed ? left : needed) * job.channels;
}

// Rows of the input that two rows of the output need.
inline int64_t ring_rows(const Depthwise8& job) { return job.kernel + job.stride; }

// These and one of padding.
inline size_t depthwise8_scratch(const Depthwise8& job) { return static_cast<size_t>((ring_rows(job) + 1) * padded_row(job)); }

extern const Int8Kernels kInt8Plain;
#if defined(__x86_64__) || defined(_M_X64)
extern const Int8Kernels kInt8Avx2;
extern const Int8Kernels kInt8Vbmi;
#elif defined(__aarch64__)
extern const Int8Kernels kInt8Neon;
#endif

// Those of the chosen instruction set; AVX-512 without VBMI takes AVX2's.
const Int8Kernels& int8_kernels();

}  // namespace edgeacts
