#include <cstdlib>
#include <cstring>

#include "int8.h"
#include "kernels.h"

namespace edgeacts {
namespace {

const Kernels* const* all(int* count) {
#if defined(__x86_64__) || defined(_M_X64)
  static const Kernels* found[3];
  int n = 0;
  if (__builtin_cpu_supports("avx512f")) found[n++] = &kAvx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found[n++] = &kAvx2;
  found[n++] = &kPlain;
#elif defined(__aarch64__)
  static const Kernels* found[2] = {&kNeon, &kPlain};
  int n = 2;
#else
  static const Kernels* found[1] = {&kPlain};
  int n = 1;
#endif
  *count = n;
  return found;
}

const Kernels* choose() {
  int count = 0;
  const Kernels* const* found = all(&count);
  if (const char* wanted = std::getenv("EDGEACTS_ISA"))
    for (int i = 0; i < count; i++)
      if (std::strcmp(found[i]->name, wanted) == 0) return found[i];
  return found[0];
}

bool has_vbmi() {
#if defined(__x86_64__) || defined(_M_X64)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vbmi");
#else
  return false;
#endif
}

const Int8Kernels* choose_int8() {
#if defined(__x86_64__) || defined(_M_X64)
  const Kernels* chosen = &kernels();
  if (chosen == &kAvx512 && has_vbmi()) return &kInt8Vbmi;
  if (chosen != &kPlain && __builtin_cpu_supports("avx2")) return &kInt8Avx2;
#elif defined(__aarch64__)
  if (&kernels() == &kNeon) return &kInt8Neon;
#endif
  return &kInt8Plain;
}

}  // namespace

const Kernels& kernels() {
  static const Kernels* chosen = choose();
  return *chosen;
}

const Int8Kernels& int8_kernels() {
  static const Int8Kernels* chosen = choose_int8();
  return *chosen;
}

}  // namespace edgeacts

extern "C" {

// Whether this CPU has the instruction set of that name.
int edgeacts_has(const char* name) {
  int count = 0;
  const edgeacts::Kernels* const* found = edgeacts::all(&count);
  for (int i = 0; i < count; i++)
    if (std::strcmp(found[i]->name, name) == 0) return 1;
  return std::strcmp(name, "vbmi") == 0 && edgeacts::has_vbmi() ? 1 : 0;
}

const char* edgeacts_isa() { return edgeacts::kernels().name; }
const char* edgeacts_int8_isa() { return edgeacts::int8_kernels().name; }
}
