// Prints what the NEON kernels differ by from the plain ones: `table NAME error` and `depthwise NAME error`, of max(1, |x|).
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "kernels.h"

using namespace edgeacts;

namespace {

double off(const std::vector<float>& a, const std::vector<float>& b, const std::vector<float>& scale) {
  double worst = 0;
  for (size_t i = 0; i < a.size(); i++) {
    if (std::isnan(a[i]) != std::isnan(b[i]) || std::isinf(a[i]) != std::isinf(b[i])) return INFINITY;
    if (std::isfinite(a[i])) worst = std::fmax(worst, std::fabs(a[i] - b[i]) / std::fmax(1.f, std::fabs(scale[i])));
  }
  return worst;
}

double maps(const Table& table) {
  std::vector<float> x;
  for (int i = -50001; i <= 50001; i++) x.push_back(i * 4e-4f);
  for (float v : {NAN, INFINITY, -INFINITY, 0.f, -0.f, 3e38f, -3e38f, 1e-42f, -1e-42f}) x.push_back(v);
  std::vector<float> plain(x.size()), neon(x.size());
  kPlain.map(table, x.data(), plain.data(), x.size());
  kNeon.map(table, x.data(), neon.data(), x.size());
  return off(plain, neon, x);
}

float number() { return static_cast<float>(rand()) / RAND_MAX - 0.5f; }

double convolutions(const Table& table) {
  double worst = 0;
  for (int block : {8, 16})
    for (int kernel : {3, 5})
      for (int stride : {1, 2}) {
        Depthwise job{};
        job.block = block;
        job.batch = 1;
        job.blocks = 2;
        job.height = 9;
        job.width = 11;
        job.kernel_h = job.kernel_w = kernel;
        job.stride_h = job.stride_w = stride;
        job.pad_top = job.pad_left = kernel / 2;
        job.out_height = (9 + 2 * (kernel / 2) - kernel) / stride + 1;
        job.out_width = (11 + 2 * (kernel / 2) - kernel) / stride + 1;
        std::vector<float> input(2 * 9 * 11 * block), weights(2 * kernel * kernel * block);
        std::vector<float> plain(2 * job.out_height * job.out_width * block), neon(plain.size());
        for (float& v : input) v = 8 * number();
        for (float& v : weights) v = number();
        job.input = input.data();
        job.weights = weights.data();
        job.before.kind = job.after.kind = Activation::Kind::Table;
        job.before.table = job.after.table = &table;
        std::vector<float> scratch(depthwise_scratch(job) + 16);
        for (int index = 0; index < 2; index++) {
          job.output = plain.data();
          kPlain.depthwise(job, index, 0, job.out_height, scratch.data());
          job.output = neon.data();
          kNeon.depthwise(job, index, 0, job.out_height, scratch.data());
        }
        worst = std::fmax(worst, off(plain, neon, plain));
      }
  return worst;
}

}  // namespace

int main(int count, char** names) {
  for (int i = 1; i < count; i++) {
    static float numbers[kTableNumbers];
    static Table table;
    FILE* file = std::fopen(names[i], "rb");
    if (file == nullptr || std::fread(numbers, 4, kTableNumbers, file) != kTableNumbers) return 1;
    std::fclose(file);
    if (!read_table(numbers, kTableNumbers, &table)) return 2;
    std::printf("%d %.3g %.3g\n", i, maps(table), convolutions(table));
  }
}
