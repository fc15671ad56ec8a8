"""A network with activations as other people's ONNX files write them."""

# Activations as other people write them, every kind of neighbour; the Sigmoid behind the pooling is a gate.
FOREIGN = """<ir_version: 9, opset_import: ["" : 20]>
g (float[N, 8, 16, 16] x) => (float[N, 8, 16, 16] y) {
    a = Conv<pads = [1, 1, 1, 1]>(x, w)
    s = Sigmoid(a)
    b = Mul(a, s)
    c = Conv<pads = [1, 1, 1, 1]>(b, w)
    three = Constant<value_float = 3.0>()
    zero = Constant<value_float = 0.0>()
    six = Constant<value_float = 6.0>()
    d1 = Add(c, three)
    d2 = Clip(d1, zero, six)
    d3 = Mul(c, d2)
    d = Div(d3, six)
    e = Conv<pads = [1, 1, 1, 1]>(d, w)
    f = Softplus(e)
    h = Tanh(f)
    i = Mul(e, h)
    j = Conv<pads = [1, 1, 1, 1]>(i, w)
    k = Relu(j)
    l = Conv<pads = [1, 1, 1, 1]>(k, w)
    o = LeakyRelu<alpha = 0.2>(l)
    p = Add(o, k)
    q = Relu(p)
    r = GlobalAveragePool(q)
    t = Sigmoid(r)
    u = Mul(q, t)
    y = Mish(u)
}"""
FOREIGN_ACTIVATIONS = {
    "b": "Silu", "d": "HardSwish", "i": "Mish", "k": "Relu", "o": "LeakyRelu", "q": "Relu", "y": "Mish"
}  # fmt: skip
