#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#if defined(__AVX__)
#include <immintrin.h>
#endif

#include "lookback/real.h"

// A register full of numbers: the vector extension of g++ and clang++, whose + - * / < ?: work lane by lane. (libstdc++ 12's
// std::experimental::simd calls fma one lane at a time, so the fused multiply-add is spelled out here.)
namespace lookback::kernels {

#if defined(__AVX512F__)
constexpr int vector_bytes = 64;
#elif defined(__AVX__)
constexpr int vector_bytes = 32;
#else
constexpr int vector_bytes = 16;
#endif

using RealBits = std::conditional_t<sizeof(real) == 4, std::int32_t, std::int64_t>;
using Vector [[gnu::vector_size(vector_bytes)]] = real;
using VectorAnywhere [[gnu::vector_size(vector_bytes), gnu::aligned(sizeof(real)), gnu::may_alias]] = real;    // in memory
using VectorBits [[gnu::vector_size(vector_bytes)]] = RealBits;
constexpr int lanes = vector_bytes / sizeof(real);

// Internal linkage, because files of different optimisation levels include this. A Mask stands for a register's first lanes: load and
// only() have 0 in the others (only() what it is given), store leaves them alone.
namespace {

[[maybe_unused]] inline Vector load(const real* from) { return *reinterpret_cast<const VectorAnywhere*>(from); }
[[maybe_unused]] inline void store(real* to, Vector v) { *reinterpret_cast<VectorAnywhere*>(to) = v; }

[[maybe_unused]] inline real fma(real a, real b, real c) { return std::fma(a, b, c); }

#if defined(__AVX512F__) && !defined(LOOKBACK_DOUBLE)

using Mask = __mmask16;
[[maybe_unused]] inline Mask first(int count) { return Mask((1u << count) - 1); }
[[maybe_unused]] inline Vector load(const real* from, Mask m) { return (Vector)_mm512_maskz_loadu_ps(m, from); }
[[maybe_unused]] inline void store(real* to, Mask m, Vector v) { _mm512_mask_storeu_ps(to, m, (__m512)v); }
[[maybe_unused]] inline Vector only(Vector v, Mask m, Vector others = Vector{}) {
    return (Vector)_mm512_mask_mov_ps((__m512)others, m, (__m512)v);
}
[[maybe_unused]] inline Vector fma(Vector a, Vector b, Vector c) {
    return (Vector)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}

#elif defined(__AVX512F__)

using Mask = __mmask8;
[[maybe_unused]] inline Mask first(int count) { return Mask((1u << count) - 1); }
[[maybe_unused]] inline Vector load(const real* from, Mask m) { return (Vector)_mm512_maskz_loadu_pd(m, from); }
[[maybe_unused]] inline void store(real* to, Mask m, Vector v) { _mm512_mask_storeu_pd(to, m, (__m512d)v); }
[[maybe_unused]] inline Vector only(Vector v, Mask m, Vector others = Vector{}) {
    return (Vector)_mm512_mask_mov_pd((__m512d)others, m, (__m512d)v);
}
[[maybe_unused]] inline Vector fma(Vector a, Vector b, Vector c) {
    return (Vector)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
}

#elif defined(__AVX2__) && defined(__FMA__)

struct Mask {
    int count;
    __m256i chosen;
};
#ifndef LOOKBACK_DOUBLE
[[maybe_unused]] inline Mask first(int count) {
    return {count, _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))};
}
[[maybe_unused]] inline Vector load(const real* from, Mask m) { return (Vector)_mm256_maskload_ps(from, m.chosen); }
[[maybe_unused]] inline void store(real* to, Mask m, Vector v) {    // a masked store takes several times as long
    __m128 rest = _mm256_castps256_ps128((__m256)v);
    if (m.count & 4) {
        _mm_storeu_ps(to, rest);
        rest = _mm256_extractf128_ps((__m256)v, 1);
        to += 4;
    }
    if (m.count & 2) {
        _mm_storel_pi(reinterpret_cast<__m64*>(to), rest);
        rest = _mm_movehl_ps(rest, rest);
        to += 2;
    }
    if (m.count & 1) _mm_store_ss(to, rest);
}
[[maybe_unused]] inline Vector only(Vector v, Mask m, Vector others = Vector{}) {
    return (Vector)(((__m256i)v & m.chosen) | ((__m256i)others & ~m.chosen));
}
[[maybe_unused]] inline Vector fma(Vector a, Vector b, Vector c) {
    return (Vector)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}
