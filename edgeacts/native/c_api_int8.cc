// What Python calls through ctypes for INT8.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "int8.h"

namespace {

constexpr size_t kPiece = 65536;  // bytes

}  // namespace

extern "C" {

// y = table[x] on `count` bytes; x and y may be the same.
void edgeacts_lookup(const uint8_t* table, const uint8_t* x, uint8_t* y, size_t count, int threads) {
  const size_t pieces = (count + kPiece - 1) / kPiece;
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t piece = next++; piece < pieces; piece = next++) {
      const size_t start = piece * kPiece;
      edgeacts::int8_kernels().lookup(table, x + start, y + start, std::min(kPiece, count - start));
    }
  };
  std::vector<std::thread> others;
  for (size_t i = 1; i < std::min(pieces, static_cast<size_t>(std::max(threads, 1))); i++) others.emplace_back(work);
  work();
  for (std::thread& other : others) other.join();
}

// Billions of bytes a second for y = table[x] on one thread, the best of `rounds` times `repeats` passes.
double edgeacts_measure_lookup(const uint8_t* table, const uint8_t* x, uint8_t* y, size_t count, int rounds, int repeats) {
  double best = 1e30;
  for (int round = 0; round < rounds; round++) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < repeats; i++) edgeacts::int8_kernels().lookup(table, x, y, count);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::min(best, seconds / repeats);
  }
  return static_cast<double>(count) / best * 1e-9;
}

// A depthwise convolution: sizes are batch, channels, height, width, out_height, out_width, kernel, stride, pad_top, pad_left,
// zero_point, padding. The tables may be null.
void edgeacts_depthwise8(const int64_t* sizes, const uint8_t* x, const int16_t* weights, const int32_t* bias, const float* scale,
                         const uint8_t* before, const uint8_t* after, uint8_t* y) {
  edgeacts::Depthwise8 job{};
  job.batch = sizes[0];
  job.channels = sizes[1];
  job.height = sizes[2];
  job.width = sizes[3];
  job.out_height = sizes[4];
  job.out_width = sizes[5];
  job.kernel = sizes[6];
  job.stride = sizes[7];
  job.pad_top = sizes[8];
  job.pad_left = sizes[9];
  job.zero_point = static_cast<int32_t>(sizes[10]);
  job.padding = static_cast<uint8_t>(sizes[11]);
  job.input = x;
  job.weights = weights;
  job.bias = bias;
  job.scale = scale;
  job.before = before;
  job.after = after;
  job.output = y;
  std::vector<uint8_t> scratch(edgeacts::depthwise8_scratch(job));
  for (int64_t image = 0; image < job.batch; image++) edgeacts::int8_kernels().depthwise(job, image, 0, job.out_height, scratch.data());
}
}
