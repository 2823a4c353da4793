#include "client/builder/marshal_scan.h"

#include <cstdint>

namespace pycds::builder {
namespace {

constexpr unsigned char kFlagRef = 0x80;

// Python/marshal.c MAX_MARSHAL_STACK_DEPTH: what the real reader refuses, so may we.
constexpr size_t kMaxDepth = 2000;

struct Cursor {
    std::span<const unsigned char> data;
    size_t at = 0;

    bool skip(size_t n) {
        if (n > data.size() - at) return false;
        at += n;
        return true;
    }
    bool byte(unsigned char* out) {
        if (at == data.size()) return false;
        *out = data[at++];
        return true;
    }
    bool u32(uint32_t* out) {
        if (data.size() - at < 4) return false;
        *out = static_cast<uint32_t>(data[at]) | static_cast<uint32_t>(data[at + 1]) << 8 |
               static_cast<uint32_t>(data[at + 2]) << 16 |
               static_cast<uint32_t>(data[at + 3]) << 24;
        at += 4;
        return true;
    }
};

// Much deeper than people write. To compare code objects, which the builder does at its end, costs
// CPython twice as much with each function in a function (code_richcompare() of
// Objects/codeobject.c: a tuple of constants is compared as it is and as a key), and is more than
// it does (RecursionError) for tuples in tuples beyond some hundred.
constexpr size_t kMaxUsualDepth = 240;
constexpr size_t kMaxCodeDepth = 14;

// What is still to be read: `objects` more objects, then `raw` bytes, in the innermost container.
// A code object is read as two such frames because its first line number stands between its
// members.
struct Frame {
    enum class Kind { kSequence, kDict, kCodeHead, kCodeTail, kFrozenset } kind;
    uint32_t objects;
};

class Scanner {
  public:
    Scanner(std::span<const unsigned char> data, const MarshalledCode& code)
        : cursor_{data}, code_(code) {}

    MarshalScan run() {
        result_.ok = scan();
        return std::move(result_);
    }

  private:
    bool scan() {
        if (!object()) return false;
        while (!frames_.empty()) {
            Frame& top = frames_.back();
            if (top.kind == Frame::Kind::kDict) {
                // Ends at TYPE_NULL instead of after a count.
                if (cursor_.at < cursor_.data.size() && cursor_.data[cursor_.at] == '0') {
                    ++cursor_.at;
                    frames_.pop_back();
                    continue;
                }
            } else if (top.objects == 0) {
                if (!finish(top.kind)) return false;
                continue;
            } else {
                --top.objects;
            }
            if (!object()) return false;
        }
        return true;
    }

    bool finish(Frame::Kind kind) {
        frames_.pop_back();
        if (kind == Frame::Kind::kFrozenset) --frozenset_depth_;
        if (kind == Frame::Kind::kCodeTail) --code_depth_;
        if (kind == Frame::Kind::kCodeHead) {
            if (!cursor_.skip(4)) return false;  // co_firstlineno
            return push(Frame::Kind::kCodeTail, code_.tables);
        }
        return true;
    }

    bool push(Frame::Kind kind, uint32_t objects) {
        if (frames_.size() >= kMaxDepth) return false;
        frames_.push_back({kind, objects});
        if (frames_.size() > kMaxUsualDepth) result_.too_deep = true;
        return true;
    }

    bool sized(size_t unit) {
        uint32_t n = 0;
        if (!cursor_.u32(&n) || n > INT32_MAX) return false;
        return cursor_.skip(n * unit);
    }

    bool short_sized() {
        unsigned char n = 0;
        return cursor_.byte(&n) && cursor_.skip(n);
    }

    bool container(Frame::Kind kind) {
        uint32_t n = 0;
        if (!cursor_.u32(&n) || n > INT32_MAX) return false;
        return push(kind, n);
    }

    bool object() {
        const size_t start = cursor_.at;
        unsigned char type = 0;
        if (!cursor_.byte(&type)) return false;
        switch (type & ~kFlagRef) {
            case 'N':
            case 'F':
            case 'T':
            case 'S':
            case '.': return true;
            case 'i':
            case 'r': return cursor_.skip(4);
            case 'I':
            case 'g': return cursor_.skip(8);
            case 'y': return cursor_.skip(16);
            case 'f': return short_sized();
            case 'x': return short_sized() && short_sized();
            case 'l': {
                uint32_t n = 0;
                if (!cursor_.u32(&n)) return false;
                const auto digits = static_cast<int32_t>(n);
                if (digits == INT32_MIN) return false;
                return cursor_.skip(static_cast<size_t>(digits < 0 ? -digits : digits) * 2);
            }
            case 's':
            case 't':
            case 'u':
            case 'a':
            case 'A': return sized(1);
            case 'z':
            case 'Z': return short_sized();
            case ')': {
                unsigned char n = 0;
                return cursor_.byte(&n) && push(Frame::Kind::kSequence, n);
            }
            case '(':
            case '[':
            case '<': return container(Frame::Kind::kSequence);
            case ':': return push(Frame::Kind::kSequence, 3);
            case '>':
                result_.frozensets.push_back(start);
                if (++frozenset_depth_ > 1) result_.nested_frozenset = true;
                return container(Frame::Kind::kFrozenset);
            case '{': return push(Frame::Kind::kDict, 0);
            case 'c':
                if (++code_depth_ > kMaxCodeDepth) result_.too_deep = true;
                return cursor_.skip(code_.counts * sizeof(uint32_t)) &&
                       push(Frame::Kind::kCodeHead, code_.objects);
            default: return false;
        }
    }

    Cursor cursor_;
    const MarshalledCode& code_;
    MarshalScan result_;
    std::vector<Frame> frames_;
    size_t frozenset_depth_ = 0;
    size_t code_depth_ = 0;
};

}  // namespace

MarshalScan scan_marshal(std::span<const unsigned char> data, const MarshalledCode& code) {
    return Scanner(data, code).run();
}

}  // namespace pycds::builder
