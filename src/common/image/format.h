// The heap image: the binary contract between builder, daemon, tools and every client.
//
// An *image* is one file (a sealed memfd) that holds the code objects of many modules, with all
// their constants, as one CPython build lays them out in memory, placed for one *requested base*
// address. A client maps it privately at that address and uses the objects where they lie.
//
// Everything below is enough to write a reader or a writer without seeing ours. All integers are
// little-endian. All offsets are in bytes from the start of the image unless a name says *word*:
// a word offset is a byte offset divided by 8, so that 32 bits reach 32 GiB.
//
//   offset 0  ┌──────────────────────────────────────────────┐
//             │ FrozenPrefix   64 bytes, same in every format │
//             │ Header rest    identity, base, region table   │  header_size bytes, zero-padded
//             ├──────────────────────────────────────────────┤  to a page
//   objects   │ object regions, in RegionKind order           │  each starts on a page;
//             │   code that runs once                         │  objects are 8-byte aligned;
//             │   code of functions                           │  [objects_begin, objects_end)
//             │   interned strings                            │  covers them all
//             │   ...                                         │
//             ├──────────────────────────────────────────────┤
//   tables    │ roots, root index, path strings, intern lists,│  each starts on a page;
//             │ frozenset lists, ptrmaps, external references,│  never written by anybody
//             │ left-out list, patterns                       │
//             └──────────────────────────────────────────────┘  image_size, a multiple of a page
//
// Objects. An object starts with CPython's own header: 8 bytes reference count, 8 bytes ob_type.
// Types that the cyclic collector knows (tuple, frozenset, slice) are preceded by 16 zero bytes
// (PyGC_Head of an untracked object). What follows is the struct of the CPython build that
// InterpreterIdentity names; client/interp/ describes those structs per CPython minor version.
//
// Pointers. Each 8-byte word of the object regions that holds an address is marked in exactly one
// of two bitmaps (*ptrmaps*), bit i standing for the word at objects_begin + 8 * i:
//   - internal ptrmap: an *embedded pointer*: requested_base + offset of another object, or, in the
//     fields that CPython has bare arrays in, of the contents of a bytes object (co_cell2arg before
//     3.11) or of a frozenset's own table;
//   - external ptrmap: an *external reference*: the address of something of the interpreter (a
//     type, a singleton, a member of _PyRuntime) as it was in the builder's process, or what stands
//     for an object on the heap, which is listed in the table of external references.
// A word marked in neither is not a pointer or is null. Mapped elsewhere by a delta, a client adds
// the delta to the words of the internal ptrmap; in an interpreter loaded elsewhere it replaces
// the words of the external ptrmap through the table of external references.
//
// An object start is therefore recognisable without knowing any struct: it is a word w such that
// word w + 1 is an external reference of kind kType. Every embedded pointer points to one, but for
// those to arrays.
//
// Roots. What an importer can ask for: one record per source file, found by the exact path string
// that the loader holds. A client looks the path up in the root index, an open-addressing hash
// table: slot = path_hash & (slots - 1), then the next slot (wrapping) until the record whose
// path is equal, or an empty slot. A record says which .pyc file the code came from (device,
// inode, size, times) and which source time and size that .pyc was made for; both are compared
// with stat(2) before the code is served (importlib's rules, _bootstrap_external.py).
//
// Interning. The image holds one object for each distinct string that CPython interns, marked as
// interned; but only a process can say which of several equal strings is its canonical one. A root's
// intern list names the strings that its module uses and every slot
// that refers to them from that module. (A string need not be on any list; one that is on a list is on that of
// each module that refers to it.) At hand-out the client interns each; where the process
// had an equal one before, it stores that one in the slots. The strings that processes intern
// without us, when they start or soon after, lie first in kStrInterned: a client may make those the
// canonical ones before any program runs, so that their many slots stay as they are
// (docs/interning.md).
//
// Frozensets depend on the hash seed of the process. In the image they are empty; their elements
// follow the object as an array of pointers, in the order in which unmarshalling inserts them. At
// hand-out the client inserts them. In an image for one seed (InterpreterIdentity::hash_probe) those are
// filled whose elements have hashes that depend on nothing else.
//
// Patterns. Compiling a regular expression is a pure function of pattern, flags and interpreter, so the
// results for those that the modules use are kept, as tuples of the image that a table finds by hash.
//
// Versions. FrozenPrefix never changes: a reader of any version can tell magic, version, size and
// checksums of any image. A reader serves only its own kFormatVersion. Any change of what is
// below the prefix increments kFormatVersion.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pycds::image {

