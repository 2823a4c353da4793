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

// Format: Python/marshal.c of 3.11 to 3.14 (TYPE_* and r_object()). Code objects are those of 3.11
// and later. Bytes after the first object are ignored, as importlib does.
MarshalScan scan_marshal(std::span<const unsigned char> data);

}  // namespace pycds::builder
