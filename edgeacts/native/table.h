// The piecewise polynomial that every kernel evaluates. Its numbers come from edgeacts/piecewise.py, which also says what they mean.
#pragma once
#include <cstddef>
#include <cstdint>

namespace edgeacts {

constexpr int kFormat = 3;        // first number of the numbers that describe a table
constexpr int kWide = 32;         // segments of the wide grid: polynomials in the distance from a segment's left border
constexpr int kWideDegree = 5;   // or 2
constexpr int kNarrow = 8;        // segments of the narrow grid: polynomials in the distance from a segment's centre
constexpr int kNarrowDegree = 15;  // at most
constexpr int kHeader = 8;
constexpr int kGridHeader = 8;
constexpr int kQuotientHeader = 7;
constexpr int kPowerDegree = 5;          // or 4: of the polynomial for 2^r
constexpr int kPowerQuotientDegree = 3;  // at most: of both polynomials of a quotient in a power of two
constexpr int kQuotientDegree = 11;  // at most
constexpr int kLanes = 8;            // a coefficient of a quotient stands so often in memory
constexpr size_t kTableNumbers = kHeader + kGridHeader + kWide * (kWideDegree + 1) + kGridHeader + kNarrow * (kNarrowDegree + 1) +
                                 kQuotientHeader + kPowerDegree + 1 + 2 * (kQuotientDegree + 1);

// What is beyond an end: Clamp (left only), the first segment gives the constant by itself; Flat, a constant; Line; Same, x itself;
// Zero (left only), the constant 0, which a table's numbers call Flat.
enum class Tail : int { Clamp = 0, Flat = 1, Line = 2, Same = 3, Zero = 4 };

struct Grid {
  float lo, last, hi;       // the polynomials hold on [lo, last], the asymptotes beyond; hi follows last
  float knee, last_knee;    // the segment is found from x taken into [knee, last_knee]: the first and the last one reach further
  float step, inverse;
  int degree;
  float magic;    // 3·2^22·step
  bool dyadic;    // step is a power of two
  bool reaches;   // the first or the last segment is longer than the others
};

// f(x) = P(u)/Q(u), when even u/2 + P(u²)/Q(u²), with u = x taken into [lo, hi], for x of at least lo; see edgeacts/quotient.py.
// With power > 0, max(lo, x)·P(v)/Q(v) with v = 2^(rate·u) and P(v) = v + ... Not there when over is -1.
struct Quotient {
  float lo, hi;
  int over, under;  // the degrees of P and Q
  bool even;
  float rate;
  int power;  // the degree of the polynomial for 2^r on [-1/2, 1/2]
  bool common;  // Q(v) = P(v) + Q(0)
};

struct alignas(64) Table {
  float wide_coefficients[kWideDegree + 1][kWide];
  float narrow_coefficients[kNarrowDegree + 1][kNarrow];
  float over[kQuotientDegree + 1][kLanes], under[kQuotientDegree + 1][kLanes], power[kPowerDegree + 1][kLanes];
  Grid wide, narrow;
  Quotient quotient;
  float left_slope, left_offset, right_slope, right_offset;
  Tail left, right, narrow_left;
};

// False when the numbers are not a table.
bool read_table(const float* numbers, size_t count, Table* table);

}  // namespace edgeacts
