#include <algorithm>
#include <array>
#include <utility>

#include "kernels.h"
#include "reference.h"
#include "simd.h"

// Matrix products at the speed of the machine, to the bits of three plain loops.
//
// Why the bits are equal: an element of C lives in one lane of one register, which starts from its old value and takes one
// fused multiply-add for each k, in order. Whatever else is rearranged here (which elements share a register, which are
// computed together, how their factors are stored on the way) moves whole chains about and never touches the inside of one.
// Between two blocks of k a chain rests in C, and storing and loading do not round.
namespace lookback::kernels {
namespace {

using Index = std::ptrdiff_t;

// ---- The micro-kernel: one tile of C, held in registers while k runs. -------------------------------------------------

// Registers: 6 x 2 sums + 2 of B + 1 of A of 16 (12 x 2 of 32 with AVX-512). Each load of B serves all rows and each of A
// both vectors; twelve independent chains hide the latency of fma.
constexpr int tile_rows = vector_bytes == 64 ? 12 : 6;
constexpr int tile_width = 2 * lanes;
constexpr int wide_for_one = vector_bytes == 64 ? 16 : 8, wide_for_two = vector_bytes == 64 ? 6 : 4;    // vectors of B

// The elements x(i,j) = at[i * row + j * column] of a matrix that lies somewhere, either way round.
struct View {
    const real* at;
    Index row, column;
    View from(Index i, Index j) const { return {at + i * row + j * column, row, column}; }
};

// C (rows, width) = start + A (rows, K) B (K, width), a(i,k) = A[i * a_row + k * a_column]; start is a row or, where it is null, C.
// The width is `vectors` registers, the last of which is whole or has its first `width % lanes` elements only. Each two lie side by
// side in B, `panel` from the next two.
template <int rows, int vectors, class Part>
void tile(int K, const real* A, Index a_row, Index a_column, const real* B, Index ldb, Index panel, real* C, Index ldc,
          const real* start, int width) {
    Part last;
    if constexpr (!std::is_same_v<Part, Whole>) last = first(width % lanes);
    Vector sum[rows][vectors];
#pragma GCC unroll 12
    for (int i = 0; i < rows; ++i) {
        const real* from = start ? start : C + i * ldc;
        for (int v = 0; v < vectors - 1; ++v) sum[i][v] = load(from + v * lanes);
        sum[i][vectors - 1] = load(from + (vectors - 1) * lanes, last);
    }
    // Two places in A, and the compilers may not know how far apart: each addresses the next rows by short sums.
    constexpr int half = (rows + 1) / 2;
    const real *upper = A, *lower = A + half * a_row;
    asm("" : "+r"(lower));
#pragma GCC unroll 1
    for (int k = 0; k < K; ++k) {
        Vector b[vectors];
        for (int v = 0; v < vectors - 1; ++v) b[v] = load(B + v / 2 * panel + v % 2 * lanes);
        b[vectors - 1] = load(B + (vectors - 1) / 2 * panel + (vectors - 1) % 2 * lanes, last);
#pragma GCC unroll 12
        for (int i = 0; i < rows; ++i) {
            const Vector a = (i < half ? upper[i * a_row] : lower[(i - half) * a_row]) - Vector{};    // in every lane
            for (int v = 0; v < vectors; ++v) sum[i][v] = fma(a, b[v], sum[i][v]);
        }
        upper += a_column;
        lower += a_column;
        B += ldb;
    }
#pragma GCC unroll 12
    for (int i = 0; i < rows; ++i) {
        for (int v = 0; v < vectors - 1; ++v) store(C + i * ldc + v * lanes, sum[i][v]);
        store(C + i * ldc + (vectors - 1) * lanes, last, sum[i][vectors - 1]);
    }
}

// The tile for a number of rows and a width (at most tile_width) known only now.
using Tile = void (*)(int, const real*, Index, Index, const real*, Index, Index, real*, Index, const real*, int);

template <int vectors, class Part>
Tile tile_of(int rows) {
    static constexpr auto tiles = []<int... r>(std::integer_sequence<int, r...>) {
        return std::array<Tile, tile_rows>{tile<r + 1, vectors, Part>...};
    }
    (std::make_integer_sequence<int, tile_rows>());
    return tiles[rows - 1];
}

// The tile for one row or two and a width (at most `most` vectors) known only now.
template <int rows, int most, class Part>
Tile wide_tile_of(int vectors) {
    static constexpr auto tiles = []<int... v>(std::integer_sequence<int, v...>) {
        return std::array<Tile, most>{tile<rows, v + 1, Part>...};
    }
    (std::make_integer_sequence<int, most>());
    return tiles[vectors - 1];
}

Tile tile_of(int rows, int width) {
    if (width == tile_width) return tile_of<2, Whole>(rows);
    if (width > lanes) return tile_of<2, Mask>(rows);
    return width == lanes ? tile_of<1, Whole>(rows) : tile_of<1, Mask>(rows);
}

// ---- Transposing, in registers. -------------------------------------------------------------------------------------------

constexpr int quad = 16 / int(sizeof(real));    // elements in 16 bytes: shuffles within 16 bytes are the cheap ones

// a0 b0 a1 b1 of each 16 bytes (from the upper half of them: a2 b2 a3 b3).
template <bool upper>
Vector zip(Vector a, Vector b) {
    return [&]<int... l>(std::integer_sequence<int, l...>) {
        return __builtin_shufflevector(a, b, (l / quad * quad + l % quad / 2 + (upper ? quad / 2 : 0) + (l % 2 ? lanes : 0))...);
    }
    (std::make_integer_sequence<int, lanes>());
}

// take(c, column c) for a register of rows, `count` of which exist: `part`. (The last one stands in for the others.)
template <class Part, class Take>
void each_column(Part, int count, int columns, const real* from, Index ld_from, Take take) {
    const int last = std::is_same_v<Part, Whole> ? lanes - 1 : count - 1;
    int c = 0;
    for (; c + quad <= columns; c += quad) {
        Vector v[quad];    // v[i], 16 bytes number p: row p * quad + i, columns c to c + quad - 1
        for (int i = 0; i < quad; ++i)
            v[i] = load_quads([&](int p) { return from + std::min(p * quad + i, last) * ld_from + c; });
        if constexpr (quad == 4) {
            const Vector even0 = zip<false>(v[0], v[2]), even1 = zip<true>(v[0], v[2]);
            const Vector odd0 = zip<false>(v[1], v[3]), odd1 = zip<true>(v[1], v[3]);
            take(c + 0, zip<false>(even0, odd0));
            take(c + 1, zip<true>(even0, odd0));
            take(c + 2, zip<false>(even1, odd1));
            take(c + 3, zip<true>(even1, odd1));
        } else {
            take(c + 0, zip<false>(v[0], v[1]));
            take(c + 1, zip<true>(v[0], v[1]));
        }
    }
    for (; c < columns; ++c) {
        Vector column{};
        for (int r = 0; r < count; ++r) column[r] = from[r * ld_from + c];
        take(c, column);
    }
}

}    // namespace

void transpose(int rows, int columns, const real* from, Index ld_from, real* to, Index ld_to) {
    if (use_reference()) return reference::transpose(rows, columns, from, ld_from, to, ld_to);
    each(rows, [=](Index r, auto part) {
        const int count = std::min(lanes, rows - int(r));
        each_column(part, count, columns, from + r * ld_from, ld_from,
                    [=](Index c, Vector column) { store(to + c * ld_to + r, part, column); });
    });
}

namespace {

// to = the columns of from (rows, columns) in panels: (rows, width) each, its rows ld_to apart, one behind the other. Row by row,
// because the rows of a wide matrix lie on different pages.
template <int width, int ld_to>
void copy_panels(int rows, int columns, const real* from, Index ld_from, real* to) {
    for (int r = 0; r < rows; ++r) {
        const real* row = from + r * ld_from;
        real* at = to + r * ld_to;
        int c = 0;
        for (; c + width <= columns; c += width, at += rows * ld_to)
            each(width, [&](Index l, auto part) { store(at + l, part, load(row + c + l, part)); });
        each(columns - c, [&](Index l, auto part) { store(at + l, part, load(row + c + l, part)); });
    }
}

// ---- Blocking. --------------------------------------------------------------------------------------------------------------

// A block of B, (block_k, block_n), is 512 KiB with AVX-512 and half of that without: half of such a machine's second cache, and on
// the stack. The rows of A that a tile reads, (tile_rows, block_k), stay in the first cache while the panels of the block pass.
constexpr int block_k = 256;
constexpr int block_n = 32 * vector_bytes / int(sizeof(real));
constexpr int copied_rows = 8 * tile_rows;    // of A at a time, in strips of tile_rows, each of whole vectors
constexpr int strip_width = (tile_rows + lanes - 1) / lanes * lanes;
constexpr Index far = 256 * 1024 / sizeof(real);    // 64 pages, about as many as a processor finds at once
static_assert(block_n % tile_width == 0);

// n cut into the fewest parts of at most `most`, as equal as can be: part p runs from start(p) to start(p + 1).
struct Parts {
    int n, count;
    Parts(int size, int most) : n(size), count((size + most - 1) / most) {}
    int start(int p) const { return n / count * p + std::min(p, n % count); }
};

// C (M,N) = start + A (M,K) B (K,N), with B in panels of tile_width columns, `panel` apart, and rows ldb apart.
void multiply_block(int M, int N, int K, View A, const real* B, Index ldb, Index panel, real* C, Index ldc, const real* start) {
    const Parts strips(M, tile_rows);
    for (int s = 0; s < strips.count; ++s) {
        const int i = strips.start(s), rows = strips.start(s + 1) - i;
        const real* strip = A.at + i * A.row;
        const real *b = B, *from = start;
        real *c = C + i * ldc, *end = c + N;
        const Tile whole = tile_of(rows, tile_width);
        for (; end - c >= tile_width; c += tile_width, b += panel, from += start ? tile_width : 0)
            whole(K, strip, A.row, A.column, b, ldb, panel, c, ldc, from, tile_width);
        if (c < end) tile_of(rows, int(end - c))(K, strip, A.row, A.column, b, ldb, panel, c, ldc, from, int(end - c));
    }
}

// Where a block of C starts: with the first block of k from `start`, later from what the blocks before have left in C.
const real* start_of(const real* start, int j, int k) { return start && k == 0 ? start + j : nullptr; }

// One row of A or two: a tile would have too few chains to hide the latency of fma, so it is wider.
template <int rows, int most>
void multiply_wide(int N, int K, View A, const real* B, Index ldb, Index panel, real* C, Index ldc, const real* start) {
    const Parts parts((N + tile_width - 1) / tile_width, most / 2);
    for (int p = 0; p < parts.count; ++p) {
        const int j = parts.start(p) * tile_width, width = std::min(parts.start(p + 1) * tile_width, N) - j;
        const int vectors = (width + lanes - 1) / lanes;
        const Tile tile = width % lanes == 0 ? wide_tile_of<rows, most, Whole>(vectors) : wide_tile_of<rows, most, Mask>(vectors);
        tile(K, A.at, A.row, A.column, B + parts.start(p) * panel, ldb, panel, C + j, ldc, start ? start + j : nullptr, width);
    }
}

// C (M,N) = start + A (M,K) B (K,N) with B as it lies: its rows whole (`panel` is then tile_width), or in panels of all its rows.
void multiply_direct(int M, int N, int K, View A, const real* B, Index ldb, Index panel, real* C, Index ldc, const real* start) {
    if (M == 1) return multiply_wide<1, wide_for_one>(N, K, A, B, ldb, panel, C, ldc, start);
    if (M == 2) return multiply_wide<2, wide_for_two>(N, K, A, B, ldb, panel, C, ldc, start);
    const Parts blocks_k(K, block_k);
    for (int p = 0; p < blocks_k.count; ++p)
        for (int j = 0; j < N; j += block_n) {
            const int k = blocks_k.start(p), depth = blocks_k.start(p + 1) - k;
            multiply_block(M, std::min(block_n, N - j), depth, A.from(0, k), B + k * ldb + j / tile_width * panel, ldb, panel,
                           C + j, ldc, start_of(start, j, k));
        }
}

// to = B (K,N) in panels of tile_width columns, one behind the other.
void copy_in_panels(int K, int N, View B, real* to) {
    if (B.column == 1) return copy_panels<tile_width, tile_width>(K, N, B.at, B.row, to);
    for (int j = 0; j < N; j += tile_width)
        transpose(std::min(tile_width, N - j), K, B.at + j * B.column, B.column, to + Index(j) * K, tile_width);
}

// C (M,N) = start + A (M,K) B (K,N) with each block of B copied into panels.
void multiply_copied(int M, int N, int K, View A, View B, real* C, Index ldc, const real* start) {
    alignas(64) real right[block_k * block_n], left[block_k * copied_rows / tile_rows * strip_width];
    const Parts blocks_k(K, block_k);
    for (int p = 0; p < blocks_k.count; ++p)
        for (int j = 0; j < N; j += block_n) {
            const int k = blocks_k.start(p), depth = blocks_k.start(p + 1) - k, width = std::min(block_n, N - j);
            const View a = A.from(0, k), b = B.from(k, j);
            const Index panel = depth * tile_width;
            const real* from = start_of(start, j, k);
            copy_in_panels(depth, width, b, right);
            // A that is read across its rows may jump from page to page: worth a copy if enough panels read it.
            const bool copy_left = A.column * depth > far && width > 2 * tile_width;
            if (!copy_left) multiply_block(M, width, depth, a, right, tile_width, panel, C + j, ldc, from);
            for (int i = 0; copy_left && i < M; i += copied_rows) {
                const int rows = std::min(copied_rows, M - i);
                copy_panels<tile_rows, strip_width>(depth, rows, a.at + i, A.column, left);
                for (int r = 0; r < rows; r += tile_rows)
                    multiply_block(std::min(tile_rows, rows - r), width, depth,
                                   {left + r / tile_rows * depth * strip_width, 1, strip_width}, right, tile_width, panel,
                                   C + (i + r) * ldc + j, ldc, from);
            }
        }
}

// Few rows of A would not repay a copy of B.
void multiply(int M, int N, int K, View A, const real* B, Index ldb, real* C, Index ldc, const real* start) {
    if (M <= copied_rows)
        multiply_direct(M, N, K, A, B, ldb, tile_width, C, ldc, start);
    else
        multiply_copied(M, N, K, A, {B, ldb, 1}, C, ldc, start);
}

// The same for a low A and B (N,K): C^T (N,M) = start^T + B A^T. Transposing A and C is less work than transposing all of B.
void multiply_low(int M, int N, int K, const real* A, int lda, const real* B, int ldb, real* C, int ldc, const real* start) {
    constexpr int block_j = 8 * tile_rows;
    alignas(64) real right[block_k * tile_width], block[block_j * tile_width];
    const Parts blocks_k(K, block_k);
    for (int kb = 0; kb < blocks_k.count; ++kb)
        for (Index i = 0; i < M; i += tile_width) {
            const int k = blocks_k.start(kb), depth = blocks_k.start(kb + 1) - k;
            const int width = std::min(tile_width, int(M - i));
            transpose(width, depth, A + i * lda + k, lda, right, tile_width);
            for (int j = 0; j < N; j += block_j) {
                const int rows = std::min(block_j, N - j);
                real* corner = C + i * ldc + j;
                if (const real* from = start_of(start, j, k))
                    for (int r = 0; r < rows; ++r) std::fill_n(block + r * tile_width, width, from[r]);
                else
                    transpose(width, rows, corner, ldc, block, tile_width);
                multiply_block(rows, width, depth, {B + Index(j) * ldb + k, ldb, 1}, right, tile_width, 0, block, tile_width,
                               nullptr);
                transpose(rows, width, block, tile_width, corner, ldc);
            }
        }
}

// C (1,N) = start + A (1,K) B^T with B (N,K): its columns are used up as they are made.
void multiply_row(int N, int K, const real* A, const real* B, int ldb, real* C, const real* start) {
    each(N, [=](Index j, auto part) {
        Vector sum = load((start ? start : C) + j, part);
        each_column(part, std::min(lanes, N - int(j)), K, B + j * ldb, ldb,
                    [&](Index k, Vector column) { sum = fma(A[k] - Vector{}, column, sum); });
        store(C + j, part, sum);
    });
}

// A product of no terms is its start.
bool is_empty(int M, int N, int K, real* C, Index ldc, const real* start) {
    for (int i = 0; K == 0 && start && i < M; ++i) std::copy_n(start, N, C + i * ldc);
    return K == 0;
}

}    // namespace

void gemm_nn(int M, int N, int K, const real* A, int lda, const real* B, int ldb, real* C, int ldc, const real* start) {
    if (use_reference()) return reference::gemm_nn(M, N, K, A, lda, B, ldb, C, ldc, start);
    if (is_empty(M, N, K, C, ldc, start)) return;
    multiply(M, N, K, {A, lda, 1}, B, ldb, C, ldc, start);
}

void gemm_nt(int M, int N, int K, const real* A, int lda, const real* B, int ldb, real* C, int ldc, const real* start) {
    if (use_reference()) return reference::gemm_nt(M, N, K, A, lda, B, ldb, C, ldc, start);
    if (is_empty(M, N, K, C, ldc, start)) return;
    if (M == 1)
        multiply_row(N, K, A, B, ldb, C, start);
    else if (M >= lanes && Index(N) * K > Index(M) * K + Index(2) * M * N)    // elements to transpose
        multiply_low(M, N, K, A, lda, B, ldb, C, ldc, start);
    else
        multiply_copied(M, N, K, {A, lda, 1}, {B, 1, ldb}, C, ldc, start);
}

void gemm_tn(int M, int N, int K, const real* A, int lda, const real* B, int ldb, real* C, int ldc, const real* start) {
    if (use_reference()) return reference::gemm_tn(M, N, K, A, lda, B, ldb, C, ldc, start);
    if (is_empty(M, N, K, C, ldc, start)) return;
    multiply(M, N, K, {A, 1, lda}, B, ldb, C, ldc, start);
}

std::size_t packed_size(int K, int N) { return std::size_t(N + tile_width - 1) / tile_width * tile_width * std::size_t(K); }

void pack(int K, int N, const real* B, Index row, Index column, real* packed) { copy_in_panels(K, N, {B, row, column}, packed); }

void gemm_packed(int M, int N, int K, const real* A, int lda, const real* packed, real* C, int ldc, const real* start) {
    if (is_empty(M, N, K, C, ldc, start)) return;
    multiply_direct(M, N, K, {A, lda, 1}, packed, tile_width, Index(K) * tile_width, C, ldc, start);
}

}    // namespace lookback::kernels
