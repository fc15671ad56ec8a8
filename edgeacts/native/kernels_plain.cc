// C++ without vectors: the wide grid, a coefficient by its index. Used where the CPU has nothing better.
#include <cmath>
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels.h"

namespace edgeacts {
namespace {

using V = float;
constexpr int W = 1, UNROLL = 1, UNROLL_POWERS = 1, PIXELS = 1, PIXELS_ELSE = 1;
constexpr int MOST_BLOCKS = 1, TILE[] = {0, 1};
constexpr bool ANY_SHAPE = true, QUOTIENTS = false;
constexpr int POWERS = 0, POWERS_COMMON = 0;

inline V load(const float* p) { return *p; }
inline void store(float* p, V v) { *p = v; }
inline V load_part(const float* p, size_t) { return *p; }
inline void store_part(float* p, V v, size_t) { *p = v; }
inline V set1(float v) { return v; }
inline V fma(V a, V b, V c) { return a * b + c; }
inline V add(V a, V b) { return a + b; }
inline V mul(V a, V b) { return a * b; }
inline V min(V bound, V v) { return bound < v ? bound : v; }  // v when it is NaN
inline V max(V bound, V v) { return bound > v ? bound : v; }

inline Tail left_tail(const Table& t) { return t.left; }

template <Tail LEFT, Tail RIGHT, Shape>
struct Evaluator {
  const Table& table;

  explicit Evaluator(const Table& t) : table(t) {}

  float one(float x) const {
    const Grid& grid = table.wide;
    if (x != x) return x;
    if (LEFT != Tail::Clamp && x < grid.lo) return LEFT == Tail::Line ? fma(table.left_slope, x, table.left_offset) : table.left_offset;
    const float least = max(grid.lo, x), inside = min(grid.last, least);
    const float over = RIGHT == Tail::Same ? least - inside : 0.f;
    if (RIGHT != Tail::Same && x > grid.last) return RIGHT == Tail::Line ? fma(table.right_slope, x, table.right_offset) : table.right_offset;
    const float number = std::floor(min(grid.last_knee, max(grid.knee, inside)) * grid.inverse);
    const float t = inside - number * grid.step;
    const int segment = static_cast<int>(number) & (kWide - 1);
    float y = table.wide_coefficients[grid.degree][segment];
    for (int d = grid.degree - 1; d >= 0; d--) y = fma(y, t, table.wide_coefficients[d][segment]);
    return y + over;
  }

  template <int N>
  void run(const V* x, V* y) const {
    for (int k = 0; k < N; k++) y[k] = one(x[k]);
  }
};

#include "drivers.inc"
#include "pointwise.inc"
#include "dense.inc"
#include "stem.inc"

}  // namespace

const Kernels kPlain = {"plain", map, map_times, negate, dot, depthwise, pointwise, dense, stem};

}  // namespace edgeacts
