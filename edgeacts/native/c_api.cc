// What Python calls through ctypes: tables are the numbers of edgeacts/piecewise.py.
#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "kernels.h"

namespace {

constexpr size_t kPiece = 32768;  // numbers

struct Job {
  const edgeacts::Table* table;
  const float *x, *factor;
  float* y;
  size_t count, pieces;
  std::atomic<size_t> next{0};
};

void work(void* data) {
  Job& job = *static_cast<Job*>(data);
  const edgeacts::Kernels& k = edgeacts::kernels();
  for (size_t piece = job.next++; piece < job.pieces; piece = job.next++) {
    const size_t start = piece * kPiece, n = std::min(kPiece, job.count - start);
    if (job.factor != nullptr)
      k.map_times(*job.table, job.x + start, job.factor + start, job.y + start, n);
    else
      k.map(*job.table, job.x + start, job.y + start, n);
  }
}

}  // namespace

extern "C" {

size_t edgeacts_table_numbers() { return edgeacts::kTableNumbers; }

// Runs fn(data) on `threads` threads of an OpenMP runtime that the process has already: GOMP_parallel's interface.
typedef void (*edgeacts_parallel)(void (*fn)(void*), void* data, unsigned threads, unsigned flags);

// y = factor · f(x), or f(x) when factor is null. 0 when done, 1 when the numbers are no table.
int edgeacts_apply(const float* numbers, size_t size, const float* x, const float* factor, float* y, size_t count, int threads,
                   edgeacts_parallel parallel) {
  edgeacts::Table table;
  if (!edgeacts::read_table(numbers, size, &table)) return 1;
  Job job{&table, x, factor, y, count, (count + kPiece - 1) / kPiece};
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
  return 0;
}
}
