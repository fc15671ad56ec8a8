#include <cstdlib>
#include <cstring>

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

}  // namespace

const Kernels& kernels() {
  static const Kernels* chosen = choose();
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
  return 0;
}

const char* edgeacts_isa() { return edgeacts::kernels().name; }
}