inline constexpr unsigned char kMagic[8] = {'P', 'Y', 'C', 'D', 'S', 'I', 'M', 'G'};
inline constexpr uint32_t kFormatVersion = 5;
inline constexpr uint64_t kPageSize = 4096;
// Less than the interpreter's allocator gives (16), but nothing in an object needs more, and what lies
// between objects costs clean pages.
inline constexpr uint64_t kObjectAlignment = 8;

// Room for more than any machine has use for; a larger file is refused unread.
inline constexpr uint64_t kMaxImageSize = uint64_t{4} << 30;

// ---------------------------------------------------------------------------------------------
// Frozen prefix

// checksum: XXH3-64 of everything after the first page, seeded with the XXH3-64 of the first page
// with this field taken as zero.
struct FrozenPrefix {
    unsigned char magic[8];    // kMagic
    uint32_t format_version;   // kFormatVersion of the writer
    uint32_t header_size;      // bytes of the header, this prefix included; sizeof(Header) in v1
    uint64_t image_size;       // bytes of the whole image
    uint64_t checksum;         // of the whole image; see below
    uint64_t header_checksum;  // XXH3-64 of the header, this and `checksum` taken as zero
    uint8_t identity[16];      // digest of the interpreter identity; see InterpreterIdentity
    uint64_t reserved;         // 0
};
static_assert(sizeof(FrozenPrefix) == 64);

// ---------------------------------------------------------------------------------------------
// Interpreter identity

// What must match between builder and client, byte for byte. Two builds of one X.Y.Z are two
// interpreters. The digest (the key of an image, and of an attach request) is the XXH3-128 of
// these bytes in canonical (big-endian) form. Unused bytes are zero.
struct InterpreterIdentity {
    uint8_t build_id[32];        // GNU build-id of the ELF object that holds PyUnicode_Type
    uint32_t build_id_size;      // bytes used of build_id; 0: none, refused
    uint32_t hexversion;         // PY_VERSION_HEX
    uint32_t magic_number;       // PyImport_GetMagicNumber()
    uint8_t optimize;            // sys.flags.optimize: 0, 1 or 2
    uint8_t debug_ranges;        // 1 unless -X no_debug_ranges (3.11+); 1 before
    uint8_t pointer_size;        // 8
    uint8_t digit_bits;          // sys.int_info.bits_per_digit
    uint64_t layout_digest;      // of the struct offsets the extension was compiled with
    char cache_tag[32];          // sys.implementation.cache_tag, zero-padded
    uint8_t at_common_base;      // 1: loaded where `pycdsctl run` has it, see kCommonBaseBegin; such
                                 // processes have an image of their own, since they write less of it
    uint8_t reserved[7];         // 0
    uint64_t hash_probe;         // 0: strings of the image have no hashes; or they have those of processes
                                 // with one seed (PYTHONHASHSEED), in which kHashProbe has this one
    uint8_t reserved_end[24];    // 0
};
static_assert(sizeof(InterpreterIdentity) == 128);

inline constexpr char kHashProbe[] = "pycds: which seed is it?";

// ---------------------------------------------------------------------------------------------
// Regions

