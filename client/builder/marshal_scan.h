// Finds the frozensets in a marshal stream without making objects of it. Pure over bytes.
//
// Why: the iteration order of a frozenset depends on the order in which its elements were inserted,
// and that is the order of the stream, which the finished object no longer tells.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace pycds::builder {

struct MarshalScan {
    bool ok = false;                 // the bytes are one whole marshalled object
    bool too_deep = false;           // nested deeper than people write
    bool nested_frozenset = false;   // a frozenset inside a frozenset
    std::vector<size_t> frozensets;  // offsets of their type bytes
};

// What a code object consists of, which differs between versions.
struct MarshalledCode {
    unsigned counts;   // 32-bit numbers before its objects
    unsigned objects;  // objects before its first line number
    unsigned tables;   // and after it
};

// Format: Python/marshal.c of 3.9 to 3.14 (TYPE_* and r_object()). Bytes after the first object are ignored, as
// importlib does.
MarshalScan scan_marshal(std::span<const unsigned char> data, const MarshalledCode& code);

}  // namespace pycds::builder
