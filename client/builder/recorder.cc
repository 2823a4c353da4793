#include "client/builder/recorder.h"

#include <Python.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "client/builder/profile.h"
#include "client/interp/common_layout.h"
#include "client/interp/identity.h"
#include "src/common/base/checked.h"
#include "src/common/image/checksum.h"
#include "src/common/image/format.h"
#include "src/common/image/validator.h"
#include "src/common/os/pagemap.h"
#include "src/common/os/sealed_memfd.h"
#include "src/common/os/unique_fd.h"

namespace pycds::builder {
namespace {

using image::Header;
using image::kPageSize;
using image::RegionEntry;
using image::RegionKind;

Error failed(std::string message) {
    return Error{ErrorCode::kInvalidArgument, std::move(message)};
}

// The image as it was made, at the address that its pointers mean.
class Pristine {
  public:
    Pristine() = default;
    Pristine(const Pristine&) = delete;
    Pristine& operator=(const Pristine&) = delete;
    ~Pristine() {
        if (base_ != nullptr) munmap(base_, size_);
    }

    Status map(int fd) {
        const int64_t size = regular_file_size(fd);
        alignas(8) std::byte page[kPageSize];
        if (size < static_cast<int64_t>(kPageSize) ||
            pread(fd, page, sizeof page, 0) != static_cast<ssize_t>(sizeof page) ||
            !image::validate_header(page, static_cast<uint64_t>(size)).ok()) {
            return failed("this is no image of this version");
        }
        const auto& header = *reinterpret_cast<const Header*>(page);
        image::InterpreterIdentity identity;
        uint64_t runtime_base = 0;
        uint8_t digest[16];
        if (const interp::Refusal refusal =
                interp::identify_interpreter(&identity, &runtime_base)) {
            return failed(std::string("this interpreter has no images: ") + refusal);
        }
        image::identity_digest(identity, digest);
        if (std::memcmp(digest, header.prefix.identity, sizeof digest) != 0) {
            return failed("the image was made for another interpreter");
        }
        size_ = static_cast<size_t>(size);
        // Writable, because looking at objects of 3.11 counts references.
        void* wanted = reinterpret_cast<void*>(header.requested_base);
        void* got =
            mmap(wanted, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd, 0);
        if (got == MAP_FAILED) return errno_error("cannot map the image at its base");
        base_ = got;
        if (got != wanted) return failed("cannot map the image at its base");
        if (!image::validate_image(static_cast<std::byte*>(base_), size_).ok())
            return failed("the image is not valid");
        return Ok{};
    }

    const Header& header() const { return *static_cast<const Header*>(base_); }
    uint64_t base() const { return reinterpret_cast<uint64_t>(base_); }
    template <typename T>
    T* at(uint64_t offset) const {
        return reinterpret_cast<T*>(base() + offset);
    }

    // Is the word at this offset marked in a ptrmap?
    bool marked(RegionKind ptrmap, uint64_t offset) const {
        const RegionEntry* region = image::find_region(header(), ptrmap);
        const uint64_t word = (offset - header().objects_begin) / sizeof(uint64_t);
        return (at<const uint64_t>(region->offset)[word / 64] >> (word % 64) & 1) != 0;
    }

  private:
    void* base_ = nullptr;
    size_t size_ = 0;
};

// The pages that the process has for itself, read once each.
class ProcessPages {
  public:
    Status open(pid_t pid, uint64_t base, uint64_t size) {
        const std::string directory = "/proc/" + std::to_string(pid) + "/";
        mem_ = UniqueFd(::open((directory + "mem").c_str(), O_RDONLY | O_CLOEXEC));
        const UniqueFd pagemap(::open((directory + "pagemap").c_str(), O_RDONLY | O_CLOEXEC));
        if (!mem_ || !pagemap) {
            return errno_error("cannot read the memory of process " + std::to_string(pid));
        }
        entries_.resize(size / kPageSize);
        const auto bytes = static_cast<ssize_t>(entries_.size() * sizeof(uint64_t));
        const auto at = static_cast<off_t>(base / kPageSize * sizeof(uint64_t));
        if (pread(pagemap.get(), entries_.data(), static_cast<size_t>(bytes), at) != bytes) {
            return failed("cannot read the page map of process " + std::to_string(pid));
        }
        base_ = base;
        return Ok{};
    }

