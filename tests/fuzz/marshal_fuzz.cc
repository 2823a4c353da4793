// Fuzzer of the marshal scanner: whatever the bytes, it ends, stays inside them, and names only
// offsets at which a frozenset starts.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "client/builder/marshal_scan.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    for (const pycds::builder::MarshalledCode code : {pycds::builder::MarshalledCode{5, 8, 2}, {6, 8, 1}}) {
        const pycds::builder::MarshalScan scan = pycds::builder::scan_marshal({data, size}, code);
        for (const size_t at : scan.frozensets) {
            if (at >= size || (data[at] & 0x7f) != '>') abort();
        }
    }
    return 0;
}
