#include "client/builder/image_writer.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <span>
#include <string_view>

#include "client/builder/looked_up.h"
#include "client/builder/placement.h"
#include "client/interp/common_layout.h"
#include "client/interp/identity.h"
#include "client/interp/internals.h"
#include "src/common/base/bitmap.h"
#include "src/common/base/checked.h"
#include "src/common/image/checksum.h"

namespace pycds::builder {
namespace {

using image::ExternalKind;
using image::ExternalReference;
using image::Header;
using image::PatternRecord;
using image::RegionEntry;
using image::RegionKind;
using image::RootRecord;
using image::TypeIndex;

constexpr RegionKind kObjectRegions[] = {
    RegionKind::kCodeRunOnce, RegionKind::kCodeFunctions, RegionKind::kStrInterned,
    RegionKind::kStrDoc,      RegionKind::kStrOther,      RegionKind::kTupleNames,
    RegionKind::kTupleConsts, RegionKind::kBytes,         RegionKind::kNumbers,
    RegionKind::kFrozensets,  RegionKind::kModules,   RegionKind::kRunOnce,
};

bool has_gc_head(TypeIndex type) {
    return type == TypeIndex::kTuple || type == TypeIndex::kFrozenset || type == TypeIndex::kSlice;
}

const PySetObject* source_set(const Node& node) {
    return reinterpret_cast<const PySetObject*>(node.source);
}

// Where the slots of an object begin that are an array, or a table; code has scattered ones.
uint64_t slots_begin(const Node& node) {
    if (node.type == TypeIndex::kTuple) return node.offset + interp::kTupleItems;
    if (node.type == TypeIndex::kSlice) return node.offset + interp::kSliceItems;
    const bool inside = node.filled && interp::has_small_table(source_set(node));
    return node.offset + (inside ? offsetof(PySetObject, smalltable) : interp::kFrozensetSize);
}

// In a table slots are keys, with unused entries between them.
uint64_t slot_offset(const Node& node, uint32_t index) {
    if (node.type == TypeIndex::kCode) return node.offset + interp::code_slot(index);
    if (!node.filled) return slots_begin(node) + index * sizeof(PyObject*);
    const setentry* table = source_set(node)->table;
    size_t entry = 0;
    while (table[entry].key == nullptr || index-- != 0) ++entry;
    return slots_begin(node) + entry * sizeof(setentry);
}

class Writer {
  public:
    Writer(ObjectGraph& graph, const std::vector<PycFile>& files,
           const std::vector<LeftOut>& left_out, const ImageParameters& parameters)
        : graph_(graph), files_(files), left_out_(left_out), parameters_(parameters) {}

    Result<std::vector<std::byte>> write() {
        base_ = image::requested_base_of_slot(parameters_.slot);
        place_objects();
        if (code_count_ > image::kMaxCodeObjects) {
            return Error{ErrorCode::kBuildFailed, "too many code objects for one image"};
        }
        collect_externals();
        write_objects();
        write_tables();
        if (bytes_.size() > image::kMaxImageSize) {
            return Error{ErrorCode::kBuildFailed,
                         "the image would have " + std::to_string(bytes_.size()) + " bytes"};
        }
        write_header();
        return std::move(bytes_);
    }

  private:
    template <typename T>
    T* at(uint64_t offset) {
        return reinterpret_cast<T*>(bytes_.data() + offset);
    }

    void start_page() { bytes_.resize(align_up(bytes_.size(), image::kPageSize)); }

