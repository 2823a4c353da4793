#include "client/loader/scrub.h"

#include <Python.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>

#include "client/interp/common_layout.h"
#include "client/interp/identity.h"
#include "src/common/base/checked.h"
#include "src/common/image/validator.h"
#include "src/common/os/pagemap.h"
#include "src/common/os/unique_fd.h"

namespace pycds::loader {
namespace {

using image::kPageSize;
using image::RegionEntry;
using image::RegionKind;

// No object has anything that is written, but for code, further from its start.
constexpr uint64_t kLargestHeader = 128;

// Where versions have immortal objects only caches in code are written for nothing; where they have
// not, a reference count in any object.
constexpr RegionKind kScrubbed[] = {
    RegionKind::kCodeRunOnce, RegionKind::kCodeFunctions, RegionKind::kStrInterned,
    RegionKind::kStrDoc,      RegionKind::kStrOther,      RegionKind::kTupleNames,
    RegionKind::kTupleConsts, RegionKind::kBytes,         RegionKind::kNumbers,
};
constexpr size_t kScrubbedCount = interp::kRefcountsAreWritten ? 9 : 2;

// What function objects refer to: code, names, docstrings.
constexpr RegionKind kOfFunctions[] = {RegionKind::kCodeFunctions, RegionKind::kStrInterned,
                                       RegionKind::kStrDoc};

bool is_of_functions(RegionKind kind) {
    for (const RegionKind one : kOfFunctions) {
        if (one == kind) return true;
    }
    return false;
}

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // Linux 5.14; before, it fails and nothing is lost
#endif

bool holds_code(RegionKind kind) {
    return kind == RegionKind::kCodeRunOnce || kind == RegionKind::kCodeFunctions;
}

class RegionScrub {
  public:
    RegionScrub(MappedImage& image, const RegionEntry& region, int pagemap)
        : image_(image), region_(region), pagemap_(pagemap) {
        const image::Header& header = *image.at<const image::Header>(0);
        objects_begin_ = header.objects_begin;
        externals_ = image.at<const uint64_t>(
            image::find_region(header, RegionKind::kPtrmapExternal)->offset);
        code_ = holds_code(region.kind);
    }

    uint64_t run() {
        const uint64_t pages = align_up(region_.size, kPageSize) / kPageSize;
        constexpr uint64_t kAtOnce = 512;
        uint64_t entries[kAtOnce];
        for (uint64_t first = 0; first < pages; first += kAtOnce) {
            const uint64_t count = pages - first < kAtOnce ? pages - first : kAtOnce;
            const uint64_t address = image_.base() + region_.offset + first * kPageSize;
            const auto wanted = static_cast<ssize_t>(count * sizeof(uint64_t));
            if (pread(pagemap_, entries, static_cast<size_t>(wanted),
                      static_cast<off_t>(address / kPageSize * sizeof(uint64_t))) != wanted) {
                // What the last group goes on with is not known.
                if (joined_to_next_) group_matters_ = true;
                break;
            }
            for (uint64_t i = 0; i < count; ++i) {
                visit_page(region_.offset + (first + i) * kPageSize, page_is_own(entries[i]));
            }
        }
        end_group();
        end_range();
        return given_back_;
    }

  private:
    // Code that lies across pages goes back as a whole or not at all: an instruction must not keep
    // its specialised form where its caches are those of before, nor a counter of runs its start
    // without the bytecode. Pages between which such code lies are one group; a page that is not
    // the process's own is as if it were given back already.
    void visit_page(uint64_t page, bool own) {
        if (!joined_to_next_) end_group();
        if (group_size_ == 0) group_begin_ = page;
        group_size_ += kPageSize;
        joined_to_next_ = false;
        if (own) ++group_own_pages_;
        // Of a page that is not own too: its neighbours may be the two ends of one object.
        if (code_ && group_own_pages_ != 0) joined_to_next_ = crosses(page + kPageSize);
        if (!own) return;
        if (group_matters_ || image_.is_pinned(page) || !disposable(page)) group_matters_ = true;
    }

    void end_group() {
        if (group_own_pages_ != 0 && !group_matters_) {
            if (range_end_ != group_begin_) {
                end_range();
                range_begin_ = group_begin_;
            }
            range_end_ = group_begin_ + group_size_;
            range_own_pages_ += group_own_pages_;
        }
        group_size_ = 0;
        group_own_pages_ = 0;
        group_matters_ = false;
    }

    void end_range() {
        if (range_own_pages_ != 0 &&
            madvise(image_.at<void>(range_begin_), range_end_ - range_begin_, MADV_DONTNEED) == 0) {
            given_back_ += range_own_pages_;
            for (uint64_t at = range_begin_; at < range_end_; at += kPageSize) {
                image_.note_given_back(at);
            }
        }
        range_own_pages_ = 0;
        range_end_ = 0;
    }