enum class RegionKind : uint32_t {
    // Object regions: who writes what is in them decides where an object goes.
    kCodeRunOnce = 1,      // module and class bodies: specialised while they run, then dead
    kCodeFunctions = 2,    // specialised when called
    kStrInterned = 3,      // hash and interned state are written at hand-out
    kStrDoc = 4,           // docstrings: reference count on 3.11 and older, else never
    kStrOther = 5,         // hash, when used as a key
    kTupleNames = 6,       // names of code objects; slots are redirected at hand-out
    kTupleConsts = 7,      // constants, likewise
    kBytes = 8,            // line tables, exception tables, bytes constants: hardly ever
    kNumbers = 9,          // int, float, complex: never on 3.12+
    kFrozensets = 10,      // rebuilt at hand-out, but for those that are filled
    // Everything else of a module in one piece, and one module after the other: for processes that have to
    // write all that they use, because they have the interpreter elsewhere.
    kModules = 11,
    // Where that is so: what only module and class bodies have. It is of no use once they have run, so a
    // client that has to write makes objects of its own of it, which are freed then.
    kRunOnce = 12,
    // Tables: read-only.
    kRoots = 32,           // RootRecord[root_count], sorted by path bytes
    kRootIndex = 33,       // uint32_t[slots], slots a power of two; root number + 1, 0 is empty
    kPaths = 34,           // bytes that roots and left-out records refer to
    kInternLists = 35,     // uint32_t[]: see RootRecord::intern_first
    kFrozensetLists = 36,  // FrozensetRecord[]; RootRecord::frozenset_first
    kPtrmapInternal = 37,  // uint64_t[]: bitmap over [objects_begin, objects_end) / 8
    kPtrmapExternal = 38,  // the same size
    kExternals = 39,       // ExternalReference[], sorted by address, unique in (kind, index) too
    kLeftOut = 40,         // LeftOutRecord[], sorted by path bytes, a path may come twice
    kPatterns = 41,        // PatternRecord[], ascending in hash
};

// Every table is there, if need be with no entries; an object region may be left out.
inline constexpr uint32_t kFirstTableKind = 32;
inline constexpr uint32_t kTableKinds = 10;
inline constexpr uint32_t kMaxRegions = 24;

struct RegionEntry {
    RegionKind kind;
    uint32_t reserved;  // 0
    uint64_t offset;    // multiple of kPageSize
    uint64_t size;      // bytes used; the rest of the last page is zero
    uint64_t hot_size;  // object regions: bytes at the start that are expected to be written; or 0
    uint64_t count;     // objects, or entries of the table (kPaths: bytes; ptrmaps: 64-bit words)
};
static_assert(sizeof(RegionEntry) == 40);

// ---------------------------------------------------------------------------------------------
// Header

enum class DomainKind : uint32_t {
    kSystem = 1,  // everybody could read the sources: everybody may map
    kUser = 2,    // only processes of domain_uid may map
};

struct Header {
    FrozenPrefix prefix;
    InterpreterIdentity interpreter;
    uint64_t requested_base;    // address the objects are laid out for; multiple of kPageSize
    uint64_t runtime_base;      // load address of the ELF object of the interpreter that external
                                // references are for; 0: it is not position-independent
    uint64_t generation;        // given by the daemon; grows with each image it publishes
    DomainKind domain;
    uint32_t domain_uid;        // 0 for kSystem
    uint64_t objects_begin;     // first byte of the object regions
    uint64_t objects_end;       // first byte of the tables
    uint32_t first_co_version;  // co_version of the first code object (3.12+), else 0
    uint32_t co_version_count;  // the others follow; ranges of images of one process are disjoint
    uint32_t region_count;
    uint32_t startup_strings_size;  // bytes at the start of kStrInterned; 0 without that region
    char python[128];           // the interpreter's version text, NUL-terminated, for people
    RegionEntry regions[kMaxRegions];  // region_count used, ascending in kind and in offset
};
static_assert(sizeof(Header) == 64 + 128 + 64 + 128 + 24 * 40);
static_assert(sizeof(Header) < kPageSize);

// ---------------------------------------------------------------------------------------------
// Tables

// Longest path, PATH_MAX without its NUL: what is longer cannot be opened by its name. A builder
// cuts a longer one in its left-out record (LeftOutReason::kPath).
inline constexpr uint32_t kMaxPathSize = 4095;

// Values of RootRecord::flags.
inline constexpr uint32_t kRootUncheckedHash = 1;  // hash-based .pyc, not checked (PEP 552)