    void place_objects() {
        const Placement placement(graph_, parameters_.profile, parameters_.by_module);
        uint64_t end = image::kPageSize;
        for (const RegionKind kind : kObjectRegions) {
            const uint64_t begin = align_up(end, image::kPageSize);
            end = begin;
            uint64_t count = 0;
            uint64_t hot_end = begin;
            const RegionOrder order = placement.order_of(kind);
            const bool whole_modules = kind == RegionKind::kModules || kind == RegionKind::kRunOnce;
            if (order.nodes.empty() && whole_modules) continue;
            for (size_t i = 0; i < order.nodes.size(); ++i) {
                Node& node = graph_.nodes()[order.nodes[i]];
                end = align_up(end, image::kObjectAlignment);
                if (has_gc_head(node.type)) end += interp::kGcHeadSize;
                if (!whole_modules && node.type == TypeIndex::kCode) {
                    end = start_of_code(end, node.size);
                }
                node.offset = end;
                end += node.size;
                ++count;
                if (i < order.hot) hot_end = align_up(end, sizeof(uint64_t));
                if (i < order.startup)
                    startup_strings_size_ = align_up(end, sizeof(uint64_t)) - begin;
                if (node.type == TypeIndex::kCode) ++code_count_;
            }
            // Words are marked in bitmaps, so a region is made of whole ones.
            end = align_up(end, sizeof(uint64_t));
            regions_.push_back({kind, 0, begin, end - begin, hot_end - begin, count});
        }
        objects_end_ = align_up(end, image::kPageSize);
        bytes_.resize(objects_end_);
        const size_t words = bitmap_words((objects_end_ - image::kPageSize) / sizeof(uint64_t));
        internal_.resize(words);
        external_.resize(words);
    }

    // Code lies across pages only where it is larger than one, so that a client can give a page
    // back (client/loader/scrub.h) without regard to its neighbours.
    static uint64_t start_of_code(uint64_t end, uint64_t size) {
        const uint64_t next_page = align_up(end, image::kPageSize);
        return end + size <= next_page ? end : next_page;
    }

    void add_external(const void* address, ExternalKind kind, uint64_t index) {
        const auto key = reinterpret_cast<uint64_t>(address);
        externals_.emplace(key, ExternalReference{key, kind, 0, index});
    }

    void collect_externals() {
        // All types and singletons, used or not: a client compares their addresses with its own.
        for (uint64_t i = 0; i < static_cast<uint64_t>(TypeIndex::kCount); ++i) {
            add_external(interp::type_address(static_cast<TypeIndex>(i)), ExternalKind::kType, i);
        }
        for (uint64_t i = 0; i < static_cast<uint64_t>(image::SingletonIndex::kCount); ++i) {
            add_external(interp::singleton_address(static_cast<image::SingletonIndex>(i)),
                         ExternalKind::kSingleton, i);
        }
        if (parameters_.interned_dict != nullptr) {
            add_external(parameters_.interned_dict, ExternalKind::kInternedDict, 0);
        }
        const auto runtime = reinterpret_cast<uint64_t>(pycds_runtime_address());
        for (const Node& node : graph_.nodes()) {
            const Reference* references = graph_.references(node);
            for (uint32_t i = 0; i < node.reference_count; ++i) {
                if (references[i].node != Reference::kExternal) continue;
                const uint64_t address = references[i].address;
                if (image::is_heap_singleton_address(address)) {
                    add_external(reinterpret_cast<const void*>(address), ExternalKind::kHeapSingleton,
                                 image::heap_singleton_number(address));
                    continue;
                }
                const bool member = address - runtime < pycds_runtime_size();
                add_external(reinterpret_cast<const void*>(address),
                             member ? ExternalKind::kRuntime : ExternalKind::kStaticString,
                             address - (member ? runtime : parameters_.runtime_base));
            }
        }
    }

    void mark(std::vector<uint64_t>* bitmap, uint64_t offset) {
        const uint64_t word = (offset - image::kPageSize) / sizeof(uint64_t);
        (*bitmap)[word / 64] |= uint64_t{1} << (word % 64);
    }

    void write_objects() {
        uint32_t version = image::first_co_version_of_slot(parameters_.slot);
        for (const Node& node : graph_.nodes()) {
            write_object(node, version);
            if (node.type == TypeIndex::kCode) ++version;
            const Reference* references = graph_.references(node);
            for (uint32_t i = 0; i < node.reference_count; ++i) {
                const uint64_t slot = slot_offset(node, i);
                const bool internal = references[i].node != Reference::kExternal;
                const uint64_t target = internal ? base_ + graph_.nodes()[references[i].node].offset : 0;
                *at<uint64_t>(slot) = target + references[i].address;
                mark(internal ? &internal_ : &external_, slot);
            }
        }
    }

