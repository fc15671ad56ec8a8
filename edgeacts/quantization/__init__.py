"""Float model -> 8-bit model: `quantize(path, images, out)`, and its parts."""
