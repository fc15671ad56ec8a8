// The kernels that dispatch.cc chooses, run on an emulated CPU. Standard input: a uint32 count, then for each table its numbers, a uint32
// n and n floats x. Printed: one line `ISA INT8_ISA wrong N depthwise ERROR_8 ERROR_16 pointwise ERROR_8 ERROR_16 stem ERROR_8 ERROR_16 dense ERROR lookups
// WRONG/COUNT depthwise8 WRONG/COUNT convolutions8 WRONG/COUNT`, errors in layouts with blocks of 8 and 16 channels, and then all f(x) as bytes.
#include <sys/mman.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "int8.h"
#include "kernels.h"

using namespace edgeacts;

int lookups_wrong(int* count);
int depthwise8_wrong(int* count);
int convolutions8_wrong(int* count);

namespace {

constexpr float kGuard = -12345.678f;

bool same(const float* a, const float* b, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (!(a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i])))) return false;
  return true;
}

float number() { return static_cast<float>(rand()) / RAND_MAX - 0.5f; }

// Any length up to 67 at any address, in place and with factors, is what the whole gives; nothing beside the range is touched.
int lengths_wrong(const Table& table, const std::vector<float>& x, const std::vector<float>& y) {
  int wrong = 0;
  for (size_t n = 0; n <= 67 && n <= x.size(); n++)
    for (size_t offset : {0, 1, 5, 15}) {
      const float *u = x.data() + (n * 7) % (x.size() - n + 1), *v = y.data() + (u - x.data());
      std::vector<float> from(n + 40, kGuard), to(n + 40, kGuard), factor(n + 1), product(n + 1), minus(n + 1);
      std::memcpy(from.data() + 16 + offset / 2, u, n * sizeof(float));
      const auto beside = [&] {
        for (size_t i = 0; i < to.size(); i++)
          if ((i < 16 + offset || i >= 16 + offset + n) && to[i] != kGuard) return true;
        return false;
      };
      float *a = from.data() + 16 + offset / 2, *b = to.data() + 16 + offset;
      kernels().map(table, a, b, n);
      wrong += !same(b, v, n) + beside();
      for (size_t i = 0; i < n; i++) factor[i] = number(), product[i] = factor[i] * v[i], minus[i] = -u[i];
      kernels().map_times(table, a, factor.data(), b, n, false);
      wrong += !same(b, product.data(), n) + beside();
      kernels().map_times(table, minus.data(), factor.data(), b, n, true);
      wrong += !same(b, product.data(), n) + beside();
      kernels().negate(u, b, n);
      wrong += !same(b, minus.data(), n) + beside();
      kernels().map(table, a, a, n);
      wrong += !same(a, v, n);
    }
  return wrong;
}