    void write_object(const Node& node, uint32_t version) {
        auto* copy = at<PyObject>(node.offset);
        if (node.type == TypeIndex::kFrozenset) {
            node.filled ? write_filled_frozenset(node) : write_empty_frozenset(node);
        } else {
            std::memcpy(static_cast<void*>(copy), node.source, node.size);
        }
        std::memcpy(static_cast<void*>(copy), &interp::kImageRefcount, sizeof(uint64_t));
        *at<uint64_t>(node.offset + offsetof(PyObject, ob_type)) =
            reinterpret_cast<uint64_t>(interp::type_address(node.type));
        mark(&external_, node.offset + offsetof(PyObject, ob_type));
        switch (node.type) {
            case TypeIndex::kStr:
                interp::reset_str(copy, ObjectGraph::is_interned(node));
                if (parameters_.hashes) {
                    reinterpret_cast<PyASCIIObject*>(copy)->hash = PyObject_Hash(node.source);
                }
                break;
            case TypeIndex::kTuple: interp::reset_tuple(copy); break;
            case TypeIndex::kBytes: *at<Py_hash_t>(node.offset + kBytesHash) = -1; break;
            case TypeIndex::kCode:
                interp::reset_code(reinterpret_cast<PyCodeObject*>(copy), version);
                break;
            default: break;
        }
    }

    // What PyFrozenSet_New(NULL) makes, but for the table pointer: the hand-out sets it.
    void write_empty_frozenset(const Node& node) {
        auto* set = at<PySetObject>(node.offset);
        set->mask = PySet_MINSIZE - 1;
        set->hash = -1;
    }

    // All but the keys, which are slots.
    void write_filled_frozenset(const Node& node) {
        const PySetObject* source = source_set(node);
        auto* set = at<PySetObject>(node.offset);
        set->fill = source->used;
        set->used = source->used;
        set->mask = source->mask;
        set->hash = -1;
        const uint64_t table = slots_begin(node);
        auto* entries = at<setentry>(table);
        for (size_t i = 0; i < interp::table_entries(source); ++i) {
            if (source->table[i].key != nullptr) entries[i].hash = source->table[i].hash;
        }
        const uint64_t pointer = node.offset + offsetof(PySetObject, table);
        *at<uint64_t>(pointer) = base_ + table;
        mark(&internal_, pointer);
    }

    RegionEntry& begin_table(RegionKind kind) {
        start_page();
        regions_.push_back({kind, 0, bytes_.size(), 0, 0, 0});
        return regions_.back();
    }

    template <typename T>
    void write_table(RegionKind kind, const std::vector<T>& entries) {
        RegionEntry& region = begin_table(kind);
        region.size = entries.size() * sizeof(T);
        region.count = entries.size();
        const auto* begin = reinterpret_cast<const std::byte*>(entries.data());
        bytes_.insert(bytes_.end(), begin, begin + region.size);
    }

    uint32_t add_path(const std::string& path) {
        const auto offset = static_cast<uint32_t>(paths_.size());
        paths_.insert(paths_.end(), path.begin(), path.end());
        paths_.push_back('\0');
        return offset;
    }

    static uint32_t word_offset(uint64_t offset) {
        return static_cast<uint32_t>(offset / sizeof(uint64_t));
    }

    void write_tables() {
        entered_ = looked_up_strings(graph_);
        // All who refer to such a string must know, not the module of that name alone.
        for (const Module& module : graph_.modules()) {
            const uint32_t name = own_name(module);
            if (name != Reference::kExternal) entered_[name] = true;
        }
        std::vector<RootRecord> roots;
        for (size_t i = 0; i < graph_.modules().size(); ++i) {
            roots.push_back(root_record(graph_.modules()[i], files_[i]));
        }
        std::vector<image::LeftOutRecord> left_out;
        for (const LeftOut& entry : left_out_) {
            left_out.push_back(
                {add_path(entry.path), static_cast<uint32_t>(entry.path.size()), entry.reason, 0});
        }
        std::vector<ExternalReference> externals;
        for (const auto& [address, reference] : externals_) externals.push_back(reference);

        write_table(RegionKind::kRoots, roots);
        write_table(RegionKind::kRootIndex, root_index(roots));
        write_table(RegionKind::kPaths, paths_);
        write_table(RegionKind::kInternLists, intern_lists_);
        write_table(RegionKind::kFrozensetLists, frozensets_);
        write_table(RegionKind::kPtrmapInternal, internal_);
        write_table(RegionKind::kPtrmapExternal, external_);
        write_table(RegionKind::kExternals, externals);
        write_table(RegionKind::kLeftOut, left_out);
        write_table(RegionKind::kPatterns, pattern_records());
        start_page();
    }

