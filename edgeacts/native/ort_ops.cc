// The custom operators of the domain edgeacts.kernels:
//   Table(X) -> Y, attribute `table`: any activation, any shape. TableInPlace is the same with Y in X's memory, for an X that
//     has no other consumer.
//   Depthwise(X, W, B, S?) -> Y: a depthwise convolution in the blocked layout with an activation on what it reads and on what
//     it writes; S is added before the latter. Attributes: kernel_shape, strides, pads, block, before, after (kinds),
//     before_table, after_table, before_clip, after_clip, before_slope, after_slope.
// The first convolution is in ort_stem_op.cc, products of matrices in ort_product_ops.cc, operators on INT8 in ort_int8_ops.cc.
#include <algorithm>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "kernels.h"
#include "ort_activation.h"
#include "ort_support.h"
#include "ort_window.h"

namespace edgeacts {
namespace {

// ---- Table

constexpr size_t kChunk = 16384;  // numbers: 64 KiB, a part of the L2 cache

struct MapJob {
  const Table* table;
  const float* x;
  float* y;
  size_t count;
};

void map_chunk(void* data, size_t index) {
  const MapJob& job = *static_cast<MapJob*>(data);
  const size_t start = index * kChunk;
  kernels().map(*job.table, job.x + start, job.y + start, std::min(kChunk, job.count - start));
}

OrtStatus* create_map(const OrtCustomOp*, const void*, const OrtKernelInfo* info, void** kernel) {
  std::unique_ptr<Table> found;
  EDGEACTS_TRY(table(info, "table", &found));
  *kernel = found.release();
  return nullptr;
}

OrtStatus* compute_map(void* kernel, OrtKernelContext* context) {
  return elementwise(context, MapJob{static_cast<Table*>(kernel), nullptr, nullptr, 0}, map_chunk, kChunk);
}

// ---- Depthwise

struct DepthwiseKernel {
  Window window;
  Activation before, after;
  std::unique_ptr<Table> before_table, after_table;
  Constants<3> constants;
};

OrtStatus* create_depthwise(const OrtCustomOp*, const void*, const OrtKernelInfo* info, void** kernel) {
  auto made = std::make_unique<DepthwiseKernel>();
  EDGEACTS_TRY(made->window.read(info));
  EDGEACTS_TRY(activation(info, "before", &made->before, &made->before_table));
  EDGEACTS_TRY(activation(info, "after", &made->after, &made->after_table));
  EDGEACTS_TRY(made->constants.find(info));
  const int64_t size = made->window.kernel[0];
  if (!made->window.supported() || size != made->window.kernel[1] || (size != 3 && size != 5))
    return refuse("Depthwise: kernel 3x3 or 5x5, stride 1 or 2, block 8 or 16");
  *kernel = made.release();
  return nullptr;
}

struct DepthwiseJob {
  Depthwise work;
  int64_t pieces, rows;  // pieces of an image's block, output rows of a piece
};

void depthwise_piece(void* data, size_t index) {
  const DepthwiseJob& job = *static_cast<DepthwiseJob*>(data);
  const int64_t image = static_cast<int64_t>(index) / job.pieces, piece = static_cast<int64_t>(index) % job.pieces;
  const int64_t first = piece * job.rows, last = std::min(job.work.out_height, first + job.rows);
  kernels().depthwise(job.work, image, first, last, thread_scratch(depthwise_scratch(job.work)));
}

OrtStatus* compute_depthwise(void* kernel, OrtKernelContext* context) {
  const DepthwiseKernel& k = *static_cast<DepthwiseKernel*>(kernel);
  DepthwiseJob job{};
  Depthwise& w = job.work;
  ConvolutionInputs given;
  EDGEACTS_TRY(given.read(context, k.constants, &w));
  EDGEACTS_TRY(given.read_sum(context, &w));
  const Extent& x = given.x;
  const size_t filter = static_cast<size_t>(k.window.kernel[0] * k.window.kernel[1]);
  if (x.dims.size() != 4 || x.dims[1] % k.window.block != 0 || given.weights != static_cast<size_t>(x.dims[1]) * filter)
    return refuse("Depthwise: the input does not fit the weights");
  if (given.bias != static_cast<size_t>(x.dims[1])) return refuse("Depthwise: the bias does not fit the input");
  w.batch = x.dims[0];
  w.blocks = x.dims[1] / k.window.block;
  if (!k.window.fit(x.dims[2], x.dims[3], &w)) return refuse("Depthwise: the image is smaller than the kernel");
  w.before = k.before;
  w.after = k.after;
  const std::vector<int64_t> dims{w.batch, x.dims[1], w.out_height, w.out_width};
  if (w.sum != nullptr && given.sum.dims != dims) return refuse("Depthwise: the summand has another shape");
  EDGEACTS_TRY(output(context, dims, &w.output));
  const int64_t images = w.batch * w.blocks;
  if (images == 0) return nullptr;
  // Few blocks of large images: pieces of rows, so that every thread finds work. Neighbours activate the rows between them twice.
  job.pieces = images >= 8 ? 1 : std::max<int64_t>(1, std::min<int64_t>(w.out_height / 16, 8 / images));
  job.rows = (w.out_height + job.pieces - 1) / job.pieces;
  return g_ort->KernelContext_ParallelFor(context, depthwise_piece, static_cast<size_t>(images * job.pieces), 0, &job);
}

// ---- registration

OrtCustomOp map_op() {
  OrtCustomOp op = operation<Table>([](const OrtCustomOp*) { return "Table"; }, one, create_map, compute_map);
  op.GetMayInplace = first_to_first;
  op.ReleaseMayInplace = keep;
  return op;
}

OrtCustomOp in_place_op() {
  OrtCustomOp op = map_op();
  op.GetName = [](const OrtCustomOp*) { return "TableInPlace"; };
  op.GetAliasMap = first_to_first;
  op.ReleaseAliasMap = keep;
  return op;
}

OrtCustomOp depthwise_op() {
  OrtCustomOp op = operation<DepthwiseKernel>([](const OrtCustomOp*) { return "Depthwise"; }, four, create_depthwise, compute_depthwise);
  op.GetInputCharacteristic = three_required;
  return op;
}

}  // namespace
}  // namespace edgeacts