struct RootRecord {
    uint64_t path_hash;      // XXH3-64 of the path bytes
    uint32_t path_offset;    // in kPaths
    uint32_t path_size;      // bytes, no NUL; kPaths holds a NUL after it
    uint32_t pyc_offset;     // path of the .pyc, same form
    uint32_t pyc_size;
    uint64_t code_offset;    // of the module's code object
    uint32_t source_mtime;   // what the .pyc says: seconds, low 32 bits
    uint32_t source_size;    // bytes, low 32 bits
    uint64_t file_dev;       // stat(2) of the .pyc when it was read
    uint64_t file_ino;
    uint64_t file_size;
    int64_t file_mtime_ns;   // nanoseconds since 1970
    int64_t file_ctime_ns;
    uint32_t flags;
    uint32_t intern_first;     // index in kInternLists
    uint32_t intern_size;      // entries there; a list is a sequence of
                               //   string (word offset), n, n slots (word offsets); those of one
                               //   root follow those of the root before it
    uint32_t frozenset_first;  // index in kFrozensetLists
    uint32_t frozenset_count;
    uint32_t reserved;         // 0
};
static_assert(sizeof(RootRecord) == 104);

// One for each frozenset of the image, ascending in `object`; those of one root follow those of the
// root before it. A frozenset and its elements, which lie behind it as an array of pointers (each an embedded
// pointer or an external reference). Belongs to one root, as intern lists do.
//
// A filled one has its table (setentry[], Include/cpython/setobject.h) behind it, or, as CPython has it for
// the smallest, in it. The keys of a table are in no order that means anything but to hashing.
struct FrozensetRecord {
    uint32_t object;      // word offset of the frozenset
    uint32_t elements;    // word offset of the first element, or of the table
    uint32_t count;       // elements
    uint32_t table_size;  // entries, a power of two; 0: it is to be filled
};
static_assert(sizeof(FrozensetRecord) == 16);

// A regular expression, compiled. `entry` is a tuple of
//   0  the pattern, str or bytes              3  bytes: the engine's code, 32-bit words
//   1  int: the flags asked for               4  int: number of groups
//   2  int: the flags that it has             5  tuple: name and number of each named group in turn
// None of the strings is marked as interned. `hash`: see pattern_hash().
struct PatternRecord {
    uint64_t hash;
    uint32_t entry;     // word offset, in kTupleConsts or kModules
    uint32_t reserved;  // 0
};
static_assert(sizeof(PatternRecord) == 16);
inline constexpr uint32_t kPatternEntrySize = 6;
inline constexpr uint32_t kPatternCode = 3;  // which of them is the engine's code

enum class ExternalKind : uint32_t {
    kType = 1,       // index: see TypeIndex
    kSingleton = 2,  // index: see SingletonIndex
    kRuntime = 3,    // index: byte offset in _PyRuntime
    // The interpreter's variable that points to its dict of interned strings, for versions whose
    // headers do not tell where it is (3.9 to 3.11). At most one entry, index 0; no slot refers to
    // it. The builder found it; a client checks what it points to before use.
    kInternedDict = 4,
    // A string of the interpreter's file that is canonical when any program starts (3.12: of frozen
    // modules); index: byte offset from runtime_base. A client looks whether it is.
    kStaticString = 5,
    // An object that each process has one of, on its heap, for versions that have such (3.9, 3.10). Index:
    // see HeapSingleton. Nobody knows its address beforehand, so a word that refers to it holds
    // heap_singleton_address(index), where no process has anything, until a client replaces it.
    kHeapSingleton = 6,
};

// One more than the greatest.
inline constexpr uint32_t kExternalKinds = static_cast<uint32_t>(ExternalKind::kHeapSingleton) + 1;

// Does what is of this kind lie in the ELF object that holds the interpreter's types, which is loaded
// as a whole? No default: of a new kind somebody has to say it.
constexpr bool moves_with_interpreter(ExternalKind kind) {
    switch (kind) {
        case ExternalKind::kType:
        case ExternalKind::kSingleton:
        case ExternalKind::kRuntime:
        case ExternalKind::kInternedDict:
        case ExternalKind::kStaticString: return true;
        case ExternalKind::kHeapSingleton: return false;
    }
    return false;
}