    std::vector<PatternRecord> pattern_records() const {
        std::vector<PatternRecord> records;
        for (const uint32_t number : graph_.patterns()) {
            const Node& node = graph_.nodes()[number];
            PyObject* pattern = PyTuple_GET_ITEM(node.source, 0);
            const auto flags =
                static_cast<uint32_t>(PyLong_AsLong(PyTuple_GET_ITEM(node.source, 1)));
            uint64_t hash = 0;
            if (PyUnicode_Check(pattern)) {
                const auto width = static_cast<uint32_t>(PyUnicode_KIND(pattern));
                hash = image::pattern_hash(
                    PyUnicode_DATA(pattern),
                    static_cast<size_t>(PyUnicode_GET_LENGTH(pattern)) * width, width, flags);
            } else {
                hash =
                    image::pattern_hash(PyBytes_AS_STRING(pattern),
                                        static_cast<size_t>(PyBytes_GET_SIZE(pattern)), 0, flags);
            }
            records.push_back({hash, word_offset(node.offset), 0});
        }
        std::sort(records.begin(), records.end(),
                  [](const PatternRecord& a, const PatternRecord& b) { return a.hash < b.hash; });
        // Of two that hash alike one is compiled as ever.
        records.erase(std::unique(records.begin(), records.end(),
                                  [](const PatternRecord& a, const PatternRecord& b) {
                                      return a.hash == b.hash;
                                  }),
                      records.end());
        return records;
    }

    RootRecord root_record(const Module& module, const PycFile& file) {
        RootRecord root{};
        root.path_hash = image::path_hash(module.path.data(), module.path.size());
        root.path_size = static_cast<uint32_t>(module.path.size());
        root.path_offset = add_path(module.path);
        root.pyc_size = static_cast<uint32_t>(file.path.size());
        root.pyc_offset = add_path(file.path);
        root.code_offset = graph_.nodes()[module.code].offset;
        root.source_mtime = file.source_mtime;
        root.source_size = file.source_size;
        root.file_dev = file.dev;
        root.file_ino = file.ino;
        root.file_size = file.size;
        root.file_mtime_ns = file.mtime_ns;
        root.file_ctime_ns = file.ctime_ns;
        root.flags = file.unchecked_hash ? image::kRootUncheckedHash : 0;
        root.intern_first = static_cast<uint32_t>(intern_lists_.size());
        root.frozenset_first = static_cast<uint32_t>(frozensets_.size());
        add_lists(module);
        root.intern_size = static_cast<uint32_t>(intern_lists_.size()) - root.intern_first;
        root.frozenset_count = static_cast<uint32_t>(frozensets_.size()) - root.frozenset_first;
        return root;
    }

    // "b" of /a/b.py and of /a/b/__init__.py.
    static std::string module_name(std::string_view path) {
        const auto last = [](std::string_view text) { return text.substr(text.rfind('/') + 1); };
        std::string_view name = last(path);
        name = name.substr(0, name.rfind('.'));
        if (name == "__init__") name = last(path.substr(0, path.rfind('/')));
        return std::string(name);
    }

    // importlib will set the module as an attribute of its package, by a string that it makes. The node of
    // the image's, or Reference::kExternal.
    uint32_t own_name(const Module& module) const {
        return graph_.find_interned(module_name(module.path));
    }

    static image::FrozensetRecord frozenset_record(const Node& node) {
        const size_t entries = node.filled ? interp::table_entries(source_set(node)) : 0;
        return {word_offset(node.offset), word_offset(slots_begin(node)), node.reference_count,
                static_cast<uint32_t>(entries)};
    }

