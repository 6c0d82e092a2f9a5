#include "../../src/kernels/kernels.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <thread>

#include "../../src/kernels/reference.h"
#include "arrays.h"

using namespace lookback;
using test::Numbers;

namespace {

using Gemm = kernels::Gemm*;

struct Form {
    std::string name;
    Gemm fast, plain;
    bool A_transposed, B_transposed;
};

template <bool B_transposed>
void packed(int M, int N, int K, const real* A, int lda, const real* B, int ldb, real* C, int ldc, const real* start) {
    std::vector<real> panels(kernels::packed_size(K, N));
    kernels::pack(K, N, B, B_transposed ? 1 : ldb, B_transposed ? ldb : 1, panels.data());
    kernels::gemm_packed(M, N, K, A, lda, panels.data(), C, ldc, start);
}

const Form forms[] = {{"nn", kernels::gemm_nn, kernels::reference::gemm_nn, false, false},
                      {"nt", kernels::gemm_nt, kernels::reference::gemm_nt, false, true},
                      {"tn", kernels::gemm_tn, kernels::reference::gemm_tn, true, false},
                      {"nn, packed", packed<false>, kernels::reference::gemm_nn, false, false},
                      {"nt, packed", packed<true>, kernels::reference::gemm_nt, false, true}};

// A product whose rows have `gap` more elements than their matrix is wide: those must stay as they were.
struct Product {
    int M, N, K, lda, ldb, ldc;
    std::vector<real> A, B, C, start;    // a start for every other product

    Product(const Form& form, int rows, int columns, int depth, Numbers& numbers, int gap)
        : M(rows),
          N(columns),
          K(depth),
          lda((form.A_transposed ? M : K) + numbers.below(gap + 1)),
          ldb((form.B_transposed ? K : N) + numbers.below(gap + 1)),
          ldc(N + numbers.below(gap + 1)),
          A(numbers.array(std::size_t(lda) * (form.A_transposed ? K : M))),
          B(numbers.array(std::size_t(ldb) * (form.B_transposed ? N : K))),
          C(numbers.array(std::size_t(ldc) * M)),
          start(numbers.below(2) == 0 ? numbers.array(N) : std::vector<real>()) {}

    const real* start_row() const { return start.empty() ? nullptr : start.data(); }

    std::vector<real> by(Gemm gemm) const {
        std::vector<real> result = C;
        gemm(M, N, K, A.data(), lda, B.data(), ldb, result.data(), ldc, start_row());
        return result;
    }

    std::vector<real> by_definition(const Form& form) const {
        std::vector<real> c = C;
        for (int i = 0; i < M; ++i)
            for (int j = 0; j < N; ++j) {
                if (start_row()) c[i * ldc + j] = start[j];
                for (int k = 0; k < K; ++k)
                    c[i * ldc + j] = std::fma(A[form.A_transposed ? k * lda + i : i * lda + k],
                                              B[form.B_transposed ? j * ldb + k : k * ldb + j], c[i * ldc + j]);
            }
        return c;
    }
};

}    // namespace

TEST_CASE("every gemm form has the bits of the reference loops, for all shapes up to 40 in each dimension") {
    Numbers numbers(1);
    int wrong = 0;
    for (const Form& form : forms)
        for (int M = 0; M <= 40; ++M)
            for (int N = 0; N <= 40; ++N)
                for (int K = 0; K <= 40; ++K) {
                    const Product product(form, M, N, K, numbers, 3);
                    const bool equal = test::same(product.by(form.fast), product.by(form.plain));
                    if (!equal && wrong++ < 10) FAIL_CHECK(form.name << ' ' << M << ' ' << N << ' ' << K);
                }
    CHECK(wrong == 0);
}

TEST_CASE("one row and two, which take wider tiles, have the bits of the reference loops for all widths up to 300") {
    Numbers numbers(2);
    int wrong = 0;
    for (const Form& form : forms)
        for (int M : {1, 2})
            for (int N = 41; N <= 300; ++N)
                for (int K : {1, 33, 400}) {
                    const Product product(form, M, N, K, numbers, 3);
                    const bool equal = test::same(product.by(form.fast), product.by(form.plain));
                    if (!equal && wrong++ < 10) FAIL_CHECK(form.name << ' ' << M << ' ' << N << ' ' << K);
                }
    CHECK(wrong == 0);
}

