// What the operators share: reading inputs and attributes, and the parts of OrtCustomOp that are the same for all.
#pragma once
#include <string>
#include <vector>

#include "ort_abi.h"

namespace edgeacts {

inline const Ort* g_ort = nullptr;

#define EDGEACTS_TRY(call)               \
  do {                                   \
    if (OrtStatus* status = (call)) return status; \
  } while (0)

inline OrtStatus* refuse(const char* why) { return g_ort->CreateStatus(kOrtInvalidArgument, why); }

struct Extent {
  std::vector<int64_t> dims;
  size_t count = 0;
};

template <class T>
OrtStatus* memory_of(const OrtValue* value, const T** data) {
  void* memory = nullptr;
  EDGEACTS_TRY(g_ort->GetTensorMutableData(const_cast<OrtValue*>(value), &memory));
  *data = static_cast<const T*>(memory);
  return nullptr;
}

inline OrtStatus* extent_of(const OrtValue* value, Extent* shape) {
  OrtTensorTypeAndShapeInfo* info = nullptr;
  EDGEACTS_TRY(g_ort->GetTensorTypeAndShape(value, &info));
  size_t rank = 0;
  OrtStatus* status = g_ort->GetDimensionsCount(info, &rank);
  if (status == nullptr) {
    shape->dims.resize(rank);
    status = g_ort->GetDimensions(info, shape->dims.data(), rank);
  }
  if (status == nullptr) status = g_ort->GetTensorShapeElementCount(info, &shape->count);
  g_ort->ReleaseTensorTypeAndShapeInfo(info);
  return status;
}

template <class T>
OrtStatus* input(const OrtKernelContext* context, size_t index, const T** data, Extent* shape) {
  const OrtValue* value = nullptr;
  EDGEACTS_TRY(g_ort->KernelContext_GetInput(context, index, &value));
  *data = nullptr;
  if (value == nullptr) return nullptr;  // an optional one that is not given
  EDGEACTS_TRY(memory_of(value, data));
  return shape == nullptr ? nullptr : extent_of(value, shape);
}

// Inputs that do not change, read once: asking for them takes a microsecond, a hundredth of a small convolution.
template <size_t COUNT>
struct Constants {
  const float* data[COUNT] = {};
  size_t count[COUNT] = {};

  OrtStatus* find(const OrtKernelInfo* info) {
    for (size_t i = 0; i < COUNT; i++) {
      int constant = 0;
      const OrtValue* value = nullptr;
      EDGEACTS_TRY(g_ort->KernelInfoGetConstantInput_tensor(info, i, &constant, &value));
      if (!constant || value == nullptr) continue;
      Extent extent;
      EDGEACTS_TRY(memory_of(value, &data[i]));
      EDGEACTS_TRY(extent_of(value, &extent));
      count[i] = extent.count;
    }
    return nullptr;
  }
  OrtStatus* read(const OrtKernelContext* context, size_t index, const float** numbers, size_t* size) const {
    *numbers = data[index];
    *size = count[index];
    if (*numbers != nullptr) return nullptr;
    Extent extent;
    EDGEACTS_TRY(input(context, index, numbers, &extent));
    *size = extent.count;
    return nullptr;
  }
};

// What every convolution of floats reads: X, W, B and, when it is given, a summand S. `inputs` counts those of the node.
struct ConvolutionInputs {
  Extent x, sum;
  size_t weights = 0, bias = 0, inputs = 0;