// Types of which an image holds instances, and of which it holds none but refers to.
enum class TypeIndex : uint64_t {
    kStr = 0, kBytes, kInt, kFloat, kComplex, kTuple, kFrozenset, kCode, kSlice, kCount
};

enum class SingletonIndex : uint64_t { kNone = 0, kTrue, kFalse, kEllipsis, kCount };

// Numbers of the values of which 3.9 and 3.10 have one object each: small ints from kLowestSmallInt on, strings of
// one character below U+0100, bytes objects of one byte, and what is empty. (The empty frozenset is such a value
// in 3.9 only.)
inline constexpr int kLowestSmallInt = -5;
inline constexpr int kSmallInts = 262;
enum class HeapSingleton : uint64_t {
    kInts = 0,
    kCharacters = kSmallInts,
    kBytes = kCharacters + 256,
    kEmptyStr = kBytes + 256,
    kEmptyBytes,
    kEmptyTuple,
    kEmptyFrozenset,
    kCount
};

// Below 64 KiB, where Linux maps nothing (vm.mmap_min_addr).
constexpr uint64_t heap_singleton_address(uint64_t number) { return 0x1000 + 16 * number; }
static_assert(heap_singleton_address(static_cast<uint64_t>(HeapSingleton::kCount)) < 0x10000);
constexpr uint64_t heap_singleton_number(uint64_t address) { return (address - 0x1000) / 16; }
constexpr bool is_heap_singleton_address(uint64_t address) {
    return address >= heap_singleton_address(0) &&
           address < heap_singleton_address(static_cast<uint64_t>(HeapSingleton::kCount));
}

struct ExternalReference {
    uint64_t address;  // where Header::runtime_base puts it; of kHeapSingleton: what stands for it
    ExternalKind kind;
    uint32_t reserved;  // 0
    uint64_t index;
};
static_assert(sizeof(ExternalReference) == 24);

// Why a source that was asked for is not among the roots. Never renumber: tools print them.
enum class LeftOutReason : uint32_t {
    kNoSource = 1,        // the source file cannot be read
    kNoPyc = 2,           // no .pyc where importlib would look
    kPycUnreadable = 3,   // open or read failed, or not a regular file
    kPycMagic = 4,        // made by another interpreter version
    kPycStale = 5,        // its source time or size is not the source's
    kPycCheckedHash = 6,  // hash-based and checked: needs the source at each import
    kPycCorrupt = 7,      // truncated, or does not unmarshal to a code object
    kConstant = 8,        // holds a constant that no compiler writes
    kChanged = 9,         // changed while it was read
    kNotTrusted = 10,     // not readable by, or writable by others than, the image's domain
    kDuplicate = 11,      // the path was given twice
    kPath = 12,           // not an absolute path, or it holds a NUL
};

struct LeftOutRecord {
    uint32_t path_offset;  // in kPaths
    uint32_t path_size;
    LeftOutReason reason;
    uint32_t reserved;  // 0
};
static_assert(sizeof(LeftOutRecord) == 16);

// A short name for a reason, of the form "pyc-stale": stable, scripts may rely on it.
constexpr const char* left_out_reason_name(LeftOutReason reason) {
    switch (reason) {
        case LeftOutReason::kNoSource: return "no-source";
        case LeftOutReason::kNoPyc: return "no-pyc";
        case LeftOutReason::kPycUnreadable: return "pyc-unreadable";
        case LeftOutReason::kPycMagic: return "pyc-other-version";
        case LeftOutReason::kPycStale: return "pyc-stale";
        case LeftOutReason::kPycCheckedHash: return "pyc-checked-hash";
        case LeftOutReason::kPycCorrupt: return "pyc-corrupt";
        case LeftOutReason::kConstant: return "unexpected-constant";
        case LeftOutReason::kChanged: return "changed-while-read";
        case LeftOutReason::kNotTrusted: return "not-trusted";
        case LeftOutReason::kDuplicate: return "duplicate";
        case LeftOutReason::kPath: return "bad-path";
    }
    return "unknown";
}

