// From an object graph to the bytes of an image: places every object, copies it, turns pointers
// into addresses of the image, marks them in the ptrmaps and writes the tables.
//
// Deterministic: the same graph and parameters give the same bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "client/builder/object_graph.h"
#include "client/builder/profile.h"
#include "client/builder/pyc_file.h"
#include "src/common/base/result.h"
#include "src/common/image/format.h"

namespace pycds::builder {

struct LeftOut {
    std::string path;
    image::LeftOutReason reason;
};

struct ImageParameters {
    uint32_t slot = 0;
    uint64_t generation = 0;
    image::DomainKind domain = image::DomainKind::kSystem;
    uint32_t domain_uid = 0;
    image::InterpreterIdentity interpreter{};
    uint64_t runtime_base = 0;
    std::string python;                   // version text
    const void* interned_dict = nullptr;  // see find_interned_dict_variable()
    Profile profile;
    // Shall strings have hashes, for processes with this one's seed?
    bool hashes = false;
    // Will processes have the interpreter elsewhere? Then they write all that they use.
    bool by_module = false;
};

// `files[i]` is the .pyc of graph.modules()[i]; modules are sorted by path. `left_out` is sorted by
// path. Sets the offsets of the graph's nodes. Call with the GIL held; runs no Python code.
Result<std::vector<std::byte>> write_image(ObjectGraph& graph, const std::vector<PycFile>& files,
                                           const std::vector<LeftOut>& left_out,
                                           const ImageParameters& parameters);

}  // namespace pycds::builder