    bool disposable(uint64_t page) const {
        const uint64_t region_end = region_.offset + region_.size;
        const uint64_t end = page + kPageSize < region_end ? page + kPageSize : region_end;
        // The header of an object that starts before may reach into the page. Code reaches further.
        uint64_t begin =
            page < region_.offset + kLargestHeader ? region_.offset : page - kLargestHeader;
        if (code_) {
            const uint64_t before = start_before(page);
            if (before != 0) begin = before;
        }
        uint64_t word = word_of_type(begin);
        const uint64_t end_word = word_of_type(end);
        while (word < end_word) {
            const uint64_t marks = externals_[word / 64] >> (word % 64);
            if (marks == 0) {
                word = (word / 64 + 1) * 64;
                continue;
            }
            word += static_cast<uint64_t>(__builtin_ctzll(marks));
            if (word >= end_word) break;
            const uint64_t at =
                objects_begin_ + word * sizeof(uint64_t) - offsetof(PyObject, ob_type);
            if (has_known_type(at) && !disposable(image_.at<PyObject>(at))) return false;
            ++word;
        }
        return true;
    }

    bool disposable(PyObject* object) const {
        if (code_) {
            auto* code = reinterpret_cast<PyCodeObject*>(object);
            interp::drop_caches(code);
            return interp::code_is_disposable(code) && has_own_filename(code);
        }
        if (Py_TYPE(object) == &PyUnicode_Type) return interp::str_is_disposable(object, image_.has_hashes());
        if (Py_TYPE(object) == &PyBytes_Type) return interp::bytes_is_disposable(object);
        return true;
    }

    // What others can write into a code object besides caches: _imp._fix_co_filename().
    bool has_own_filename(const PyCodeObject* code) const {
        return image_.contains(code->co_filename);
    }

    // Does an object lie across this offset, the start of a page?
    bool crosses(uint64_t page) const {
        if (page >= region_.offset + region_.size || is_start(page)) return false;
        const uint64_t start = start_before(page);
        return start != 0 && start + interp::code_size(image_.at<const PyCodeObject>(start)) > page;
    }

    // The last object that starts before an offset, or 0.
    uint64_t start_before(uint64_t offset) const {
        while (offset >= region_.offset + image::kObjectAlignment) {
            offset -= image::kObjectAlignment;
            if (is_start(offset)) return offset;
        }
        return 0;
    }

    uint64_t word_of_type(uint64_t object) const {
        return (object + offsetof(PyObject, ob_type) - objects_begin_) / sizeof(uint64_t);
    }

    // An object starts where the next word is marked as an external reference, and is a type.
    bool is_start(uint64_t offset) const {
        const uint64_t word = word_of_type(offset);
        return (externals_[word / 64] >> (word % 64) & 1) != 0 && has_known_type(offset);
    }

    bool has_known_type(uint64_t offset) const {
        const PyTypeObject* type = Py_TYPE(image_.at<PyObject>(offset));
        if (code_) return type == &PyCode_Type;
        return type == &PyUnicode_Type || type == &PyTuple_Type || type == &PyBytes_Type ||
               type == &PyLong_Type || type == &PyFloat_Type || type == &PyComplex_Type;
    }

    MappedImage& image_;
    const RegionEntry& region_;
    const int pagemap_;
    uint64_t objects_begin_ = 0;
    const uint64_t* externals_ = nullptr;
    bool code_ = false;

    uint64_t group_begin_ = 0;
    uint64_t group_size_ = 0;
    uint64_t group_own_pages_ = 0;
    bool group_matters_ = false;
    bool joined_to_next_ = false;
    uint64_t range_begin_ = 0;
    uint64_t range_end_ = 0;
    uint64_t range_own_pages_ = 0;
    uint64_t given_back_ = 0;
};

}  // namespace

uint64_t scrub(MappedImage& image, bool spare_functions) {
    if (static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) != kPageSize) return 0;
    // The file's page is nobody's there: whatever has been written is pinned.
    if (image.relocation().moved()) return 0;
    const UniqueFd pagemap(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
    if (!pagemap) return 0;
    const image::Header& header = *image.at<const image::Header>(0);
    uint64_t given_back = 0;
    for (size_t i = 0; i < kScrubbedCount; ++i) {
        if (spare_functions && is_of_functions(kScrubbed[i])) continue;
        const RegionEntry* region = image::find_region(header, kScrubbed[i]);
        if (region != nullptr) given_back += RegionScrub(image, *region, pagemap.get()).run();
    }
    return given_back;
}

void take_back(const MappedImage& image) {
    if (!interp::kRefcountsAreWritten) return;
    const image::Header& header = *image.at<const image::Header>(0);
    for (const RegionKind kind : kOfFunctions) {
        const RegionEntry* region = image::find_region(header, kind);
        if (region == nullptr) continue;
        const uint64_t end = region->offset + region->size;
        for (uint64_t at = region->offset; at < end; at += kPageSize) {
            const uint64_t begin = at;
            while (at < end && image.is_given_back(at)) at += kPageSize;
            if (at != begin) madvise(image.at<void>(begin), at - begin, MADV_POPULATE_WRITE);
        }
    }
}

}  // namespace pycds::loader