// A short name for a region, of the form "code-once".
constexpr const char* region_kind_name(RegionKind kind) {
    switch (kind) {
        case RegionKind::kCodeRunOnce: return "code-once";
        case RegionKind::kCodeFunctions: return "code-functions";
        case RegionKind::kStrInterned: return "str-interned";
        case RegionKind::kStrDoc: return "str-doc";
        case RegionKind::kStrOther: return "str-other";
        case RegionKind::kTupleNames: return "tuple-names";
        case RegionKind::kTupleConsts: return "tuple-consts";
        case RegionKind::kBytes: return "bytes";
        case RegionKind::kNumbers: return "numbers";
        case RegionKind::kFrozensets: return "frozensets";
        case RegionKind::kModules: return "modules";
        case RegionKind::kRunOnce: return "run-once";
        case RegionKind::kRoots: return "roots";
        case RegionKind::kRootIndex: return "root-index";
        case RegionKind::kPaths: return "paths";
        case RegionKind::kInternLists: return "intern-lists";
        case RegionKind::kFrozensetLists: return "frozenset-lists";
        case RegionKind::kPtrmapInternal: return "ptrmap-internal";
        case RegionKind::kPtrmapExternal: return "ptrmap-external";
        case RegionKind::kExternals: return "externals";
        case RegionKind::kLeftOut: return "left-out";
        case RegionKind::kPatterns: return "patterns";
    }
    return "unknown";
}

// ---------------------------------------------------------------------------------------------
// Placement

// Requested base of image slot `slot`. Slots are 64 GiB apart, so the images that one process maps
// (the base image and overlays) never collide. On x86-64 the range lies above AddressSanitizer's
// shadow (compiler-rt asan_mapping.h: high memory from 0x10007fff8000) and far below where Linux
// puts executables, heap and mmap; on 64-bit ARM it fits 39 bits of address.
#if defined(__x86_64__)
inline constexpr uint64_t kFirstBase = 0x2000'0000'0000;
#else
inline constexpr uint64_t kFirstBase = 0x20'0000'0000;
#endif
inline constexpr uint64_t kSlotStride = 0x10'0000'0000;
inline constexpr uint32_t kSlots = 4;
constexpr uint64_t requested_base_of_slot(uint32_t slot) { return kFirstBase + slot * kSlotStride; }

// Where `pycdsctl run` has the library of a randomised interpreter loaded (docs/run.md): one address
// for all processes of a daemon, chosen at random by it, for which it makes the images of such
// interpreters (Header::runtime_base). The range lies above where Linux puts position-independent
// executables and their heap and below where it puts mmap, also with as much randomisation as there is
// (vm.mmap_rnd_bits: 32 on x86-64, 24 on 64-bit ARM with 39 bits of address). Steps of 2 MiB, the
// largest alignment that libraries ask for, and what the kernel gives them by itself where it has
// large pages of files.
#if defined(__x86_64__)
inline constexpr uint64_t kCommonBaseBegin = 0x6600'0000'0000;
inline constexpr uint64_t kCommonBaseEnd = 0x6f00'0000'0000;
#else
inline constexpr uint64_t kCommonBaseBegin = 0x66'0000'0000;
inline constexpr uint64_t kCommonBaseEnd = 0x6f'0000'0000;
#endif
inline constexpr uint64_t kCommonBaseStep = 0x20'0000;
inline constexpr uint64_t kCommonBases = (kCommonBaseEnd - kCommonBaseBegin) / kCommonBaseStep;
constexpr bool is_common_base(uint64_t base) {
    return base >= kCommonBaseBegin && base < kCommonBaseEnd && base % kCommonBaseStep == 0;
}

// co_version (3.12+) must be unique in a process. CPython counts up from 1; images use the upper
// half, an eighth of it per slot.
constexpr uint32_t first_co_version_of_slot(uint32_t slot) {
    return 0x8000'0000U + slot * 0x1000'0000U;
}
inline constexpr uint32_t kMaxCodeObjects = 0x1000'0000U;

}  // namespace pycds::image
