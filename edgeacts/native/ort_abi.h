// The part of ONNX Runtime's C interface that is used here. The interface is append-only: a position in the table of functions
// never changes, and a library may ask for any older version of it. Version 20 came with ONNX Runtime 1.20.
#pragma once
#include <cstddef>
#include <cstdint>

extern "C" {

struct OrtStatus;
struct OrtSessionOptions;
struct OrtCustomOpDomain;
struct OrtKernelContext;
struct OrtKernelInfo;
struct OrtValue;
struct OrtTensorTypeAndShapeInfo;
struct OrtShapeInferContext;

constexpr uint32_t kOrtVersion = 20;
constexpr int kOrtFloat = 1;              // ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT
constexpr int kOrtRequired = 0;           // OrtCustomOpInputOutputCharacteristic
constexpr int kOrtOptional = 1;
constexpr int kOrtMemoryDefault = 0;      // OrtMemTypeDefault
constexpr int kOrtInvalidArgument = 2;    // OrtErrorCode
constexpr int kOrtNotImplemented = 9;

struct OrtApiBase {
  const void* (*GetApi)(uint32_t version);
  const char* (*GetVersionString)();
};

struct OrtCustomOp {
  uint32_t version;
  void* (*CreateKernel)(const OrtCustomOp*, const void* api, const OrtKernelInfo*);
  const char* (*GetName)(const OrtCustomOp*);
  const char* (*GetExecutionProviderType)(const OrtCustomOp*);
  int (*GetInputType)(const OrtCustomOp*, size_t);
  size_t (*GetInputTypeCount)(const OrtCustomOp*);
  int (*GetOutputType)(const OrtCustomOp*, size_t);
  size_t (*GetOutputTypeCount)(const OrtCustomOp*);
  void (*KernelCompute)(void*, OrtKernelContext*);
  void (*KernelDestroy)(void*);
  int (*GetInputCharacteristic)(const OrtCustomOp*, size_t);
  int (*GetOutputCharacteristic)(const OrtCustomOp*, size_t);
  int (*GetInputMemoryType)(const OrtCustomOp*, size_t);
  int (*GetVariadicInputMinArity)(const OrtCustomOp*);
  int (*GetVariadicInputHomogeneity)(const OrtCustomOp*);
  int (*GetVariadicOutputMinArity)(const OrtCustomOp*);
  int (*GetVariadicOutputHomogeneity)(const OrtCustomOp*);
  OrtStatus* (*CreateKernelV2)(const OrtCustomOp*, const void* api, const OrtKernelInfo*, void** kernel);
  OrtStatus* (*KernelComputeV2)(void* kernel, OrtKernelContext*);
  OrtStatus* (*InferOutputShapeFn)(const OrtCustomOp*, OrtShapeInferContext*);
  int (*GetStartVersion)(const OrtCustomOp*);
  int (*GetEndVersion)(const OrtCustomOp*);
  size_t (*GetMayInplace)(int** input, int** output);
  void (*ReleaseMayInplace)(int* input, int* output);
  size_t (*GetAliasMap)(int** input, int** output);
  void (*ReleaseAliasMap)(int* input, int* output);
};
static_assert(sizeof(void*) != 8 || sizeof(OrtCustomOp) == 208, "OrtCustomOp of version 20");

}  // extern "C"

namespace edgeacts {

// One function of the table: its position and type.
template <int POSITION, class Function>
struct OrtFunction {
  static Function get(const void* api) { return reinterpret_cast<Function>(static_cast<void* const*>(api)[POSITION]); }
};

struct Ort {
  OrtStatus* (*CreateStatus)(int code, const char* message);
  OrtStatus* (*CreateCustomOpDomain)(const char* name, OrtCustomOpDomain** out);
  OrtStatus* (*CustomOpDomain_Add)(OrtCustomOpDomain*, const OrtCustomOp*);
  OrtStatus* (*AddCustomOpDomain)(OrtSessionOptions*, OrtCustomOpDomain*);
  OrtStatus* (*GetTensorMutableData)(OrtValue*, void** out);
  OrtStatus* (*GetDimensionsCount)(const OrtTensorTypeAndShapeInfo*, size_t* out);
  OrtStatus* (*GetDimensions)(const OrtTensorTypeAndShapeInfo*, int64_t* out, size_t count);
  OrtStatus* (*GetTensorShapeElementCount)(const OrtTensorTypeAndShapeInfo*, size_t* out);
  OrtStatus* (*GetTensorTypeAndShape)(const OrtValue*, OrtTensorTypeAndShapeInfo** out);
  OrtStatus* (*KernelInfoGetAttribute_float)(const OrtKernelInfo*, const char* name, float* out);
  OrtStatus* (*KernelInfoGetAttribute_int64)(const OrtKernelInfo*, const char* name, int64_t* out);
  OrtStatus* (*KernelContext_GetInputCount)(const OrtKernelContext*, size_t* out);
  OrtStatus* (*KernelContext_GetInput)(const OrtKernelContext*, size_t index, const OrtValue** out);
  OrtStatus* (*KernelContext_GetOutput)(OrtKernelContext*, size_t index, const int64_t* dims, size_t count, OrtValue** out);
  void (*ReleaseStatus)(OrtStatus*);
  void (*ReleaseTensorTypeAndShapeInfo)(OrtTensorTypeAndShapeInfo*);
  OrtStatus* (*KernelInfoGetAttributeArray_float)(const OrtKernelInfo*, const char* name, float* out, size_t* size);
  OrtStatus* (*KernelInfoGetAttributeArray_int64)(const OrtKernelInfo*, const char* name, int64_t* out, size_t* size);
  OrtStatus* (*KernelInfoGetConstantInput_tensor)(const OrtKernelInfo*, size_t index, int* constant, const OrtValue** out);
  OrtStatus* (*KernelContext_ParallelFor)(const OrtKernelContext*, void (*fn)(void*, size_t), size_t total, size_t batches, void*);

  explicit Ort(const void* api) {
    fill<0>(api, CreateStatus);
    fill<26>(api, CreateCustomOpDomain);
    fill<27>(api, CustomOpDomain_Add);
    fill<28>(api, AddCustomOpDomain);
    fill<51>(api, GetTensorMutableData);
    fill<61>(api, GetDimensionsCount);
    fill<62>(api, GetDimensions);
    fill<64>(api, GetTensorShapeElementCount);
    fill<65>(api, GetTensorTypeAndShape);
    fill<85>(api, KernelInfoGetAttribute_float);
    fill<86>(api, KernelInfoGetAttribute_int64);
    fill<88>(api, KernelContext_GetInputCount);
    fill<90>(api, KernelContext_GetInput);
    fill<91>(api, KernelContext_GetOutput);
    fill<93>(api, ReleaseStatus);
    fill<99>(api, ReleaseTensorTypeAndShapeInfo);
    fill<162>(api, KernelInfoGetAttributeArray_float);
    fill<163>(api, KernelInfoGetAttributeArray_int64);
    fill<249>(api, KernelInfoGetConstantInput_tensor);
    fill<274>(api, KernelContext_ParallelFor);
  }

 private:
  template <int POSITION, class Function>
  static void fill(const void* api, Function& to) {
    to = OrtFunction<POSITION, Function>::get(api);
  }
};

}  // namespace edgeacts
