// Custom operators of the domain edgeacts.kernels that are products of matrices:
//   Pointwise(X, W, B, S?, F?, G?) -> Y: a convolution of 1x1 of the blocked layout; S is added, then the activation is applied. Of F
//     and G, weights that other nodes will read, parts are fetched into the cache meanwhile. Attributes: block, after (kind),
//     after_table, after_clip, after_slope, fetch: first number and count in F, then in G.
//   Dense(X, W, B) -> Y: rows of X times W, with W as kernels.h has it.
#include <algorithm>
#include <memory>
#include <vector>

#include "kernels.h"
#include "ort_activation.h"
#include "ort_support.h"

namespace edgeacts {
namespace {

// ---- Pointwise

struct PointwiseKernel {
  int64_t block, fetch[4];
  Activation after;
  std::unique_ptr<Table> after_table;
  Constants<6> constants;
};

OrtStatus* create_pointwise(const OrtCustomOp*, const void*, const OrtKernelInfo* info, void** kernel) {
  auto made = std::make_unique<PointwiseKernel>();
  EDGEACTS_TRY(g_ort->KernelInfoGetAttribute_int64(info, "block", &made->block));
  EDGEACTS_TRY(integers(info, "fetch", made->fetch, 4));
  EDGEACTS_TRY(activation(info, "after", &made->after, &made->after_table));
  EDGEACTS_TRY(made->constants.find(info));
  if (made->block != 8 && made->block != 16) return refuse("Pointwise: block 8 or 16");
  *kernel = made.release();
  return nullptr;
}

struct PointwiseJob {
  Pointwise work;
  Soon soon[2];
  int64_t pieces, rows, columns, pixels;  // pieces of an image: rows of nearly as many output channels' blocks, columns of `pixels`
};

void pointwise_piece(void* data, size_t index) {
  const PointwiseJob& job = *static_cast<PointwiseJob*>(data);
  const int64_t at = static_cast<int64_t>(index), column = at % job.columns, row = at / job.columns % job.rows;
  Part part{at / (job.rows * job.columns), job.work.out_blocks * row / job.rows, job.work.out_blocks * (row + 1) / job.rows,
            column * job.pixels, std::min(job.work.pixels, (column + 1) * job.pixels), {}};
  for (int k = 0; k < 2; k++)
    part.soon[k] = {job.soon[k].at + job.soon[k].size * at / job.pieces, job.soon[k].size / job.pieces};
  kernels().pointwise(job.work, part);
}

// Many pixels are shared out by pixels, so that a piece reads its input once; few by output channels, and weights are read once. Pieces
// are a power of two where they can be, of the same size: two threads that share three have a third of their time for nothing.
void share_out(PointwiseJob* job) {
  constexpr int64_t kPieces = 8, kPixels = 196;
  const Pointwise& w = job->work;
  job->rows = w.out_blocks >= 48 ? 8 : w.out_blocks >= 8 ? 4 : w.out_blocks >= 4 ? 2 : 1;
  job->pixels = w.pixels;
  if (w.pixels >= 2 * kPixels) {
    job->rows = 1;
    job->pixels = std::max(kPixels, (w.pixels / kPieces + 27) / 28 * 28);
  } else if (job->rows < 4 && w.pixels >= kPixels) {
    job->pixels = (w.pixels / 2 + 13) / 14 * 14;
  }
  job->columns = (w.pixels + job->pixels - 1) / job->pixels;
  job->pieces *= job->rows * job->columns;
}

OrtStatus* compute_pointwise(void* kernel, OrtKernelContext* context) {
  const PointwiseKernel& k = *static_cast<PointwiseKernel*>(kernel);
  PointwiseJob job{};
  Pointwise& w = job.work;
  ConvolutionInputs given;
  EDGEACTS_TRY(given.read(context, k.constants, &w));
  EDGEACTS_TRY(given.read_sum(context, &w));
  for (size_t f = 4; f < given.inputs; f++) {
    const float* numbers = nullptr;
    size_t count = 0;
    EDGEACTS_TRY(k.constants.read(context, f, &numbers, &count));
    const int64_t from = k.fetch[2 * f - 8], size = k.fetch[2 * f - 7];
    if (from < 0 || size < 0 || from > static_cast<int64_t>(count) - size) return refuse("Pointwise: what is to be fetched is not there");
    if (numbers != nullptr) job.soon[f - 4] = {numbers + from, size};
  }
  const Extent& x = given.x;
  const size_t out = given.bias, block = static_cast<size_t>(k.block);
  if (x.dims.size() != 4 || x.dims[1] % k.block != 0 || out % block != 0 || given.weights != static_cast<size_t>(x.dims[1]) * out)
    return refuse("Pointwise: the input does not fit the weights");
  const std::vector<int64_t> dims{x.dims[0], static_cast<int64_t>(out), x.dims[2], x.dims[3]};
  if (w.sum != nullptr && given.sum.dims != dims) return refuse("Pointwise: the summand has another shape");
  w.block = k.block;
  w.in_blocks = x.dims[1] / k.block;
  w.out_blocks = static_cast<int64_t>(out / block);
  w.pixels = x.dims[2] * x.dims[3];
  w.after = k.after;
  EDGEACTS_TRY(output(context, dims, &w.output));
  if (x.dims[0] == 0 || w.pixels == 0 || w.out_blocks == 0) return nullptr;
  job.pieces = x.dims[0];
  share_out(&job);
  return g_ort->KernelContext_ParallelFor(context, pointwise_piece, static_cast<size_t>(job.pieces), 0, &job);
}

// ---- Dense

using DenseKernel = Constants<3>;

OrtStatus* create_dense(const OrtCustomOp*, const void*, const OrtKernelInfo* info, void** kernel) {
  auto made = std::make_unique<DenseKernel>();
  EDGEACTS_TRY(made->find(info));
  *kernel = made.release();
  return nullptr;
}

struct DenseJob {
  Dense work;
  int64_t blocks, piece;  // of 16 outputs, and how many at a time
};

void dense_piece(void* data, size_t index) {
  const DenseJob& job = *static_cast<DenseJob*>(data);
  const int64_t first = static_cast<int64_t>(index) * job.piece;
  kernels().dense(job.work, first, std::min(job.blocks, first + job.piece));
}

OrtStatus* compute_dense(void* kernel, OrtKernelContext* context) {
  const DenseKernel& constants = *static_cast<DenseKernel*>(kernel);
  DenseJob job{};
  Dense& w = job.work;
  Extent x;
  size_t weights = 0, bias = 0;
  EDGEACTS_TRY(input(context, 0, &w.input, &x));
  EDGEACTS_TRY(constants.read(context, 1, &w.weights, &weights));
  EDGEACTS_TRY(constants.read(context, 2, &w.bias, &bias));
  if (x.dims.size() != 2) return refuse("Dense: the input has other than two dimensions");
  w.rows = x.dims[0];
  w.in = x.dims[1];
  w.out = static_cast<int64_t>(bias);
  job.blocks = (w.out + 15) / 16;
  if (weights != static_cast<size_t>(job.blocks * w.in * 16)) return refuse("Dense: the input does not fit the weights");
  EDGEACTS_TRY(output(context, {w.rows, w.out}, &w.output));
  if (w.rows == 0 || job.blocks == 0) return nullptr;
  job.piece = (job.blocks + 7) / 8;
  const size_t pieces = static_cast<size_t>((job.blocks + job.piece - 1) / job.piece);
  return g_ort->KernelContext_ParallelFor(context, dense_piece, pieces, 0, &job);
}

// ---- registration

OrtCustomOp pointwise_op() {
  OrtCustomOp op = operation<PointwiseKernel>([](const OrtCustomOp*) { return "Pointwise"; }, six, create_pointwise, compute_pointwise);
  op.GetInputCharacteristic = three_required;
  return op;
}

OrtCustomOp dense_op() {
  return operation<DenseKernel>([](const OrtCustomOp*) { return "Dense"; }, three, create_dense, compute_dense);
}

}  // namespace

const std::vector<OrtCustomOp>& product_ops() {
  static const std::vector<OrtCustomOp> ops{pointwise_op(), dense_op()};
  return ops;
}

}  // namespace edgeacts