// At both ends of a page between two that cannot be read: a read beside the range ends the program.
int pages_wrong(const Table& table, const std::vector<float>& x, const std::vector<float>& y) {
  constexpr size_t kPage = 4096;
  char* page = static_cast<char*>(mmap(nullptr, 3 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) + kPage;
  int wrong = mprotect(page - kPage, kPage, PROT_NONE) + mprotect(page + kPage, kPage, PROT_NONE);
  uint8_t bytes[256];
  for (int i = 0; i < 256; i++) bytes[i] = static_cast<uint8_t>(i * 37 + 11);
  for (size_t n = 0; n <= 67; n++)
    for (char* at : {page, page + kPage - n * sizeof(float)}) {
      std::memcpy(at, x.data(), n * sizeof(float));
      kernels().map(table, reinterpret_cast<float*>(at), reinterpret_cast<float*>(at), n);
      wrong += !same(reinterpret_cast<float*>(at), y.data(), n);
      uint8_t* end = reinterpret_cast<uint8_t*>(page) + kPage - n;
      std::memset(end, 3, n);
      int8_kernels().lookup(bytes, end, end, n);
      for (size_t i = 0; i < n; i++) wrong += end[i] != bytes[3];
    }
  return wrong;
}

double off(const std::vector<float>& a, const std::vector<float>& b) {
  double worst = 0;
  for (size_t i = 0; i < a.size(); i++) {
    if (!std::isfinite(a[i]) || !std::isfinite(b[i])) return INFINITY;
    worst = std::fmax(worst, std::fabs(a[i] - b[i]) / std::fmax(1.f, std::fabs(b[i])));
  }
  return worst;
}

double depthwise_off(const Table& table, int64_t block, int64_t width, int64_t kernel, int64_t stride, Activation::Kind before,
                     Activation::Kind after) {
  Depthwise job{};
  job.block = block;
  job.batch = 1;
  job.blocks = 2;
  job.height = 9;
  job.width = width;
  job.kernel_h = job.kernel_w = kernel;
  job.stride_h = job.stride_w = stride;
  job.pad_top = job.pad_left = kernel / 2;
  job.out_height = (9 + 2 * (kernel / 2) - kernel) / stride + 1;
  job.out_width = (width + 2 * (kernel / 2) - kernel) / stride + 1;
  std::vector<float> input(2 * 9 * width * block), weights(2 * kernel * kernel * block), bias(2 * block);
  std::vector<float> plain(2 * job.out_height * job.out_width * block), found(plain.size()), sum(plain.size());
  for (float& v : input) v = 8 * number();
  for (std::vector<float>* some : {&weights, &bias, &sum})
    for (float& v : *some) v = number();
  job.input = input.data();
  job.weights = weights.data();
  if (after != Activation::Kind::Clip) job.bias = bias.data();
  if (before == Activation::Kind::Table) job.sum = sum.data();
  job.before = {before, &table, 0.1f, 6.f};
  job.after = {after, &table, 0.1f, 6.f};
  std::vector<float> scratch(depthwise_scratch(job) + 16);
  for (int64_t index = 0; index < 2; index++)
    for (int64_t first : {int64_t{0}, job.out_height / 2}) {  // in two parts, as threads take them
      const int64_t last = first == 0 ? job.out_height / 2 : job.out_height;
      job.output = plain.data();
      kPlain.depthwise(job, index, first, last, scratch.data());
      job.output = found.data();
      kernels().depthwise(job, index, first, last, scratch.data());
    }
  return off(found, plain);
}

// Widths whose rows are activated together, and one by one.
double depthwises_off(const Table& table, int64_t block) {
  using Kind = Activation::Kind;
  constexpr Kind kKinds[][2] = {{Kind::Table, Kind::Table}, {Kind::None, Kind::Clip}, {Kind::Leaky, Kind::None}, {Kind::Clip, Kind::Leaky}};
  double worst = 0;
  for (int width : {11, 131})
    for (int kernel : {3, 5})
      for (int stride : {1, 2})
        for (const Kind(&kinds)[2] : kKinds)
          worst = std::fmax(worst, depthwise_off(table, block, width, kernel, stride, kinds[0], kinds[1]));
  return worst;
}

double pointwise_off(const Table& table, int64_t block, int64_t in_blocks, int64_t out_blocks, int64_t pixels, Activation::Kind after, bool summed) {
  Pointwise job{};
  job.block = block;
  job.in_blocks = in_blocks;
  job.out_blocks = out_blocks;
  job.pixels = pixels;
  std::vector<float> input(in_blocks * pixels * block), weights(in_blocks * out_blocks * block * block), bias(out_blocks * block);
  std::vector<float> plain(out_blocks * pixels * block), found(plain.size()), sum(plain.size());
  for (std::vector<float>* some : {&input, &weights, &bias, &sum})
    for (float& v : *some) v = number();
  job.input = input.data();
  job.weights = weights.data();
  job.bias = bias.data();
  if (summed) job.sum = sum.data();
  job.after = {after, &table, 0.1f, 6.f};
  const int64_t middle = out_blocks / 2, half = pixels / 2;
  for (const Part& part : {Part{0, 0, middle, 0, pixels, {}}, Part{0, middle, out_blocks, 0, half, {{weights.data(), 64}, {bias.data(), 8}}},
                           Part{0, middle, out_blocks, half, pixels, {}}}) {  // in parts, as threads take them
    job.output = plain.data();
    kPlain.pointwise(job, part);
    job.output = found.data();
    kernels().pointwise(job, part);
  }
  return off(found, plain);
}

double pointwises_off(const Table& table, int64_t block) {
  using Kind = Activation::Kind;
  constexpr Kind kKinds[] = {Kind::None, Kind::Table, Kind::Clip, Kind::Leaky};
  double worst = 0;
  int index = 0;
  for (int64_t pixels : {1, 5, 27, 50})
    for (int64_t out : {1, 2, 3, 7})
      for (int64_t in : {1, 3}) {
        worst = std::fmax(worst, pointwise_off(table, block, in, out, pixels, kKinds[index % 4], index % 3 == 0));
        index++;
      }
  return worst;
}

double stem_off(const Table& table, int64_t block, int64_t width, int64_t kernel, int64_t stride, Activation::Kind after) {
  constexpr int64_t kHeight = 9, kChannels = 3, kBlocks = 2;
  Stem job{};
  job.block = block;
  job.channels = kChannels;
  job.height = kHeight;
  job.width = width;
  job.out_blocks = kBlocks;
  job.kernel_h = job.kernel_w = kernel;
  job.stride_h = job.stride_w = stride;
  job.pad_top = job.pad_left = kernel / 2;
  job.out_height = (kHeight + 2 * (kernel / 2) - kernel) / stride + 1;
  job.out_width = (width + 2 * (kernel / 2) - kernel) / stride + 1;
  std::vector<float> input(2 * kChannels * kHeight * width), weights(kBlocks * block * kChannels * kernel * kernel), bias(kBlocks * block);
  std::vector<float> plain(2 * kBlocks * job.out_height * job.out_width * block), found(plain.size());
  for (std::vector<float>* some : {&input, &weights, &bias})
    for (float& v : *some) v = number();
  job.input = input.data();
  job.weights = weights.data();
  job.bias = bias.data();
  job.after = {after, &table, 0.1f, 6.f};
  std::vector<float> scratch(stem_scratch(job));
  for (int64_t image = 0; image < 2; image++)
    for (int64_t first : {int64_t{0}, job.out_height / 2}) {  // in two parts, as threads take them
      const int64_t last = first == 0 ? job.out_height / 2 : job.out_height;
      job.output = plain.data();
      kPlain.stem(job, image, first, last, scratch.data());
      job.output = found.data();
      kernels().stem(job, image, first, last, scratch.data());
    }
  return off(found, plain);
}

double stems_off(const Table& table, int64_t block) {
  using Kind = Activation::Kind;
  constexpr Kind kKinds[] = {Kind::None, Kind::Table, Kind::Clip, Kind::Leaky};
  double worst = 0;
  int index = 0;
  for (int64_t width : {3, 20, 61})
    for (int64_t kernel : {1, 3, 5})
      for (int64_t stride : {1, 2}) worst = std::fmax(worst, stem_off(table, block, width, kernel, stride, kKinds[index++ % 4]));
  return worst;
}

double denses_off() {
  double worst = 0;
  for (int64_t rows : {1, 3, 5})
    for (int64_t in : {1, 6, 131})
      for (int64_t out : {3, 16, 37}) {
        const int64_t blocks = (out + 15) / 16;
        std::vector<float> x(rows * in), w(blocks * in * 16), b(out), plain(rows * out), found(plain.size());
        for (std::vector<float>* some : {&x, &w, &b})
          for (float& v : *some) v = number();
        Dense job{rows, in, out, x.data(), w.data(), b.data(), plain.data()};
        kPlain.dense(job, 0, blocks);
        job.output = found.data();
        kernels().dense(job, 0, blocks);
        worst = std::fmax(worst, off(found, plain));
      }
  return worst;
}

int dots_wrong() {
  int wrong = 0;
  for (size_t n = 0; n <= 150; n++) {
    std::vector<float> a(n + 1), b(n + 1);
    double true_sum = 0, size = 0;
    for (size_t i = 0; i < n; i++) a[i] = number(), b[i] = number(), true_sum += double{a[i]} * b[i], size += std::fabs(a[i] * b[i]);
    wrong += !(std::fabs(kernels().dot(a.data(), b.data(), n) - true_sum) <= 1e-6 * size);
  }
  return wrong;
}

}  // namespace

