// Attributes that hold a table or an activation.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "kernels.h"
#include "ort_support.h"

namespace edgeacts {

inline OrtStatus* table(const OrtKernelInfo* info, const char* name, std::unique_ptr<Table>* out) {
  std::vector<float> numbers;
  EDGEACTS_TRY(floats(info, name, &numbers));
  out->reset(new Table);
  return read_table(numbers.data(), numbers.size(), out->get())
             ? nullptr
             : refuse((std::string("attribute ") + name + " is no table of this version of edgeacts").c_str());
}

inline OrtStatus* activation(const OrtKernelInfo* info, const std::string& which, Activation* out, std::unique_ptr<Table>* owner) {
  int64_t kind = 0;
  EDGEACTS_TRY(g_ort->KernelInfoGetAttribute_int64(info, which.c_str(), &kind));
  if (kind < 0 || kind > 3) return refuse("unknown kind of activation");
  out->kind = static_cast<Activation::Kind>(kind);
  if (out->kind == Activation::Kind::Table) {
    EDGEACTS_TRY(table(info, (which + "_table").c_str(), owner));
    out->table = owner->get();
  } else if (out->kind == Activation::Kind::Clip) {
    std::vector<float> range;
    EDGEACTS_TRY(floats(info, (which + "_clip").c_str(), &range));
    if (range.size() != 2) return refuse("a clip has two bounds");
    out->low = range[0];
    out->high = range[1];
  } else if (out->kind == Activation::Kind::Leaky) {
    EDGEACTS_TRY(g_ort->KernelInfoGetAttribute_float(info, (which + "_slope").c_str(), &out->low));
  }
  return nullptr;
}

}  // namespace edgeacts
