// Reading one module's .pyc the way importlib would (Lib/importlib/_bootstrap_external.py,
// SourceLoader.get_code), through one descriptor, with the facts that a client later compares.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "src/common/image/format.h"
#include "src/common/image/offered_file.h"
#include "src/common/image/pyc_path.h"

namespace pycds::builder {

struct PycFile {
    std::string path;
    std::vector<unsigned char> data;  // the whole file
    uint64_t size = 0;                // bytes; outlives `data`
    uint64_t dev = 0;
    uint64_t ino = 0;
    int64_t mtime_ns = 0;
    int64_t ctime_ns = 0;
    uint32_t source_mtime = 0;  // as the header of the .pyc says; 0 for hash-based ones
    uint32_t source_size = 0;
    bool unchecked_hash = false;

    // The marshalled code object.
    static constexpr size_t kHeaderSize = 16;
};

struct PycRequest {
    std::string source;     // absolute path, as the importer spells it
    std::string cache_tag;  // sys.implementation.cache_tag
    int optimize = 0;
    uint32_t magic_number = 0;
    bool for_everybody = false;  // refuse a .pyc that not all may read or others than root may write
};

// The file, or why it is left out.
std::optional<image::LeftOutReason> read_pyc(const PycRequest& request, PycFile* out);

// The same of a file that somebody else has read, whose contents are in `out->data` already, and who
// says `about` it what nobody checks.
std::optional<image::LeftOutReason> take_pyc(const PycRequest& request,
                                             const image::OfferedFile& about, PycFile* out);

}  // namespace pycds::builder
