// The window of a convolution in the blocked layout: attributes kernel_shape, strides, pads, block, and what follows from them.
#pragma once
#include <algorithm>

#include "ort_support.h"

namespace edgeacts {

struct Window {
  int64_t kernel[2], strides[2], pads[4], block;

  OrtStatus* read(const OrtKernelInfo* info) {
    EDGEACTS_TRY(integers(info, "kernel_shape", kernel, 2));
    EDGEACTS_TRY(integers(info, "strides", strides, 2));
    EDGEACTS_TRY(integers(info, "pads", pads, 4));
    return g_ort->KernelInfoGetAttribute_int64(info, "block", &block);
  }
  // Stride 1 or 2 alike in both directions, block 8 or 16, pads of a sane size.
  bool supported() const {
    return strides[0] == strides[1] && (strides[0] == 1 || strides[0] == 2) && (block == 8 || block == 16) &&
           *std::min_element(pads, pads + 4) >= 0 && *std::max_element(pads, pads + 4) < 64;
  }
  // Everything of `w` but its channels, for images of so many rows and columns; false when they are smaller than the kernel.
  template <class Work>
  bool fit(int64_t height, int64_t width, Work* w) const {
    w->block = block;
    w->height = height;
    w->width = width;
    w->kernel_h = kernel[0];
    w->kernel_w = kernel[1];
    w->stride_h = strides[0];
    w->stride_w = strides[1];
    w->pad_top = pads[0];
    w->pad_left = pads[1];
    const int64_t free_h = height + pads[0] + pads[2] - kernel[0], free_w = width + pads[1] + pads[3] - kernel[1];
    w->out_height = free_h / strides[0] + 1;
    w->out_width = free_w / strides[1] + 1;
    return free_h >= 0 && free_w >= 0;
  }
};

// Memory of a thread that a convolution uses as it likes, aligned to a vector.
inline float* thread_scratch(size_t numbers) {
  static thread_local std::vector<float> memory;
  if (memory.size() < numbers + 16) memory.resize(numbers + 16);
  return reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(memory.data()) + 63) & ~uintptr_t{63});
}

}  // namespace edgeacts