    // The process's own copy of a page, or nullptr if it shares the image's.
    const std::byte* page(uint64_t number) {
        if (!page_is_own(entries_[number])) return nullptr;
        if (number != cached_) {
            const auto at = static_cast<off_t>(base_ + number * kPageSize);
            if (pread(mem_.get(), cache_, kPageSize, at) != static_cast<ssize_t>(kPageSize)) {
                return nullptr;
            }
            cached_ = number;
        }
        return cache_;
    }

  private:
    UniqueFd mem_;
    uint64_t base_ = 0;
    std::vector<uint64_t> entries_;
    uint64_t cached_ = ~uint64_t{0};
    alignas(8) std::byte cache_[kPageSize];
};

std::string_view text_of(PyObject* string) {
    if (!PyUnicode_CheckExact(string) || !PyUnicode_IS_COMPACT_ASCII(string)) return {};
    return {reinterpret_cast<const char*>(PyUnicode_1BYTE_DATA(string)),
            static_cast<size_t>(PyUnicode_GET_LENGTH(string))};
}

class Recording {
  public:
    Recording(const Pristine& image, ProcessPages* pages) : image_(image), pages_(*pages) {}

    std::string lines() {
        for (const RegionKind kind : {RegionKind::kTupleNames, RegionKind::kTupleConsts,
                                      RegionKind::kCodeFunctions, RegionKind::kCodeRunOnce}) {
            record_redirected(kind);
        }
        record_code(RegionKind::kCodeRunOnce);
        record_code(RegionKind::kCodeFunctions);
        record_hashed_code(RegionKind::kCodeFunctions);
        record_hashed_code(RegionKind::kCodeRunOnce);
        record_keys();
        return std::move(lines_);
    }

  private:
    // Does the process have other bytes there?
    bool written(uint64_t begin, uint64_t size) {
        const uint64_t end = begin + size;
        while (begin < end) {
            const uint64_t here = std::min(end, align_up(begin + 1, kPageSize)) - begin;
            const std::byte* page = pages_.page(begin / kPageSize);
            if (page != nullptr &&
                std::memcmp(page + begin % kPageSize, image_.at<std::byte>(begin), here) != 0) {
                return true;
            }
            begin += here;
        }
        return false;
    }

    // Slots that name a string of the process's own, instead of the image's.
    void record_redirected(RegionKind kind) {
        const RegionEntry* region = image::find_region(image_.header(), kind);
        if (region == nullptr) return;
        for (uint64_t at = region->offset; at < region->offset + region->size;
             at += sizeof(uint64_t)) {
            if (pages_.page(at / kPageSize) == nullptr) {
                at = align_up(at + 1, kPageSize) - sizeof(uint64_t);
                continue;
            }
            if (!image_.marked(RegionKind::kPtrmapInternal, at) || !written(at, sizeof(uint64_t))) {
                continue;
            }
            const std::string_view name = text_of(*image_.at<PyObject*>(at));
            if (!name.empty()) add("name " + std::string(name));
        }
    }

    // Calls visit(object, offset) for each object of a region.
    template <typename Visit>
    void for_each_object(RegionKind kind, Visit visit) {
        const RegionEntry* region = image::find_region(image_.header(), kind);
        if (region == nullptr) return;
        for (uint64_t at = region->offset; at + sizeof(PyObject) <= region->offset + region->size;
             at += image::kObjectAlignment) {
            if (!image_.marked(RegionKind::kPtrmapExternal, at + offsetof(PyObject, ob_type)))
                continue;
            // Slots that lead out of the image are marked as types are.
            auto* object = image_.at<PyObject>(at);
            if (Py_TYPE(object) == &PyCode_Type || Py_TYPE(object) == &PyUnicode_Type)
                visit(object, at);
        }
    }