    void add_lists(const Module& module) {
        std::vector<uint32_t> order;  // interned strings as they first occur
        std::unordered_map<uint32_t, std::vector<uint32_t>> slots;
        for (uint32_t n = module.first_node; n < module.first_node + module.node_count; ++n) {
            const Node& node = graph_.nodes()[n];
            const Reference* references = graph_.references(node);
            for (uint32_t i = 0; i < node.reference_count; ++i) {
                const uint32_t target = references[i].node;
                if (target == Reference::kExternal) continue;
                if (!ObjectGraph::is_interned(graph_.nodes()[target]) || !entered_[target]) continue;
                std::vector<uint32_t>& list = slots[target];
                if (list.empty()) order.push_back(target);
                list.push_back(word_offset(slot_offset(node, i)));
            }
            if (node.type == TypeIndex::kFrozenset) {
                frozensets_.push_back(frozenset_record(node));
            }
        }
        const uint32_t name = own_name(module);
        if (name != Reference::kExternal && slots[name].empty()) order.push_back(name);
        for (const uint32_t target : order) {
            const std::vector<uint32_t>& list = slots[target];
            intern_lists_.push_back(word_offset(graph_.nodes()[target].offset));
            intern_lists_.push_back(static_cast<uint32_t>(list.size()));
            intern_lists_.insert(intern_lists_.end(), list.begin(), list.end());
        }
    }

    static std::vector<uint32_t> root_index(const std::vector<RootRecord>& roots) {
        size_t slots = 2;
        while (slots < roots.size() * 2) slots *= 2;
        std::vector<uint32_t> index(slots, 0);
        for (size_t i = 0; i < roots.size(); ++i) {
            size_t slot = roots[i].path_hash & (slots - 1);
            while (index[slot] != 0) slot = (slot + 1) & (slots - 1);
            index[slot] = static_cast<uint32_t>(i) + 1;
        }
        return index;
    }

    void write_header() {
        auto* header = at<Header>(0);
        std::memcpy(header->prefix.magic, image::kMagic, sizeof header->prefix.magic);
        header->prefix.format_version = image::kFormatVersion;
        header->prefix.header_size = sizeof(Header);
        header->prefix.image_size = bytes_.size();
        image::identity_digest(parameters_.interpreter, header->prefix.identity);
        header->interpreter = parameters_.interpreter;
        header->requested_base = base_;
        header->runtime_base = parameters_.runtime_base;
        header->generation = parameters_.generation;
        header->domain = parameters_.domain;
        header->domain_uid = parameters_.domain_uid;
        header->objects_begin = image::kPageSize;
        header->objects_end = objects_end_;
        if (interp::kHasCoVersion) {
            header->first_co_version = image::first_co_version_of_slot(parameters_.slot);
            header->co_version_count = code_count_;
        }
        header->startup_strings_size = static_cast<uint32_t>(startup_strings_size_);
        header->region_count = static_cast<uint32_t>(regions_.size());
        const size_t text = std::min(parameters_.python.size(), sizeof header->python - 1);
        std::memcpy(header->python, parameters_.python.data(), text);
        std::copy(regions_.begin(), regions_.end(), header->regions);
        header->prefix.header_checksum = image::header_checksum(*header);
        header->prefix.checksum = image::image_checksum(bytes_.data(), bytes_.size());
    }

    // Include/cpython/bytesobject.h: ob_shash follows the variable-size header.
    static constexpr uint64_t kBytesHash = sizeof(PyVarObject);

    ObjectGraph& graph_;
    const std::vector<PycFile>& files_;
    const std::vector<LeftOut>& left_out_;
    const ImageParameters& parameters_;
    uint64_t base_ = 0;
    uint64_t objects_end_ = 0;
    uint64_t startup_strings_size_ = 0;
    uint32_t code_count_ = 0;
    std::vector<std::byte> bytes_;
    std::vector<RegionEntry> regions_;
    std::vector<uint64_t> internal_;
    std::vector<uint64_t> external_;
    std::map<uint64_t, ExternalReference> externals_;
    std::vector<char> paths_;
    std::vector<uint32_t> intern_lists_;
    std::vector<bool> entered_;  // by node: strings that clients enter in the dict of interned ones
    std::vector<image::FrozensetRecord> frozensets_;
};

}  // namespace

Result<std::vector<std::byte>> write_image(ObjectGraph& graph, const std::vector<PycFile>& files,
                                           const std::vector<LeftOut>& left_out,
                                           const ImageParameters& parameters) {
    return Writer(graph, files, left_out, parameters).write();
}

}  // namespace pycds::builder
