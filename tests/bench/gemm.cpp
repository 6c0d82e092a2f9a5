// How fast are the matrix products? Prints, for shapes that training meets (64..640 rows against 64..512 columns) and two
// large ones: GFLOP/s, the share of what one core can do at most (fma on registers alone), and the ratio to OpenBLAS on one
// thread where it was found at build time; medians of all three, measured in turn. `--json FILE` writes the same figures;
// `--seconds S` sets the time spent on each line (default 0.5).
#include <fmt/core.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/kernels.h"
#include "measure.h"

#ifdef LOOKBACK_HAS_OPENBLAS
#include <cblas.h>
#endif

using namespace lookback;
using bench::seconds_of;

namespace {

struct Shape {
    int M, K, N;
};

// Starts at a cache line, as the data of a Tensor does.
class Array {
  public:
    explicit Array(std::size_t n) : storage(n + 64 / sizeof(real)) {
        while (reinterpret_cast<std::uintptr_t>(&storage[start]) % 64 != 0) ++start;
    }
    real& operator[](std::size_t i) { return storage[start + i]; }
    real* data() { return &storage[start]; }

  private:
    std::vector<real> storage;
    std::size_t start = 0;
};

enum class Form { nn, nt, tn };

#ifdef LOOKBACK_HAS_OPENBLAS
void openblas(Form form, Shape s, const real* A, int lda, const real* B, int ldb, real* C, int ldc) {
    const auto left = form == Form::tn ? CblasTrans : CblasNoTrans, right = form == Form::nt ? CblasTrans : CblasNoTrans;
#ifdef LOOKBACK_DOUBLE
    cblas_dgemm(CblasRowMajor, left, right, s.M, s.N, s.K, 1, A, lda, B, ldb, 1, C, ldc);
#else
    cblas_sgemm(CblasRowMajor, left, right, s.M, s.N, s.K, 1, A, lda, B, ldb, 1, C, ldc);
#endif
}
#endif

}    // namespace

int main(int argc, char** argv) {
    std::string json_file;
    double budget = 0.5;
    for (int i = 1; i < argc; i += 2) {
        const std::string_view option = argv[i];
        if (i + 1 < argc && option == "--json")
            json_file = argv[i + 1];
        else if (i + 1 < argc && option == "--seconds")
            budget = std::strtod(argv[i + 1], nullptr);
        else {
            fmt::print(stderr, "usage: gemm [--json FILE] [--seconds S]\n");
            return 2;
        }
    }
    const Shape shapes[] = {{64, 64, 64},     {16, 128, 384},   {32, 128, 384},   {64, 128, 384},     {64, 192, 384},
                            {32, 384, 128},   {384, 32, 128},   {640, 64, 64},    {640, 64, 256},     {640, 128, 512},
                            {1300, 128, 128}, {128, 1300, 128}, {640, 512, 2048}, {1024, 1024, 1024}, {20, 16, 20},
                            {50, 16, 50},     {50, 50, 16},     {7, 64, 100},     {1, 128, 384}};
    fmt::print("{}, {} in a register\n\n", sizeof(real) == 4 ? "float" : "double", kernels::lanes);
    fmt::print("{:>5} {:>5} {:>5}  form  {:>8} {:>8} {:>7} {:>10}\n", "M", "K", "N", "GFLOP/s", "peak", "of peak", "/ OpenBLAS");
    std::string json = "{\"results\": [";
    bool first = true;
    for (const Shape s : shapes) {
        const std::size_t a_size = std::size_t(s.M) * s.K, b_size = std::size_t(s.K) * s.N, c_size = std::size_t(s.M) * s.N;
        Array A(a_size), B(b_size), C(c_size);
        for (std::size_t i = 0; i < a_size; ++i) A[i] = real(i % 17) * real(0.1) - real(0.8);
        for (std::size_t i = 0; i < b_size; ++i) B[i] = real(i % 13) * real(0.1) - real(0.6);
        for (const Form form : {Form::nn, Form::nt, Form::tn}) {
            const char* name = form == Form::nn ? "nn" : form == Form::nt ? "nt" : "tn";
            kernels::Gemm* const gemm = form == Form::nn   ? kernels::gemm_nn
                                        : form == Form::nt ? kernels::gemm_nt
                                                           : kernels::gemm_tn;
            const int lda = form == Form::tn ? s.M : s.K, ldb = form == Form::nt ? s.K : s.N;
            const double flop = 2.0 * s.M * s.N * s.K;
            const auto ours = [&] { gemm(s.M, s.N, s.K, A.data(), lda, B.data(), ldb, C.data(), s.N, nullptr); };
            std::vector<std::function<void()>> calls{ours, bench::compute_at_peak};
#ifdef LOOKBACK_HAS_OPENBLAS
            openblas_set_num_threads(1);
            calls.emplace_back([&] { openblas(form, s, A.data(), lda, B.data(), ldb, C.data(), s.N); });
#endif
            const std::vector<double> seconds = seconds_of(calls, budget);
            const double speed = flop / seconds[0], peak = bench::peak_operations / seconds[1];
            fmt::print("{:5} {:5} {:5}   {}   {:8.1f} {:8.1f} {:6.0f}%", s.M, s.K, s.N, name, speed * 1e-9, peak * 1e-9,
                       100 * speed / peak);
            json +=
                fmt::format("{}{{\"M\": {}, \"K\": {}, \"N\": {}, \"form\": \"{}\", \"gflops\": {:.2f}, \"peak_gflops\": {:.2f}",
                            first ? "" : ", ", s.M, s.K, s.N, name, speed * 1e-9, peak * 1e-9);
            first = false;
            if (seconds.size() > 2) {
                fmt::print(" {:10.2f}", seconds[2] / seconds[0]);
                json += fmt::format(", \"openblas_gflops\": {:.2f}", flop / seconds[2] * 1e-9);
            }
            json += "}";
            fmt::print("\n");
        }
    }
    json += "]}\n";
    if (!json_file.empty() && !(std::ofstream(json_file) << json)) {
        fmt::print(stderr, "gemm: cannot write {}\n", json_file);
        return 1;
    }
}
