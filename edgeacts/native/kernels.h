// What an instruction set offers. One translation unit each; dispatch.cc chooses one when the library is loaded.
#pragma once
#include <cstddef>
#include <cstdint>

#include "table.h"

namespace edgeacts {

// Tables that have an evaluator of their own: segments that are a power of two wide, such that are all equal, parabolas on such;
// a quotient of two polynomials in x, or in x² beside x/2, or one polynomial, for the whole.
enum class Shape { General, Dyadic, Equal, Parabolas, Quotient, EvenQuotient, Polynomial };

// An activation at one end of a depthwise convolution: nothing, a table, a clip to [low, high], or LeakyReLU with slope `low`.
struct Activation {
  enum class Kind : int { None = 0, Table = 1, Clip = 2, Leaky = 3 } kind = Kind::None;
  const Table* table = nullptr;
  float low = 0.f, high = 0.f;
};

// A depthwise convolution on tensors [N][C/block][H][W][block], weights [C/block][kernel_h][kernel_w][block].
struct Depthwise {
  int64_t block;  // 16 or 8, as ONNX Runtime's convolutions have it on this CPU
  int64_t batch, blocks, height, width, out_height, out_width;
  int64_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
  const float *input, *weights, *bias, *sum;  // bias and sum (added before the activation, may be the output) may be null
  float* output;
  Activation before, after;
};

// A convolution of images [N][channels][height][width] to [N][out_blocks][out_height][out_width][block], stride 1 or 2 alike in both
// directions, channels · kernel_h · kernel_w at most kMostStemTaps; weights [out_blocks][channels][kernel_h][kernel_w][block].
struct Stem {
  int64_t block, channels, height, width, out_blocks, out_height, out_width;
  int64_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
  const float *input, *weights, *bias;
  float* output;
  Activation after;
};

constexpr size_t kMostStemTaps = 512;

// A convolution of 1x1, stride 1, on tensors [N][C/block][pixels][block]; weights [out][in][block of in][block of out].
struct Pointwise {
  int64_t block, in_blocks, out_blocks, pixels;
  const float *input, *weights, *bias, *sum;  // sum (added before the activation, may be the output) may be null
  float* output;
  Activation after;
};

// Numbers that will be read soon.
struct Soon {
  const float* at;
  int64_t size;
};

// Of the output: blocks [first_block, last_block) and pixels [first, last) of one image, and what to fetch into the cache meanwhile.
struct Part {
  int64_t image, first_block, last_block, first, last;
  Soon soon[2];
};

// Rows of `in` numbers to rows of `out`; weights [ceil(out / 16)][in][16], the last block filled with zeros, bias [out].
struct Dense {
  int64_t rows, in, out;
  const float *input, *weights, *bias;
  float* output;
};

struct Kernels {
  const char* name;
  // y = f(x); x and y may be the same.
  void (*map)(const Table&, const float* x, float* y, size_t n);
  // y = factor * f(x), or factor * f(-x), for backward passes.
  void (*map_times)(const Table&, const float* x, const float* factor, float* y, size_t n, bool mirrored);
  void (*negate)(const float* x, float* y, size_t n);
  float (*dot)(const float* a, const float* b, size_t n);  // for a few thousand numbers
  // Output rows [first, last) of block `index` of batch · blocks; `scratch` holds depthwise_scratch() numbers.
  // Kernels 3x3 and 5x5, stride 1 and 2 alike in both directions.
  void (*depthwise)(const Depthwise&, int64_t index, int64_t first, int64_t last, float* scratch);
  void (*pointwise)(const Pointwise&, const Part&);
  void (*dense)(const Dense&, int64_t first_block, int64_t last_block);  // blocks of 16 outputs
  void (*stem)(const Stem&, int64_t image, int64_t first, int64_t last, float* scratch);  // output rows [first, last); stem_scratch() numbers
};

// Pixels of an input row with its zeros on both sides.
template <class Windowed>
int64_t padded_width(const Windowed& job) {
  const int64_t left = job.width + job.pad_left;
  const int64_t needed = (job.out_width - 1) * job.stride_w + job.kernel_w;
  return left > needed ? left : needed;
}

// Numbers: the kernel's rows and one of zeros.
inline size_t depthwise_scratch(const Depthwise& job) {
  return static_cast<size_t>((job.kernel_h + 1) * padded_width(job) * job.block);
}

// Numbers: the kernel's rows of all planes and one of zeros.
inline size_t stem_scratch(const Stem& job) {
  return static_cast<size_t>((job.channels * job.kernel_h + 1) * padded_width(job));
}

extern const Kernels kPlain;
#if defined(__x86_64__) || defined(_M_X64)
extern const Kernels kAvx2;
extern const Kernels kAvx512;
#elif defined(__aarch64__)
extern const Kernels kNeon;
#endif

const Kernels& kernels();  // the best one this CPU has, or what EDGEACTS_ISA names if the CPU has it

}  // namespace edgeacts
