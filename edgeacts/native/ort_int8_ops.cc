// The custom operators of the domain edgeacts.kernels on uint8 or int8, one type for input and output:
//   Lookup(X) -> Y, attribute `table`: 256 numbers 0..255, the output's byte for each input byte; any shape. LookupInPlace is the
//     same with Y in X's memory, for an X that has no other consumer.
//   Depthwise8(X, W, B, S) -> Y: a depthwise convolution of [N][H][W][C] as int8.h has it. Attributes: kernel_shape, strides,
//     pads, zero_point, padding, threads, and before, after: tables, or nothing.
//   Convolution8(X, W, B, S) -> Y: a convolution of all channels likewise, with `channels` instead of a table before.
#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "int8.h"
#include "ort_support.h"

namespace edgeacts {
namespace {

using Bytes = std::array<uint8_t, 256>;

// Null when the attribute is not there and need not be.
OrtStatus* byte_table(const OrtKernelInfo* info, const char* name, std::unique_ptr<Bytes>* out, bool optional) {
  std::array<int64_t, 256> numbers;
  if (OrtStatus* status = integers(info, name, numbers.data(), numbers.size())) {
    if (!optional) return status;
    g_ort->ReleaseStatus(status);
    return nullptr;
  }
  *out = std::make_unique<Bytes>();
  for (size_t i = 0; i < numbers.size(); i++) {
    if (numbers[i] < 0 || numbers[i] > 255) return refuse((std::string("attribute ") + name + " holds a number that is no byte").c_str());
    (**out)[i] = static_cast<uint8_t>(numbers[i]);
  }
  return nullptr;
}

// ---- Lookup

constexpr size_t kChunk = 32768;  // bytes

struct LookupJob {
  const uint8_t *table, *x;
  uint8_t* y;
  size_t count;
};

void lookup_chunk(void* data, size_t index) {
  const LookupJob& job = *static_cast<LookupJob*>(data);
  const size_t start = index * kChunk;
  int8_kernels().lookup(job.table, job.x + start, job.y + start, std::min(kChunk, job.count - start));
}

OrtStatus* create_lookup(const OrtCustomOp*, const void*, const OrtKernelInfo* info, void** kernel) {
  std::unique_ptr<Bytes> table;
  EDGEACTS_TRY(byte_table(info, "table", &table, false));
  *kernel = table.release();
  return nullptr;
}

OrtStatus* compute_lookup(void* kernel, OrtKernelContext* context) {
  return elementwise(context, LookupJob{static_cast<Bytes*>(kernel)->data(), nullptr, nullptr, 0}, lookup_chunk, kChunk);
}

// ---- what both convolutions read

struct Inputs {
  Extent x, weights, bias, scale;
};

template <class Work>
OrtStatus* read_inputs(OrtKernelContext* context, const char* name, Work* w, Inputs* given) {
  EDGEACTS_TRY(input(context, 0, &w->input, &given->x));
  EDGEACTS_TRY(input(context, 1, &w->weights, &given->weights));
  EDGEACTS_TRY(input(context, 2, &w->bias, &given->bias));
  EDGEACTS_TRY(input(context, 3, &w->scale, &given->scale));
  const std::vector<int64_t>& dims = given->x.dims;
  if (dims.size() != 4) return refuse((std::string(name) + ": the input has other than four dimensions").c_str());
  w->batch = dims[0];
  w->height = dims[1];
  w->width = dims[2];
  return nullptr;
}

template <class Kernel, class Work>
OrtStatus* place_window(const Kernel& k, const char* name, Work* w) {
  const int64_t high = w->height + k.pads[0] + k.pads[2], wide = w->width + k.pads[1] + k.pads[3];
  if (high < k.kernel || wide < k.kernel) return refuse((std::string(name) + ": the image is smaller than the kernel").c_str());
  w->kernel = k.kernel;
  w->stride = k.stride;
  w->pad_top = k.pads[0];
  w->pad_left = k.pads[1];
  w->out_height = (high - k.kernel) / k.stride + 1;
  w->out_width = (wide - k.kernel) / k.stride + 1;
  w->zero_point = static_cast<int32_t>(k.zero_point);
  w->padding = static_cast<uint8_t>(k.padding);
  return nullptr;
}

// ---- Depthwise8

struct Depthwise8Kernel {
  int64_t kernel, stride, pads[4], zero_point, padding, threads;
  std::unique_ptr<Bytes> before, after;
};

OrtStatus* create_depthwise8(const OrtCustomOp*, const void*, const OrtKernelInfo* info, void** kernel) {
  auto made = std::make_unique<Depthwise8Kernel>();
  int64_t shape[2], strides[2];
  EDGEACTS_TRY(integers(info, "kernel_shape", shape, 2));
  EDGEACTS_TRY(integers(info, "strides", strides, 2));
  EDGEACTS_TRY(integers(info, "pads", made->pads, 4));
  EDGEACTS_TRY(g_ort->KernelInfoGetAttribute_int64(info, "zero_point", &made->zero_point));
  EDGEACTS_TRY(g_ort->KernelInfoGetAttribute_int64(info, "padding", &made->padding));
  EDGEACTS_TRY(g_ort->KernelInfoGetAttribute_int64(info, "threads", &made->threads));
  EDGEACTS_TRY(byte_table(info, "before", &made->before, true));
  EDGEACTS_TRY(byte_table(info, "after", &made->after, true));
  made->kernel = shape[0];
  made->stride = strides[0];
  const auto byte = [](int64_t v) { return v >= 0 && v <= 255; };
  const bool supported = shape[0] == shape[1] && (shape[0] == 3 || shape[0] == 5) && strides[0] == strides[1] &&
                         (strides[0] == 1 || strides[0] == 2) && byte(made->zero_point) && byte(made->padding) &&
                         *std::min_element(made->pads, made->pads + 4) >= 0 && *std::max_element(made->pads, made->pads + 4) < 64;
  if (!supported) return refuse("Depthwise8: kernel 3x3 or 5x5, stride 1 or 2");
  *kernel = made.release();
  return nullptr;
}

struct Depthwise8Job {
  Depthwise8 work;
  int64_t pieces, rows;  // pieces of an image, output rows of a piece
};

void depthwise8_piece(void* data, size_t index) {
  const Depthwise8Job& job = *static_cast<Depthwise8Job*>(data);
  const int64_t image = static_cast<int64_t>(index) / job.pieces, piece = static_cast<int64_t>(index) % job.pieces;
  const int64_t first = piece * job.rows, last = std::min(job.work.out_height, first + job.rows);
  if (first >= last) return;
  static thread_local std::vector<uint8_t> memory;
  const size_t needed = depthwise8_scratch(job.work);
  if (memory.size() < needed) memory.resize(needed);
  int8_kernels().depthwise(job.work, image, first, last, memory.data());
}

OrtStatus* compute_depthwise8(void* kernel, OrtKernelContext* context) {
  const Depthwise8Kernel& k = *static_cast<Depthwise8Kernel*>(kernel);
  Depthwise8Job job{};
  Depthwise8& w = job.work;
  Inputs given;
  EDGEACTS_TRY(read_inputs(context, "Depthwise8", &w, &given));
  w.channels = given.x.dims[3];
  const size_t channels = static_cast<size_t>(w.channels), taps = static_cast<size_t>(2 * ((k.kernel + 1) / 2) * k.kernel * 2);
  if (given.weights.count != taps * channels || given.bias.count != channels || given.scale.count != channels)
    return refuse("Depthwise8: the input does not fit the weights");
  EDGEACTS_TRY(place_window(k, "Depthwise8", &w));
  w.before = k.before ? k.before->data() : nullptr;
  w.after = k.after ? k.after->data() : nullptr;
  EDGEACTS_TRY(output(context, {w.batch, w.out_height, w.out_width, w.channels}, &w.output));
  if (w.batch * w.channels == 0) return nullptr;
  // Neighbouring pieces look the rows between them up twice: no more pieces than threads find work in.
  job.pieces = k.threads <= 1 ? 1 : std::max<int64_t>(1, std::min<int64_t>(w.out_height / 4, k.threads));
  job.rows = (w.out_height + job.pieces - 1) / job.pieces;
  return g_ort->KernelContext_ParallelFor(context, depthwise8_piece, static_cast<size_t>(w.batch * job.pieces), 0, &job);
}

// ---- Convolution8

struct Convolution8Kernel {
  int64_t kernel, stride, pads[4], channels, zero_point, padding, threads;
  std::unique_ptr<Bytes> after;
};

OrtStatus* create_convolution8(const OrtCustomOp*, const void*, const OrtKernelInfo* info, void** kernel) {
  auto made = std::make_unique<Convolution8Kernel>();
  int64_t shape[2], strides[2];
  EDGEACTS_TRY(integers(info, "kernel_shape", shape, 2));
  EDGEACTS_TRY(integers(info, "strides", strides, 2));
  EDGEACTS_TRY(integers(info, "pads", made->pads, 4));
  EDGEACTS_TRY(g_ort->KernelInfoGetAttribute_int64(info, "channels", &made->channels));
  EDGEACTS_TRY(g_ort->KernelInfoGetAttribute_int64(info, "zero_point", &made->zero_point));
  EDGEACTS_TRY(g_ort->KernelInfoGetAttribute_int64(info, "padding", &made->padding));
  EDGEACTS_TRY(g_ort->KernelInfoGetAttribute_int64(info, "threads", &made->threads));
  EDGEACTS_TRY(byte_table(info, "after", &made->after, true));
  made->kernel = shape[0];
  made->stride = strides[0];
  const auto byte = [](int64_t v) { return v >= 0 && v <= 255; };
  const bool supported = shape[0] == shape[1] && shape[0] > 0 && strides[0] == strides[1] && strides[0] > 0 && made->channels >= 8 &&
                         byte(made->zero_point) && byte(made->padding) && *std::min_element(made->pads, made->pads + 4) >= 0;
  if (!supported) return refuse("Convolution8: square kernels, equal strides, at least 8 channels");
  *kernel = made.release();
  return nullptr;
}

struct Convolution8Job {
  Convolution8 work;
  int64_t pixels, piece;  // of the output; those of a piece
};

void convolution8_piece(void* data, size_t index) {
  const Convolution8Job& job = *static_cast<Convolution8Job*>(data);
  const int64_t first = static_cast<int64_t>(index) * job.piece, last = std::min(job.pixels, first + job.piece);
  static thread_local std::vector<uint8_t> memory;
  const size_t needed = convolution8_scratch(job.work);
  if (memory.size() < needed) memory.resize(needed);
  int8_kernels().convolution(job.work, first, last, memory.data());
}

OrtStatus* compute_convolution8(void* kernel, OrtKernelContext* context) {
  const Convolution8Kernel& k = *static_cast<Convolution8Kernel*>(kernel);
  Convolution8Job job{};
  Convolution8& w = job.work;
  Inputs given;
  EDGEACTS_TRY(read_inputs(context, "Convolution8", &w, &given));
  w.in_channels = given.x.dims[3];
  w.channels = k.channels;
  w.quads = (k.kernel * k.kernel * w.in_channels + 3) / 4;
  const size_t channels = static_cast<size_t>(k.channels), vectors = (channels + 7) / 8;
  if (given.weights.count != vectors * 8 * static_cast<size_t>(w.quads) * 4 || given.bias.count != channels || given.scale.count != channels)
    return refuse("Convolution8: the input does not fit the weights");
  EDGEACTS_TRY(place_window(k, "Convolution8", &w));
  w.after = k.after ? k.after->data() : nullptr;
  EDGEACTS_TRY(output(context, {w.batch, w.out_height, w.out_width, w.channels}, &w.output));
  job.pixels = w.batch * w.out_height * w.out_width;
  if (job.pixels == 0) return nullptr;
  const int64_t wanted = k.threads <= 1 ? job.pixels : (job.pixels + 4 * k.threads - 1) / (4 * k.threads);
  job.piece = (wanted + kConvolutionPixels - 1) / kConvolutionPixels * kConvolutionPixels;
  const int64_t pieces = (job.pixels + job.piece - 1) / job.piece;
  return g_ort->KernelContext_ParallelFor(context, convolution8_piece, static_cast<size_t>(pieces), 0, &job);
}

// ---- registration

constexpr int kUint8 = 2, kInt8 = 3, kInt16 = 5, kInt32 = 6;  // ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8 and so on

template <int TYPE>
int byte_type(const OrtCustomOp*, size_t) {
  return TYPE;
}

template <int TYPE>
int depthwise8_type(const OrtCustomOp*, size_t index) {
  return index == 0 ? TYPE : index == 1 ? kInt16 : index == 2 ? kInt32 : kOrtFloat;
}

template <int TYPE>
int convolution8_type(const OrtCustomOp*, size_t index) {
  return index == 0 ? TYPE : index == 1 ? kInt8 : index == 2 ? kInt32 : kOrtFloat;
}

template <int TYPE>
void add_ops(std::vector<OrtCustomOp>* ops) {
  OrtCustomOp op = common();
  op.GetInputType = op.GetOutputType = byte_type<TYPE>;
  op.GetName = [](const OrtCustomOp*) { return "Lookup"; };
  op.CreateKernelV2 = create_lookup;
  op.KernelComputeV2 = compute_lookup;
  op.KernelDestroy = [](void* kernel) { delete static_cast<Bytes*>(kernel); };
  op.GetMayInplace = first_to_first;
  op.ReleaseMayInplace = keep;
  ops->push_back(op);
  op.GetName = [](const OrtCustomOp*) { return "LookupInPlace"; };
  op.GetAliasMap = first_to_first;
  op.ReleaseAliasMap = keep;
  ops->push_back(op);
  OrtCustomOp depthwise = common();
  depthwise.GetName = [](const OrtCustomOp*) { return "Depthwise8"; };
  depthwise.GetInputType = depthwise8_type<TYPE>;
  depthwise.GetOutputType = byte_type<TYPE>;
  depthwise.GetInputTypeCount = four;
  depthwise.CreateKernelV2 = create_depthwise8;
  depthwise.KernelComputeV2 = compute_depthwise8;
  depthwise.KernelDestroy = [](void* kernel) { delete static_cast<Depthwise8Kernel*>(kernel); };
  ops->push_back(depthwise);
  OrtCustomOp convolution = depthwise;
  convolution.GetName = [](const OrtCustomOp*) { return "Convolution8"; };
  convolution.GetInputType = convolution8_type<TYPE>;
  convolution.CreateKernelV2 = create_convolution8;
  convolution.KernelComputeV2 = compute_convolution8;
  convolution.KernelDestroy = [](void* kernel) { delete static_cast<Convolution8Kernel*>(kernel); };
  ops->push_back(convolution);
}

std::vector<OrtCustomOp> made_ops() {
  std::vector<OrtCustomOp> ops;
  add_ops<kUint8>(&ops);
  add_ops<kInt8>(&ops);
  return ops;
}

}  // namespace

const std::vector<OrtCustomOp>& int8_ops() {
  static const std::vector<OrtCustomOp> ops = made_ops();
  return ops;
}

}  // namespace edgeacts