int main() {
  uint32_t tables = 0, n = 0;
  if (std::fread(&tables, 4, 1, stdin) != 1) return 1;
  int wrong = dots_wrong(), count[3] = {0, 0, 0};
  double depthwise[2] = {0, 0}, pointwise[2] = {0, 0}, stem[2] = {0, 0};
  std::vector<float> results;
  for (uint32_t i = 0; i < tables; i++) {
    static float numbers[kTableNumbers];
    static Table table;
    if (std::fread(numbers, 4, kTableNumbers, stdin) != kTableNumbers || std::fread(&n, 4, 1, stdin) != 1) return 1;
    if (!read_table(numbers, kTableNumbers, &table)) return 2;
    std::vector<float> x(n), y(n);
    if (std::fread(x.data(), 4, n, stdin) != n) return 1;
    kernels().map(table, x.data(), y.data(), n);
    results.insert(results.end(), y.begin(), y.end());
    if (i % 8 != 0) continue;  // the loops over memory are the same for all
    wrong += lengths_wrong(table, x, y) + pages_wrong(table, x, y);
    for (int k : {0, 1}) pointwise[k] = std::fmax(pointwise[k], pointwises_off(table, 8 + 8 * k));
    for (int k : {0, 1}) stem[k] = std::fmax(stem[k], stems_off(table, 8 + 8 * k));
    for (int k : {0, 1}) depthwise[k] = std::fmax(depthwise[k], depthwises_off(table, 8 + 8 * k));
  }
  const int lookups = lookups_wrong(&count[0]), rows = depthwise8_wrong(&count[1]), products = convolutions8_wrong(&count[2]);
  std::printf("%s %s wrong %d depthwise %.3g %.3g pointwise %.3g %.3g stem %.3g %.3g dense %.3g lookups %d/%d depthwise8 %d/%d convolutions8 %d/%d\n", kernels().name, int8_kernels().name,
              wrong, depthwise[0], depthwise[1], pointwise[0], pointwise[1], stem[0], stem[1], denses_off(), lookups, count[0], rows, count[1], products, count[2]);
  std::fwrite(results.data(), 4, results.size(), stdout);
}
