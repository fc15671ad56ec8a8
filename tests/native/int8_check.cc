// How many of the chosen INT8 kernels' results are other than what C++ without vectors gives, byte for byte: tables of every byte and every
// length up to 300, out of place and in place, depthwise convolutions and convolutions of all channels. Part of kernel_check.cc.
#include <cstdlib>
#include <cstring>
#include <vector>

#include "int8.h"

using namespace edgeacts;

namespace {

uint8_t any_byte() { return static_cast<uint8_t>(rand() >> 7); }

}  // namespace

int lookups_wrong(int* count) {
  int wrong = 0;
  for (int t = 0; t < 10; t++) {
    uint8_t table[256];
    for (uint8_t& v : table) v = any_byte();
    for (size_t n = 0; n <= 300; n++, ++*count) {
      std::vector<uint8_t> x(n + 32), expected(n + 32, 7), found(n + 32, 7);
      for (size_t i = 0; i < x.size(); i++) x[i] = n >= 256 ? static_cast<uint8_t>(i) : any_byte();
      for (size_t i = 0; i < n; i++) expected[i + 3] = table[x[i + 5]];
      int8_kernels().lookup(table, x.data() + 5, found.data() + 3, n);
      wrong += expected != found;
      int8_kernels().lookup(table, x.data() + 5, x.data() + 5, n);
      wrong += std::memcmp(x.data() + 5, expected.data() + 3, n) != 0;
    }
  }
  return wrong;
}

int depthwise8_wrong(int* count) {
  int wrong = 0;
  uint8_t before[256], after[256];
  for (uint8_t& v : before) v = any_byte();
  for (uint8_t& v : after) v = any_byte();
  for (int kernel : {3, 5})
    for (int stride : {1, 2})
      for (int channels : {3, 8, 13, 24, 37})
        for (int width : {3, 7, 10})
          for (int tables : {0, 3}) {
            Depthwise8 job{};
            job.batch = 2;
            job.channels = channels;
            job.height = 9;
            job.width = width;
            job.kernel = kernel;
            job.stride = stride;
            job.pad_top = job.pad_left = kernel / 2;
            job.out_height = (9 + 2 * (kernel / 2) - kernel) / stride + 1;
            job.out_width = (width + 2 * (kernel / 2) - kernel) / stride + 1;
            job.zero_point = 101;
            job.padding = 17;
            std::vector<uint8_t> input(2 * 9 * width * channels), plain(2 * job.out_height * job.out_width * channels);
            std::vector<uint8_t> found(plain.size());
            std::vector<int16_t> weights(2 * ((kernel + 1) / 2) * kernel * channels * 2);
            std::vector<int32_t> bias(channels, -3000);
            std::vector<float> scale(channels);
            for (uint8_t& v : input) v = any_byte();
            for (int16_t& v : weights) v = static_cast<int16_t>(any_byte()) - 128;
            for (float& v : scale) v = 1e-3f * (1 + any_byte() % 16);
            scale[0] = 0.0625f;
            scale[1] = 1200.f;  // products just below 2^30, the largest that compiled models have
            job.input = input.data();
            job.weights = weights.data();
            job.bias = bias.data();
            job.scale = scale.data();
            job.before = tables & 1 ? before : nullptr;
            job.after = tables & 2 ? after : nullptr;
            // Both pairings have to hold the same weights: they are taken from the first.
            const int pair = kernel * channels * 2;
            std::vector<int16_t> rows((kernel + 1) * kernel * channels);
            for (int r = 0; r < kernel; r++)
              for (int i = 0; i < kernel * channels; i++) rows[r * kernel * channels + i] = weights[(r / 2) * pair + 2 * i + r % 2];
            for (int p = 0; p < (kernel + 1) / 2; p++)
              for (int i = 0; i < kernel * channels; i++)
                for (int k = 0; k < 2; k++) {
                  const int early = 2 * p + k, late = p == 0 ? (k == 0 ? 0 : -1) : 2 * p - 1 + k;
                  weights[p * pair + 2 * i + k] = early < kernel ? rows[early * kernel * channels + i] : 0;
                  weights[((kernel + 1) / 2 + p) * pair + 2 * i + k] = late >= 0 ? rows[late * kernel * channels + i] : 0;
                }
            std::vector<uint8_t> scratch(depthwise8_scratch(job));
            for (int image = 0; image < 2; image++) {
              job.output = plain.data();
              kInt8Plain.depthwise(job, image, 0, job.out_height, scratch.data());
              job.output = found.data();
              int8_kernels().depthwise(job, image, 0, job.out_height, scratch.data());
            }
            wrong += plain != found;
            ++*count;
          }
  return wrong;
}

// Both take the same packed weights, of random bytes: where vectors overlap, the later one's results stay.
int convolutions8_wrong(int* count) {
  int wrong = 0;
  uint8_t after[256];
  for (uint8_t& v : after) v = any_byte();
  for (int kernel : {1, 3})
    for (int stride : {1, 2})
      for (int in_channels : {3, 8})
        for (int channels : {8, 13, 16, 29})
          for (bool table : {false, true}) {
            Convolution8 job{};
            job.batch = 2;
            job.in_channels = in_channels;
            job.channels = channels;
            job.height = 6;
            job.width = 7;
            job.kernel = kernel;
            job.stride = stride;
            job.pad_top = job.pad_left = kernel / 2;
            job.quads = (kernel * kernel * in_channels + 3) / 4;
            job.out_height = (6 + 2 * (kernel / 2) - kernel) / stride + 1;
            job.out_width = (7 + 2 * (kernel / 2) - kernel) / stride + 1;
            job.zero_point = 101;
            job.padding = 17;
            const int64_t pixels = 2 * job.out_height * job.out_width;
            std::vector<uint8_t> input(2 * 6 * 7 * in_channels), plain(pixels * channels), found(plain.size());
            std::vector<int8_t> weights((channels + 15) / 16 * 16 * job.quads * 4);
            std::vector<int32_t> bias(channels, -3000);
            std::vector<float> scale(channels);
            for (uint8_t& v : input) v = any_byte();
            for (int8_t& v : weights) v = static_cast<int8_t>(any_byte());
            for (float& v : scale) v = 1e-3f * (1 + any_byte() % 16);
            scale[1] = 800.f;  // products just below 2^30
            job.input = input.data();
            job.weights = weights.data();
            job.bias = bias.data();
            job.scale = scale.data();
            job.after = table ? after : nullptr;
            std::vector<uint8_t> scratch(convolution8_scratch(job));
            job.output = plain.data();
            kInt8Plain.convolution(job, 0, pixels, scratch.data());
            job.output = found.data();
            int8_kernels().convolution(job, 0, pixels, scratch.data());
            wrong += plain != found;
            ++*count;
          }
  return wrong;
}