  template <class Work, size_t COUNT>
  OrtStatus* read(OrtKernelContext* context, const Constants<COUNT>& known, Work* w) {
    EDGEACTS_TRY(input(context, 0, &w->input, &x));
    EDGEACTS_TRY(known.read(context, 1, &w->weights, &weights));
    EDGEACTS_TRY(known.read(context, 2, &w->bias, &bias));
    return g_ort->KernelContext_GetInputCount(context, &inputs);
  }
  template <class Work>
  OrtStatus* read_sum(OrtKernelContext* context, Work* w) {
    return inputs > 3 ? input(context, 3, &w->sum, &sum) : nullptr;
  }
};

template <class T>
OrtStatus* output(OrtKernelContext* context, const std::vector<int64_t>& dims, T** data) {
  OrtValue* value = nullptr;
  EDGEACTS_TRY(g_ort->KernelContext_GetOutput(context, 0, dims.data(), dims.size(), &value));
  void* memory = nullptr;
  EDGEACTS_TRY(g_ort->GetTensorMutableData(value, &memory));
  *data = static_cast<T*>(memory);
  return nullptr;
}

// Y of X's shape, made by `chunk` in pieces of `size` elements; Job has x, y and count.
template <class Job>
OrtStatus* elementwise(OrtKernelContext* context, Job job, void (*chunk)(void*, size_t), size_t size) {
  Extent shape;
  EDGEACTS_TRY(input(context, 0, &job.x, &shape));
  EDGEACTS_TRY(output(context, shape.dims, &job.y));
  job.count = shape.count;
  const size_t chunks = (job.count + size - 1) / size;
  if (chunks > 1) return g_ort->KernelContext_ParallelFor(context, chunk, chunks, 0, &job);
  if (chunks == 1) chunk(&job, 0);
  return nullptr;
}

inline OrtStatus* floats(const OrtKernelInfo* info, const char* name, std::vector<float>* out) {
  size_t size = 0;
  if (OrtStatus* status = g_ort->KernelInfoGetAttributeArray_float(info, name, nullptr, &size)) {
    g_ort->ReleaseStatus(status);  // asking for the size is answered so by some versions
    if (size == 0) return refuse((std::string("attribute ") + name + " is missing").c_str());
  }
  out->resize(size);
  return g_ort->KernelInfoGetAttributeArray_float(info, name, out->data(), &size);
}

inline OrtStatus* integers(const OrtKernelInfo* info, const char* name, int64_t* out, size_t count) {
  size_t size = count;
  OrtStatus* status = g_ort->KernelInfoGetAttributeArray_int64(info, name, out, &size);
  if (status == nullptr && size == count) return nullptr;
  if (status != nullptr) g_ort->ReleaseStatus(status);
  return refuse((std::string("attribute ") + name + " is missing or has a wrong length").c_str());
}

inline int yes(const OrtCustomOp*) { return 1; }
inline int version_one(const OrtCustomOp*) { return 1; }
inline int any_version(const OrtCustomOp*) { return 0x7fffffff; }
inline int float_type(const OrtCustomOp*, size_t) { return kOrtFloat; }
inline size_t one(const OrtCustomOp*) { return 1; }
inline size_t two(const OrtCustomOp*) { return 2; }
inline size_t three(const OrtCustomOp*) { return 3; }
inline size_t four(const OrtCustomOp*) { return 4; }
inline size_t six(const OrtCustomOp*) { return 6; }
inline int required(const OrtCustomOp*, size_t) { return kOrtRequired; }
inline int three_required(const OrtCustomOp*, size_t index) { return index < 3 ? kOrtRequired : kOrtOptional; }
inline int memory_type(const OrtCustomOp*, size_t) { return kOrtMemoryDefault; }
inline const char* provider(const OrtCustomOp*) { return "CPUExecutionProvider"; }
inline size_t first_to_first(int** in, int** out) {
  static int index = 0;
  *in = *out = &index;
  return 1;
}
inline void keep(int*, int*) {}

inline OrtCustomOp common() {
  OrtCustomOp op{};
  op.version = kOrtVersion;
  op.GetExecutionProviderType = provider;
  op.GetInputType = op.GetOutputType = float_type;
  op.GetInputTypeCount = op.GetOutputTypeCount = one;
  op.GetInputCharacteristic = op.GetOutputCharacteristic = required;
  op.GetInputMemoryType = memory_type;
  op.GetVariadicInputMinArity = op.GetVariadicInputHomogeneity = yes;
  op.GetVariadicOutputMinArity = op.GetVariadicOutputHomogeneity = yes;
  op.GetStartVersion = version_one;
  op.GetEndVersion = any_version;
  return op;
}

// An operator whose kernel is a Kernel, made by `create`.
template <class Kernel>
OrtCustomOp operation(const char* (*name)(const OrtCustomOp*), size_t (*inputs)(const OrtCustomOp*),
                      OrtStatus* (*create)(const OrtCustomOp*, const void*, const OrtKernelInfo*, void**),
                      OrtStatus* (*compute)(void*, OrtKernelContext*)) {
  OrtCustomOp op = common();
  op.GetName = name;
  op.GetInputTypeCount = inputs;
  op.CreateKernelV2 = create;
  op.KernelComputeV2 = compute;
  op.KernelDestroy = [](void* kernel) { delete static_cast<Kernel*>(kernel); };
  return op;
}

// Products of images and pixels.
const OrtCustomOp& scale_op();

// The first convolution.
const OrtCustomOp& stem_op();

// Products of matrices.
const std::vector<OrtCustomOp>& product_ops();

// The operators on INT8, which have one type each.
const std::vector<OrtCustomOp>& int8_ops();

}  // namespace edgeacts
