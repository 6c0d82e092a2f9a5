#pragma once

namespace lookback {

// While one is alive, the nodes that this thread makes belong to a named part of the model. Scopes nest: errors, pictures and
// the debugger then say "encoder.layers.0.self_attn" beside the line, which is the same for all layers.
//
//     const Scope scope("encoder.layers", i);                       // to the end of the block
//     const Tensor y = (Scope("self_attn"), self_attn(x, x));       // for one call
class Scope {
  public:
    explicit Scope(const char* name);
    Scope(const char* name, int index);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

    static const char* current();    // "" outside of all scopes; the text stays for good

  private:
    const char* outer;
};

}    // namespace lookback
