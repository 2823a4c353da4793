// Arithmetic on sizes and offsets that come from outside. Freestanding: the client includes it.
#pragma once

#include <cstdint>

namespace pycds {

// *out = a + b; false (and *out unspecified) if that overflows 64 bits.
constexpr bool checked_add(uint64_t a, uint64_t b, uint64_t* out) {
    return !__builtin_add_overflow(a, b, out);
}

// *out = a * b; false (and *out unspecified) if that overflows 64 bits.
constexpr bool checked_mul(uint64_t a, uint64_t b, uint64_t* out) {
    return !__builtin_mul_overflow(a, b, out);
}

// Is [offset, offset + size) inside [0, limit)? Never overflows.
constexpr bool range_inside(uint64_t offset, uint64_t size, uint64_t limit) {
    return offset <= limit && size <= limit - offset;
}

// Rounds up to a multiple of a power of two. The caller knows that this cannot overflow.
constexpr uint64_t align_up(uint64_t value, uint64_t alignment) {
    return (value + alignment - 1) & ~(alignment - 1);
}

}  // namespace pycds