#else
[[maybe_unused]] inline Mask first(int count) {
    return {count, _mm256_cmpgt_epi64(_mm256_set1_epi64x(count), _mm256_setr_epi64x(0, 1, 2, 3))};
}
[[maybe_unused]] inline Vector load(const real* from, Mask m) { return (Vector)_mm256_maskload_pd(from, m.chosen); }
[[maybe_unused]] inline void store(real* to, Mask m, Vector v) { _mm256_maskstore_pd(to, m.chosen, (__m256d)v); }
[[maybe_unused]] inline Vector only(Vector v, Mask m, Vector others = Vector{}) {
    return (Vector)(((__m256i)v & m.chosen) | ((__m256i)others & ~m.chosen));
}
[[maybe_unused]] inline Vector fma(Vector a, Vector b, Vector c) {
    return (Vector)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
}
#endif

#else    // any other machine: lane by lane, which the compiler turns into one instruction where there is one

struct Mask {
    int count;
};
[[maybe_unused]] inline Mask first(int count) { return {count}; }
[[maybe_unused]] inline Vector load(const real* from, Mask m) {
    Vector v = {};
    for (int l = 0; l < m.count; ++l) v[l] = from[l];
    return v;
}
[[maybe_unused]] inline void store(real* to, Mask m, Vector v) {
    for (int l = 0; l < m.count; ++l) to[l] = v[l];
}
[[maybe_unused]] inline Vector only(Vector v, Mask m, Vector others = Vector{}) {
    for (int l = m.count; l < lanes; ++l) v[l] = others[l];
    return v;
}
[[maybe_unused]] inline Vector fma(Vector a, Vector b, Vector c) {
    Vector r;
    for (int l = 0; l < lanes; ++l) r[l] = std::fma(a[l], b[l], c[l]);
    return r;
}

#endif

// The 16 bytes at place(0), at place(1), ... side by side in one register.
template <class Place>
inline Vector load_quads(Place place) {
    using Quad [[gnu::vector_size(16)]] = real;
    const auto quad = [&](int i) {
        Quad q;
        std::memcpy(&q, place(i), sizeof q);
        return q;
    };
    const auto beside = []<class V>(V a, V b) {
        return [&]<int... l>(std::integer_sequence<int, l...>) { return __builtin_shufflevector(a, b, l...); }
        (std::make_integer_sequence<int, 2 * int(sizeof(V) / sizeof(real))>());
    };
    if constexpr (vector_bytes == 16)
        return quad(0);
    else if constexpr (vector_bytes == 32)
        return beside(quad(0), quad(1));
    else
        return beside(beside(quad(0), quad(1)), beside(quad(2), quad(3)));
}

// A whole register, where a Mask stands for its first lanes.
struct Whole {};
[[maybe_unused]] inline Vector load(const real* from, Whole) { return load(from); }
[[maybe_unused]] inline void store(real* to, Whole, Vector v) { store(to, v); }
[[maybe_unused]] inline Vector only(Vector v, Whole, Vector = Vector{}) { return v; }

[[maybe_unused]] inline Vector sqrt(Vector x) {
    Vector r;
    for (int l = 0; l < lanes; ++l) r[l] = std::sqrt(x[l]);    // exact, so any instruction for it gives the same
    return r;
}

// body(i, part) for each register-full of n elements: i is where it starts, part is Whole or, for the last, a Mask.
template <class Body>
inline void each(std::size_t n, Body body) {
    std::size_t i = 0;
    for (; i + lanes <= n; i += lanes) body(i, Whole());
    if (i < n) body(i, first(int(n - i)));
}

}    // namespace
}    // namespace lookback::kernels
