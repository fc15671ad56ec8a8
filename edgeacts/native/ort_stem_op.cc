// Stem(X, W, B) -> Y, of the domain edgeacts.kernels: a convolution of an image in planes to the blocked layout with the activation that
// follows. Attributes: kernel_shape, strides, pads, block, after, after_table, after_clip, after_slope.
#include <algorithm>
#include <memory>
#include <vector>

#include "kernels.h"
#include "ort_activation.h"
#include "ort_support.h"
#include "ort_window.h"

namespace edgeacts {
namespace {

struct StemKernel {
  Window window;
  Activation after;
  std::unique_ptr<Table> after_table;
  Constants<3> constants;
};

OrtStatus* create_stem(const OrtCustomOp*, const void*, const OrtKernelInfo* info, void** kernel) {
  auto made = std::make_unique<StemKernel>();
  EDGEACTS_TRY(made->window.read(info));
  EDGEACTS_TRY(activation(info, "after", &made->after, &made->after_table));
  EDGEACTS_TRY(made->constants.find(info));
  const int64_t height = made->window.kernel[0], width = made->window.kernel[1];
  if (!made->window.supported() || std::min(height, width) < 1 || std::max(height, width) > 64 || height * width > static_cast<int64_t>(kMostStemTaps))
    return refuse("Stem: stride 1 or 2, block 8 or 16, a kernel of a sane size");
  *kernel = made.release();
  return nullptr;
}

struct StemJob {
  Stem work;
  int64_t pieces, rows;  // of an image, output rows of a piece
};

void stem_piece(void* data, size_t index) {
  const StemJob& job = *static_cast<StemJob*>(data);
  const int64_t image = static_cast<int64_t>(index) / job.pieces, first = static_cast<int64_t>(index) % job.pieces * job.rows;
  kernels().stem(job.work, image, first, std::min(job.work.out_height, first + job.rows), thread_scratch(stem_scratch(job.work)));
}

OrtStatus* compute_stem(void* kernel, OrtKernelContext* context) {
  const StemKernel& k = *static_cast<StemKernel*>(kernel);
  StemJob job{};
  Stem& w = job.work;
  ConvolutionInputs given;
  EDGEACTS_TRY(given.read(context, k.constants, &w));
  const std::vector<int64_t>& x = given.x.dims;
  const size_t filter = static_cast<size_t>(k.window.kernel[0] * k.window.kernel[1]), block = static_cast<size_t>(k.window.block);
  if (x.size() != 4 || static_cast<size_t>(x[1]) * filter > kMostStemTaps || given.bias % block != 0 ||
      given.weights != given.bias * static_cast<size_t>(x[1]) * filter)
    return refuse("Stem: the input does not fit the weights");
  if (!k.window.fit(x[2], x[3], &w)) return refuse("Stem: the image is smaller than the kernel");
  w.channels = x[1];
  w.out_blocks = static_cast<int64_t>(given.bias / block);
  w.after = k.after;
  EDGEACTS_TRY(output(context, {x[0], static_cast<int64_t>(given.bias), w.out_height, w.out_width}, &w.output));
  if (x[0] == 0 || w.out_blocks == 0) return nullptr;
  constexpr int64_t kPieces = 8, kRows = 8;  // rows between pieces are copied twice
  job.rows = std::max(kRows, (w.out_height + kPieces - 1) / kPieces);
  job.pieces = (w.out_height + job.rows - 1) / job.rows;
  return g_ort->KernelContext_ParallelFor(context, stem_piece, static_cast<size_t>(x[0] * job.pieces), 0, &job);
}

OrtCustomOp made() {
  return operation<StemKernel>([](const OrtCustomOp*) { return "Stem"; }, three, create_stem, compute_stem);
}

}  // namespace

const OrtCustomOp& stem_op() {
  static const OrtCustomOp op = made();
  return op;
}

}  // namespace edgeacts
