#include "table.h"

#include <cmath>
#include <cstring>

namespace edgeacts {
namespace {

const float* read_grid(const float* from, Grid* grid) {
  *grid = Grid{from[0], from[1], from[2], from[3], from[4], from[5], from[6], static_cast<int>(from[7]), 0.f, false, false};
  int exponent = 0;
  grid->dyadic = std::frexp(grid->step, &exponent) == 0.5f;
  grid->magic = 12582912.f * grid->step;
  grid->reaches = grid->lo != grid->knee || grid->last != grid->last_knee;
  return from + kGridHeader;
}

void read_coefficients(const float* from, int degree, float (*to)[kLanes]) {
  for (int d = 0; d <= degree; d++)
    for (int lane = 0; lane < kLanes; lane++) to[d][lane] = from[d];
}

// Its evaluator knows polynomials of one degree, the numerator v + ..., one left and one right.
bool is_power_quotient(const Table& t) {
  const Quotient& q = t.quotient;
  const bool rows = q.over == q.under && q.under >= 1 && q.under <= kPowerQuotientDegree && t.over[0][0] == 0.f && t.over[1][0] == 1.f;
  return rows && !q.even && q.rate > 0.f && t.right == Tail::Same && t.narrow_left == Tail::Flat && t.left_offset == 0.f;
}

// All zeros: there is none.
bool read_quotient(const float* from, Table* table) {
  Quotient& q = table->quotient;
  q = Quotient{from[0], from[1], -1, 0, from[4] == 1.f, from[5], 0, false};
  if (from[0] == 0.f && from[1] == 0.f) return true;
  if (!(q.lo < q.hi) || !(from[4] == 0.f || from[4] == 1.f)) return false;
  if (!(from[2] >= 0.f && from[2] <= kQuotientDegree) || !(from[3] >= 0.f && from[3] <= kQuotientDegree)) return false;
  q.over = static_cast<int>(from[2]);
  q.under = static_cast<int>(from[3]);
  if (!(from[6] == 0.f || from[6] == kPowerDegree - 1.f || from[6] == kPowerDegree)) return false;
  q.power = static_cast<int>(from[6]);
  from += kQuotientHeader;
  read_coefficients(from, kPowerDegree, table->power);
  read_coefficients(from + kPowerDegree + 1, kQuotientDegree, table->over);
  read_coefficients(from + kPowerDegree + 1 + kQuotientDegree + 1, kQuotientDegree, table->under);
  q.common = q.over == q.under;
  for (int d = 1; d <= q.over; d++) q.common = q.common && table->over[d][0] == table->under[d][0];
  return q.power == 0 || is_power_quotient(*table);
}

bool is_tail(float number) { return number == 0.f || number == 1.f || number == 2.f || number == 3.f; }

bool is_grid(const Grid& grid, int segments) {
  // The kernels add 3·2^22 to x/step to find a segment: that holds while segments are numbered below 2^21.
  const float farthest = std::fmax(std::fabs(grid.knee), std::fabs(grid.last_knee)) * grid.inverse;
  return grid.step > 0.f && grid.inverse > 0.f && grid.lo < grid.last && grid.last < grid.hi && grid.knee < grid.last_knee &&
         farthest < 2097152.f && (grid.last_knee - grid.knee) * grid.inverse < segments + 0.5f;
}

}  // namespace

bool read_table(const float* numbers, size_t count, Table* table) {
  if (count != kTableNumbers || numbers[0] != kFormat) return false;
  for (size_t i = 0; i < count; i++)
    if (!std::isfinite(numbers[i])) return false;
  if (!is_tail(numbers[5]) || !is_tail(numbers[6])) return false;
  table->left_slope = numbers[1];
  table->left_offset = numbers[2];
  table->right_slope = numbers[3];
  table->right_offset = numbers[4];
  table->left = static_cast<Tail>(static_cast<int>(numbers[5]));
  table->right = static_cast<Tail>(static_cast<int>(numbers[6]));
  table->narrow_left = table->left == Tail::Clamp ? Tail::Flat : table->left;
  const float* next = read_grid(numbers + kHeader, &table->wide);
  std::memcpy(table->wide_coefficients, next, sizeof table->wide_coefficients);
  next = read_grid(next + kWide * (kWideDegree + 1), &table->narrow);
  std::memcpy(table->narrow_coefficients, next, sizeof table->narrow_coefficients);
  if (!read_quotient(next + kNarrow * (kNarrowDegree + 1), table)) return false;
  const int wide = table->wide.degree, narrow = table->narrow.degree;
  if ((wide != 2 && wide != kWideDegree) || narrow < 1 || narrow > kNarrowDegree) return false;
  return table->right != Tail::Clamp && table->left != Tail::Same && is_grid(table->wide, kWide) && is_grid(table->narrow, kNarrow);
}

}  // namespace edgeacts