TEST_CASE("every gemm form has the bits of the reference loops, for 200 larger shapes with gaps between rows") {
    Numbers numbers(3);
    for (const Form& form : forms)
        for (int trial = 0; trial < 200; ++trial) {
            const int M = 1 + numbers.below(trial % 2 == 0 ? 60 : 300), N = 1 + numbers.below(450);
            const int K = 1 + numbers.below(trial % 3 == 0 ? 600 : 130);
            const Product product(form, M, N, K, numbers, 20);
            INFO(form.name << ' ' << M << ' ' << N << ' ' << K);
            CHECK(test::same(product.by(form.fast), product.by(form.plain)));
        }
}

TEST_CASE("every gemm form has the bits of the reference loops, for rows that lie far apart and more than one block each way") {
    Numbers numbers(4);
    for (const Form& form : forms)
        for (int M : {95, 97, 205})
            for (int N : {100, 530})
                for (int K : {200, 300}) {
                    const Product product(form, M, N, K, numbers, 3000);
                    INFO(form.name << ' ' << M << ' ' << N << ' ' << K);
                    CHECK(test::same(product.by(form.fast), product.by(form.plain)));
                }
}

TEST_CASE("the reference loops of every gemm form are the three lines of its definition") {
    Numbers numbers(2);
    int wrong = 0;
    for (const Form& form : forms)
        for (int M : {0, 1, 6, 7, 16, 33})
            for (int N : {0, 1, 8, 15, 16, 17, 40})
                for (int K : {0, 1, 2, 3, 17, 40}) {
                    const Product product(form, M, N, K, numbers, 3);
                    const bool equal = test::same(product.by(form.plain), product.by_definition(form));
                    if (!equal && wrong++ < 10) FAIL_CHECK(form.name << ' ' << M << ' ' << N << ' ' << K);
                }
    CHECK(wrong == 0);
}

TEST_CASE("transpose exchanges rows and columns, in registers as in plain loops, and writes nothing else") {
    Numbers numbers(6);
    int wrong = 0;
    for (int rows = 0; rows <= 40; ++rows)
        for (int columns = 0; columns <= 40; ++columns) {
            const int from_width = columns + numbers.below(4), to_width = rows + numbers.below(4);
            const std::vector<real> from = numbers.array(std::size_t(rows) * from_width);
            std::vector<real> fast = numbers.array(std::size_t(columns) * to_width), plain = fast, expected = fast;
            for (int r = 0; r < rows; ++r)
                for (int c = 0; c < columns; ++c) expected[c * to_width + r] = from[r * from_width + c];
            kernels::transpose(rows, columns, from.data(), from_width, fast.data(), to_width);
            kernels::reference::transpose(rows, columns, from.data(), from_width, plain.data(), to_width);
            if ((!test::same(fast, expected) || !test::same(plain, expected)) && wrong++ < 10) FAIL_CHECK(rows << ' ' << columns);
        }
    CHECK(wrong == 0);
}

TEST_CASE("a NaN in a factor reaches the whole row or column of the product, even against zeros") {
    const real nan = std::numeric_limits<real>::quiet_NaN();
    for (const Form& form : forms) {
        Numbers numbers(4);
        Product product(form, 9, 21, 10, numbers, 0);
        std::fill(product.B.begin(), product.B.end(), real(0));
        product.A[form.A_transposed ? 4 * product.lda + 5 : 5 * product.lda + 4] = nan;    // a(5,4)
        const std::vector<real> c = product.by(form.fast);
        for (int i = 0; i < product.M; ++i)
            for (int j = 0; j < product.N; ++j) CHECK(std::isnan(c[i * product.ldc + j]) == (i == 5));
    }
}

TEST_CASE("two threads multiply at once without disturbing each other") {
    Numbers numbers(5);
    const Product one(forms[1], 70, 200, 300, numbers, 0), two(forms[1], 65, 210, 290, numbers, 0);
    const std::vector<real> expected_one = one.by(kernels::gemm_nt), expected_two = two.by(kernels::gemm_nt);
    bool equal_one = true, equal_two = true;
    std::thread other([&] {
        for (int i = 0; i < 50; ++i) equal_two = equal_two && test::same(two.by(kernels::gemm_nt), expected_two);
    });
    for (int i = 0; i < 50; ++i) equal_one = equal_one && test::same(one.by(kernels::gemm_nt), expected_one);
    other.join();
    CHECK(equal_one);
    CHECK(equal_two);
}
