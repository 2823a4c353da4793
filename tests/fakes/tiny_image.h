// A small image that is valid in every respect, made without an interpreter: types, singletons and
// _PyRuntime have invented addresses. For tests and fuzzers of whatever stores, checks, prints or
// walks images; nothing in it can be executed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "src/common/image/format.h"

namespace pycds::fakes {

// An identity that passes validation; different seeds give different build-ids and digests.
image::InterpreterIdentity tiny_identity(uint8_t seed);

// The digest of an identity, as FrozenPrefix::identity and attach requests hold it.
std::vector<uint8_t> tiny_identity_digest(const image::InterpreterIdentity& identity);

struct TinyLeftOut {
    std::string path;
    image::LeftOutReason reason = image::LeftOutReason::kNoPyc;
};

struct TinyImageOptions {
    // Number of roots with made-up paths "<path_prefix>NNNN.py"; ignored if `paths` is given.
    size_t roots = 2;
    std::string path_prefix = "/usr/lib/python3/dist-packages/tiny/m";
    // Source paths of the roots, in any order, no two equal, each absolute.
    std::optional<std::vector<std::string>> paths = std::nullopt;

    image::DomainKind domain = image::DomainKind::kSystem;
    uint32_t uid = 0;  // domain_uid
    uint64_t base = image::requested_base_of_slot(0);
    uint64_t generation = 1;
    uint32_t first_co_version = image::first_co_version_of_slot(0);
    image::InterpreterIdentity identity = tiny_identity(1);
    std::string python = "3.13.5 (tiny)";

    // Absolute paths in any order.
    std::vector<TinyLeftOut> left_out = {
        {"/usr/lib/python3/dist-packages/tiny/no_pyc.py", image::LeftOutReason::kNoPyc},
        {"/usr/lib/python3/dist-packages/tiny/stale.py", image::LeftOutReason::kPycStale},
    };

    // Frozensets have their tables, as in an image for one hash seed (which `identity` then is made to
    // be of): that of the first root in it, those of the others behind it.
    bool filled_frozensets = false;

    // Zero bytes in the object regions beyond what the objects need, to reach a given file size.
    uint64_t extra_bytes = 0;
};

// The whole file. Each root has a module code object, a function code object, interned strings, a
// docstring, names and constants tuples, bytes, an int and a frozenset, so that with at least one
// root every region is there and every table but, if so asked, the left-out list has entries.
// RootRecord numbers are functions of the root's place in path order: see tiny_root_stat().
std::vector<std::byte> make_tiny_image(const TinyImageOptions& options = {});

// What the root records of a tiny image say about their .pyc files, by place in path order.
struct TinyRootStat {
    std::string pyc_path;
    uint32_t source_mtime, source_size;
    uint64_t dev, ino, size;
    int64_t mtime_ns, ctime_ns;
};
TinyRootStat tiny_root_stat(const std::string& path, size_t place);

// Recomputes header_checksum and checksum after an edit, so that a test reaches the checks that
// lie behind them. `bytes` holds at least a page.
void fix_checksums(std::vector<std::byte>& bytes);

// The same over plain memory, for fuzzers: `size` is at least a page.
void fix_checksums(std::byte* bytes, size_t size);

}  // namespace pycds::fakes
