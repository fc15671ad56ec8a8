// Scale(X, S) -> Y, of the domain edgeacts.kernels: an image of the blocked layout times a number for each channel, S of one pixel, as
// squeeze-and-excitation has it; ONNX Runtime takes the image out of the layout and back for this. Attribute: block.
#include <cstddef>

#include "ort_support.h"

namespace edgeacts {
namespace {

struct ScaleKernel {
  int64_t block;
};

OrtStatus* create_scale(const OrtCustomOp*, const void*, const OrtKernelInfo* info, void** kernel) {
  int64_t block = 0;
  EDGEACTS_TRY(g_ort->KernelInfoGetAttribute_int64(info, "block", &block));
  if (block != 8 && block != 16) return refuse("Scale: block 8 or 16");
  *kernel = new ScaleKernel{block};
  return nullptr;
}

struct ScaleJob {
  const float *x, *factors;
  float* y;
  size_t block, pixels;
};

template <size_t BLOCK>
void scale(const float* x, const float* factors, float* y, size_t pixels) {
  float own[BLOCK];
  for (size_t c = 0; c < BLOCK; c++) own[c] = factors[c];
  for (size_t p = 0; p < pixels; p++, x += BLOCK, y += BLOCK)
    for (size_t c = 0; c < BLOCK; c++) y[c] = x[c] * own[c];
}

void scale_block(void* data, size_t index) {
  const ScaleJob& job = *static_cast<ScaleJob*>(data);
  const size_t from = index * job.pixels * job.block;
  (job.block == 16 ? scale<16> : scale<8>)(job.x + from, job.factors + index * job.block, job.y + from, job.pixels);
}

OrtStatus* compute_scale(void* kernel, OrtKernelContext* context) {
  ScaleJob job{};
  job.block = static_cast<size_t>(static_cast<ScaleKernel*>(kernel)->block);
  Extent x, factors;
  EDGEACTS_TRY(input(context, 0, &job.x, &x));
  EDGEACTS_TRY(input(context, 1, &job.factors, &factors));
  const std::vector<int64_t>& dims = x.dims;
  if (dims.size() != 4 || dims[1] % static_cast<int64_t>(job.block) != 0 || factors.dims != std::vector<int64_t>{dims[0], dims[1], 1, 1})
    return refuse("Scale: it takes an image of whole blocks and one pixel of as many channels");
  EDGEACTS_TRY(output(context, dims, &job.y));
  if (x.count == 0) return nullptr;
  job.pixels = static_cast<size_t>(dims[2] * dims[3]);
  return g_ort->KernelContext_ParallelFor(context, scale_block, x.count / (job.pixels * job.block), 0, &job);
}

OrtCustomOp made() {
  return operation<ScaleKernel>([](const OrtCustomOp*) { return "Scale"; }, two, create_scale, compute_scale);
}

}  // namespace

const OrtCustomOp& scale_op() {
  static const OrtCustomOp op = made();
  return op;
}

}  // namespace edgeacts
