// What Rust needs of LibTorch beyond tch: linear operators with autograd, leaky ReLU with a slope, memory formats.
//
// A linear operator as a node of the autograd graph: forward is A x, backward is A' g, and since backward is itself
// an application of the operator, derivatives of every order are exact. The node holds a reference to the operator:
// a graph may outlive everything else that knows it.
#include <ATen/ATen.h>
#include <ATen/core/ivalue.h>
#include <cstring>
#include <stdexcept>
#include <string>
#include <torch/csrc/autograd/custom_function.h>

namespace {

// What Rust passes: an operator it owns, how to apply it (0, or 1 after writing a message to free()), how to drop it.
struct Callbacks {
  void* user;
  int (*apply)(void* user, int adjoint, const at::Tensor* in, at::Tensor** out, char** message);
  void (*drop)(void* user);
};

struct Operator : torch::CustomClassHolder {
  explicit Operator(Callbacks callbacks) : callbacks(callbacks) {}
  ~Operator() override { callbacks.drop(callbacks.user); }
  Callbacks callbacks;
};

using Handle = c10::intrusive_ptr<Operator>;

at::Tensor values(const Operator& op, bool adjoint, const at::Tensor& x) {
  at::Tensor* out = nullptr;
  char* message = nullptr;
  if (op.callbacks.apply(op.callbacks.user, adjoint, &x, &out, &message) != 0) {
    std::string text = message ? message : "operator failed";
    free(message);
    throw std::runtime_error(text);
  }
  at::Tensor result = std::move(*out);
  delete out;
  return result;
}

struct Apply : torch::autograd::Function<Apply> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& x, Handle op, bool adjoint) {
    ctx->saved_data["operator"] = c10::IValue::make_capsule(op);
    ctx->saved_data["adjoint"] = adjoint;
    return values(*op, adjoint, x);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list gradients) {
    auto op = c10::static_intrusive_pointer_cast<Operator>(ctx->saved_data["operator"].toCapsule());
    bool adjoint = ctx->saved_data["adjoint"].toBool();
    if (!gradients[0].defined()) return {at::Tensor(), at::Tensor(), at::Tensor()};
    return {Apply::apply(gradients[0], op, !adjoint), at::Tensor(), at::Tensor()};
  }
};

// The tensor that `make` returns, for its caller to delete; or null, and a message to free().
template <class Make>
at::Tensor* guarded(char** message, Make make) {
  try {
    return new at::Tensor(make());
  } catch (const std::exception& error) {
    *message = strdup(error.what());
    return nullptr;
  }
}

}  // namespace

extern "C" void* spinray_operator_new(Callbacks callbacks) { return new Handle(c10::make_intrusive<Operator>(callbacks)); }

extern "C" void spinray_operator_free(void* handle) { delete static_cast<Handle*>(handle); }

extern "C" at::Tensor* spinray_operator_apply(void* handle, const at::Tensor* x, int adjoint, char** message) {
  return guarded(message, [&] { return Apply::apply(*x, *static_cast<Handle*>(handle), adjoint != 0); });
}

extern "C" at::Tensor* spinray_leaky_relu(const at::Tensor* x, double slope, char** message) {
  return guarded(message, [&] {
    at::Tensor alias = *x;
    return at::leaky_relu_(alias, slope);
  });
}

extern "C" at::Tensor* spinray_channels_last(const at::Tensor* x, char** message) {
  auto format = x->dim() == 5 ? at::MemoryFormat::ChannelsLast3d : at::MemoryFormat::ChannelsLast;
  return guarded(message, [&] { return x->contiguous(format); });
}
