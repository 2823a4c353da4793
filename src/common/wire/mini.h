// The protobuf wire format, the little of it that an attach needs: without allocation, exceptions
// or a library, because the in-process client links only libc. Freestanding.
//
// Encoding: https://protobuf.dev/programming-guides/encoding/ (varint, length-delimited, fixed).
// A test holds it against the generated code for every message of proto/pycds.proto.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace pycds::wire {

// Reads the fields of one message, in the order in which they stand.
class MiniReader {
  public:
    MiniReader(const void* data, size_t size)
        : at_(static_cast<const unsigned char*>(data)), end_(at_ + size) {}

    // Moves to the next field; false at the end or at bytes that are no message (see ok()).
    bool next() {
        if (!ok_ || at_ == end_) return false;
        uint64_t key = 0;
        if (!read_varint(&key)) return fail();
        field_ = static_cast<uint32_t>(key >> 3);
        if (field_ == 0 || key >> 32 != 0) return fail();
        varint_ = 0;
        bytes_ = nullptr;
        size_ = 0;
        switch (key & 7) {
            case 0: return read_varint(&varint_) || fail();
            case 1: return take(8) || fail();
            case 2: {
                uint64_t size = 0;
                if (!read_varint(&size) || size > static_cast<size_t>(end_ - at_)) return fail();
                return take(static_cast<size_t>(size));
            }
            case 5: return take(4) || fail();
            default: return fail();
        }
    }

    // False once the bytes turned out not to be a message.
    bool ok() const { return ok_; }

    uint32_t field() const { return field_; }
    // Value of a varint field; 0 for any other.
    uint64_t varint() const { return varint_; }
    // Contents of a length-delimited or fixed field, not owned; nullptr for a varint.
    const unsigned char* bytes() const { return bytes_; }
    size_t size() const { return size_; }

  private:
    bool fail() {
        ok_ = false;
        return false;
    }
    bool take(size_t size) {
        if (size > static_cast<size_t>(end_ - at_)) return false;
        bytes_ = at_;
        size_ = size;
        at_ += size;
        return true;
    }
    bool read_varint(uint64_t* out) {
        uint64_t value = 0;
        for (unsigned shift = 0; shift < 64; shift += 7) {
            if (at_ == end_) return false;
            const unsigned char byte = *at_++;
            value |= static_cast<uint64_t>(byte & 0x7f) << shift;
            if ((byte & 0x80) == 0) {
                *out = value;
                return true;
            }
        }
        return false;
    }

    const unsigned char* at_;
    const unsigned char* end_;
    bool ok_ = true;
    uint32_t field_ = 0;
    uint64_t varint_ = 0;
    const unsigned char* bytes_ = nullptr;
    size_t size_ = 0;
};

// Writes fields into a buffer of the caller's. Writing past its end is remembered, not done.
class MiniWriter {
  public:
    MiniWriter(void* buffer, size_t capacity)
        : begin_(static_cast<unsigned char*>(buffer)), at_(begin_), end_(begin_ + capacity) {}

    void varint_field(uint32_t field, uint64_t value) {
        write_varint(uint64_t{field} << 3);
        write_varint(value);
    }

    void bytes_field(uint32_t field, const void* data, size_t size) {
        write_varint((uint64_t{field} << 3) | 2);
        write_varint(size);
        if (size > static_cast<size_t>(end_ - at_)) {
            ok_ = false;
            return;
        }
        std::memcpy(at_, data, size);
        at_ += size;
    }

    bool ok() const { return ok_; }
    size_t size() const { return static_cast<size_t>(at_ - begin_); }

  private:
    void write_varint(uint64_t value) {
        do {
            if (at_ == end_) {
                ok_ = false;
                return;
            }
            const unsigned char low = value & 0x7f;
            value >>= 7;
            *at_++ = static_cast<unsigned char>(low | (value != 0 ? 0x80 : 0));
        } while (value != 0);
    }

    unsigned char* begin_;
    unsigned char* at_;
    unsigned char* end_;
    bool ok_ = true;
};

}  // namespace pycds::wire
