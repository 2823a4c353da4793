// A view of a bitmap in memory: bit i is bit (i % 64) of 64-bit word i / 64, little-endian.
// Freestanding: the client includes it. Does not own its words.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pycds {

// 64-bit words needed for `bits` bits.
constexpr size_t bitmap_words(size_t bits) { return (bits + 63) / 64; }

class BitmapView {
  public:
    BitmapView() = default;
    BitmapView(const uint64_t* words, size_t bits) : words_(words), bits_(bits) {}

    size_t size() const { return bits_; }

    // `bit` must be below size().
    bool test(size_t bit) const { return (words_[bit / 64] >> (bit % 64)) & 1; }

    // First set bit at or after `from`, or size() if there is none.
    size_t find_next(size_t from) const {
        if (from >= bits_) return bits_;
        size_t word = from / 64;
        uint64_t current = words_[word] & (~uint64_t{0} << (from % 64));
        const size_t words = bitmap_words(bits_);
        while (current == 0) {
            if (++word == words) return bits_;
            current = words_[word];
        }
        const size_t bit = word * 64 + static_cast<size_t>(__builtin_ctzll(current));
        return bit < bits_ ? bit : bits_;
    }

    // The same of the bits below `to`, which is at most size(): looks at no others.
    size_t find_next(size_t from, size_t to) const { return BitmapView(words_, to).find_next(from); }

  private:
    const uint64_t* words_ = nullptr;
    size_t bits_ = 0;
};

}  // namespace pycds