#if defined(_WIN32)
#define EDGEACTS_EXPORT extern "C" __declspec(dllexport)
#else
#define EDGEACTS_EXPORT extern "C" __attribute__((visibility("default")))
#endif

EDGEACTS_EXPORT OrtStatus* RegisterCustomOps(OrtSessionOptions* options, const OrtApiBase* base) {
  using namespace edgeacts;
  const void* api = base->GetApi(kOrtVersion);
  if (api == nullptr) {  // every version has the first function
    const void* oldest = base->GetApi(1);
    const auto create = OrtFunction<0, OrtStatus* (*)(int, const char*)>::get(oldest);
    return create(kOrtNotImplemented, "edgeacts' kernels need ONNX Runtime 1.20 or newer");
  }
  static const Ort ort(api);
  g_ort = &ort;
  static const OrtCustomOp ops[] = {map_op(), in_place_op(), depthwise_op()};
  OrtCustomOpDomain* domain = nullptr;
  EDGEACTS_TRY(ort.CreateCustomOpDomain("edgeacts.kernels", &domain));
  for (const OrtCustomOp& op : ops) EDGEACTS_TRY(ort.CustomOpDomain_Add(domain, &op));
  EDGEACTS_TRY(ort.CustomOpDomain_Add(domain, &stem_op()));
  EDGEACTS_TRY(ort.CustomOpDomain_Add(domain, &scale_op()));
  for (const OrtCustomOp& op : product_ops()) EDGEACTS_TRY(ort.CustomOpDomain_Add(domain, &op));
  for (const OrtCustomOp& op : int8_ops()) EDGEACTS_TRY(ort.CustomOpDomain_Add(domain, &op));
  return ort.AddCustomOpDomain(options, domain);
}