    // code_hash() of Objects/codeobject.c hashes the tables too, which nothing else does.
    void record_hashed_code(RegionKind kind) {
        for_each_object(kind, [&](PyObject* object, uint64_t at) {
            if (Py_TYPE(object) != &PyCode_Type) return;
            const auto* code = reinterpret_cast<const PyCodeObject*>(object);
            const uint64_t table =
                *image_.at<uint64_t>(at + interp::kCodeHashedTable) - image_.base();
            if (table >= image_.header().prefix.image_size ||
                !written(table + sizeof(PyVarObject), sizeof(Py_hash_t))) {
                return;
            }
            add_code("hashed", code);
        });
    }

    void record_code(RegionKind kind) {
        for_each_object(kind, [&](PyObject* object, uint64_t at) {
            const auto* code = reinterpret_cast<const PyCodeObject*>(object);
            if (Py_TYPE(object) != &PyCode_Type || !has_run(code, at)) return;
            if (kind == RegionKind::kCodeFunctions) {
                add_code("function", code);
            } else if (text_of(interp::qualname_of(code)) == "<module>") {
                const std::string module = module_of(code);
                if (!module.empty()) add("module " + module);
            }
        });
    }

    // What is longer is no key to anything but itself.
    static constexpr size_t kLongestKey = 48;

    // Strings that have been hashed and that no rule says so of: names that code which runs once
    // looks up are not worth a line.
    void record_keys() {
        std::unordered_set<uint64_t> names;
        for_each_object(RegionKind::kCodeRunOnce, [&](PyObject* object, uint64_t) {
            if (Py_TYPE(object) != &PyCode_Type) return;
            const PyObject* tuple = reinterpret_cast<const PyCodeObject*>(object)->co_names;
            for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); ++i) {
                names.insert(reinterpret_cast<uint64_t>(PyTuple_GET_ITEM(tuple, i)));
            }
        });
        for (const RegionKind kind : {RegionKind::kStrInterned, RegionKind::kStrOther}) {
            for_each_object(kind, [&](PyObject* object, uint64_t at) {
                const std::string_view text = text_of(object);
                if (text.empty() || text.size() > kLongestKey) return;
                if (names.count(reinterpret_cast<uint64_t>(object)) != 0) return;
                if (written(at + offsetof(PyASCIIObject, hash), sizeof(Py_hash_t))) {
                    add("key " + std::string(text));
                }
            });
        }
    }

    // Specialisation writes into the bytecode and its inline caches; 3.11 counts to it first.
    bool has_run(const PyCodeObject* code, uint64_t at) {
        constexpr uint64_t kBytecode = interp::kCodeHeaderSize;
        return written(at + interp::kRunCounter.offset, interp::kRunCounter.size) ||
               written(at + kBytecode, interp::code_size(code) - kBytecode);
    }

    // Empty for one that cannot stand in a line.
    static std::string module_of(const PyCodeObject* code) {
        const std::string_view module = Profile::module_key(text_of(code->co_filename));
        return std::string(module.find(' ') == std::string_view::npos ? module : "");
    }

    void add_code(const char* kind, const PyCodeObject* code) {
        const std::string module = module_of(code);
        const std::string_view qualname = text_of(interp::qualname_of(code));
        if (module.empty() || qualname.empty()) return;
        add(std::string(kind) + " " + module + " " + std::string(qualname));
    }

    void add(const std::string& line) {
        if (line.find('\n') == std::string::npos) lines_ += line + "\n";
    }

    const Pristine& image_;
    ProcessPages& pages_;
    std::string lines_;
};

}  // namespace

Result<std::string> record(int image_fd, pid_t pid) {
    // There a code object does not know its qualified name, and singletons are elsewhere in each process.
    if (interp::kHasHeapSingletons) return failed("profiles are recorded with Python 3.11 and later");
    Pristine image;
    const Status mapped = image.map(image_fd);
    if (!mapped) return mapped.error();
    ProcessPages pages;
    const Status opened = pages.open(pid, image.base(), image.header().prefix.image_size);
    if (!opened) return opened.error();
    return Recording(image, &pages).lines();
}

}  // namespace pycds::builder
