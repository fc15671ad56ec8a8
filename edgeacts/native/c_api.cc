// What Python calls through ctypes: tables are the numbers of edgeacts/piecewise.py.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "kernels.h"

namespace {

constexpr size_t kPiece = 32768;  // numbers

struct Job {
  const edgeacts::Table* table;
  const edgeacts::Table* summed;  // what is summed up, or null
  const float *x, *factor;
  float* y;
  double* sums;   // one for each piece, or null
  bool mirrored;  // the table is that of f(-x)
  size_t count, pieces;
  std::atomic<size_t> next{0};
};

constexpr size_t kPart = 2048;  // numbers that stay in the L1 cache

// A piece by parts, for what the kernels do not do in one go.
void by_parts(const Job& job, size_t start, size_t n, double* sum) {
  const edgeacts::Kernels& k = edgeacts::kernels();
  alignas(64) float x[kPart], y[kPart];
  for (size_t from = start; from < start + n; from += kPart) {
    const size_t count = std::min(kPart, start + n - from);
    const float* source = job.x + from;
    if (job.mirrored) {
      k.negate(source, x, count);
      source = x;
    }
    if (sum != nullptr) {  // first: job.y may be job.factor
      k.map(*job.summed, source, y, count);
      *sum += k.dot(job.factor + from, y, count);
    }
    if (job.factor != nullptr)
      k.map_times(*job.table, source, job.factor + from, job.y + from, count, false);
    else
      k.map(*job.table, source, job.y + from, count);
  }
}

void work(void* data) {
  Job& job = *static_cast<Job*>(data);
  const edgeacts::Kernels& k = edgeacts::kernels();
  for (size_t piece = job.next++; piece < job.pieces; piece = job.next++) {
    const size_t start = piece * kPiece, n = std::min(kPiece, job.count - start);
    if ((job.mirrored && job.factor == nullptr) || job.sums != nullptr)
      by_parts(job, start, n, job.sums != nullptr ? &job.sums[piece] : nullptr);
    else if (job.factor != nullptr)
      k.map_times(*job.table, job.x + start, job.factor + start, job.y + start, n, job.mirrored);
    else
      k.map(*job.table, job.x + start, job.y + start, n);
  }
}

}  // namespace

extern "C" {

size_t edgeacts_table_numbers() { return edgeacts::kTableNumbers; }

// Runs fn(data) on `threads` threads of an OpenMP runtime that the process has already: GOMP_parallel's interface.
typedef void (*edgeacts_parallel)(void (*fn)(void*), void* data, unsigned threads, unsigned flags);

// y = factor · f(x), or f(x) when factor is null. `mirrored`: the table is that of f(-x), for functions that jump and are continuous
// from the left. With `summed`, the numbers of another table g, and a factor, `total` is Σ factor · g(x). 0 when done, 1 when the
// numbers are no table.
int edgeacts_apply(const float* numbers, size_t size, const float* x, const float* factor, float* y, size_t count, int mirrored,
                   const float* summed, double* total, int threads, edgeacts_parallel parallel) {
  edgeacts::Table table, other;
  if (!edgeacts::read_table(numbers, size, &table)) return 1;
  if (total != nullptr && (factor == nullptr || !edgeacts::read_table(summed, size, &other))) return 1;
  const size_t pieces = (count + kPiece - 1) / kPiece;
  std::vector<double> sums(total != nullptr ? pieces : 0, 0.0);
  Job job{&table, &other, x, factor, y, total != nullptr ? sums.data() : nullptr, mirrored != 0, count, pieces};
  const size_t wanted = std::min(job.pieces, static_cast<size_t>(std::max(threads, 1)));
  if (wanted <= 1) {
    work(&job);
  } else if (parallel != nullptr) {
    parallel(work, &job, static_cast<unsigned>(wanted), 0);
  } else {
    std::vector<std::thread> others;
    for (size_t i = 1; i < wanted; i++) others.emplace_back(work, &job);
    work(&job);
    for (std::thread& other : others) other.join();
  }
  if (total != nullptr) {
    *total = 0.0;
    for (double sum : sums) *total += sum;  // in order: the same whatever the threads
  }
  return 0;
}

// Nanoseconds a number for y = f(x) on one thread, the best of `rounds` times `repeats` passes; -1 when the numbers are no table.
double edgeacts_measure(const float* numbers, size_t size, const float* x, float* y, size_t count, int rounds, int repeats) {
  edgeacts::Table table;
  if (!edgeacts::read_table(numbers, size, &table)) return -1.0;
  double best = 1e30;
  for (int round = 0; round < rounds; round++) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < repeats; i++) edgeacts::kernels().map(table, x, y, count);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::min(best, seconds / repeats / static_cast<double>(count) * 1e9);
  }
  return best;
}
}
