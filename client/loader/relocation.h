// An image in a process where not everything is where the builder had it: the interpreter is loaded
// elsewhere (position-independent builds), or the image is mapped elsewhere than requested. Objects
// are made right for the process lazily, a module when it is handed out, so that a process pays for
// what it imports. Freestanding.
#pragma once

#include <Python.h>

#include <cstddef>
#include <cstdint>

#include "client/interp/interp.h"
#include "src/common/image/format.h"

namespace pycds::loader {

class MappedImage;

// What has become of the addresses that an image holds.
class Relocation {
  public:
    // For an image that is mapped at `base`, with its header and its table of external references.
    // `runtime_base` is where this process has the interpreter. Returns nullptr, or as a short
    // stable name why the image is of no use: "interpreter-moved" if something is not where the
    // identity says that it must be, "no-frozen-modules" if strings that it counts on are not the
    // canonical ones.
    const char* prepare(const image::Header& header, const image::ExternalReference* externals,
                        uint64_t count, uint64_t base, uint64_t runtime_base);

    // Is anything not where the builder had it?
    bool needed() const { return moved() || (interp::kHasHeapSingletons && on_heap_); }
    // Is the interpreter, or the image itself? Then nearly every object that is used is written.
    bool moved() const { return internal_delta_ != 0 || external_delta_ != 0; }
    // Are types? Then the type of an object tells whether it is right.
    bool types_moved() const { return external_delta_ != 0; }

    // What is to be added to embedded pointers. Wraps around.
    uint64_t internal_delta() const { return internal_delta_; }

    // Where this process has the thing that the image has at `address`, an external reference; 0 if
    // memory ran out. Call with the GIL held.
    uint64_t here(uint64_t address) const {
        // First: the range is as wide as the table says, which nobody vouches for.
        if (interp::kHasHeapSingletons && image::is_heap_singleton_address(address)) {
            return on_heap(address);
        }
        return address - lowest_ <= highest_ - lowest_ ? address + external_delta_ : address;
    }

    // The type of an object, by what its ob_type is while it is as the builder made it; kTypes for
    // anything else, as for one that is right already.
    static constexpr size_t kTypes = static_cast<size_t>(image::TypeIndex::kCount);
    size_t type_number(uint64_t address) const {
        size_t number = 0;
        while (number < kTypes && types_[number] != address) ++number;
        return number;
    }
    uint64_t type_here(size_t number) const { return types_here_[number]; }

  private:
    const char* learn(const image::ExternalReference& reference);
    bool ambiguous() const;
    static uint64_t on_heap(uint64_t address);

    uint64_t internal_delta_ = 0;
    uint64_t external_delta_ = 0;
    // Of what moves with the interpreter: the builder's addresses lie between these.
    uint64_t lowest_ = ~uint64_t{0};
    uint64_t highest_ = 0;
    uint64_t types_[kTypes] = {};
    uint64_t types_here_[kTypes] = {};
    // Does the image refer to singletons on the heap (ExternalKind::kHeapSingleton)?
    bool on_heap_ = false;
};

// Makes objects of an image right: their types, and what their slots refer to. What is written is
// pinned. Shared objects have no slots, and making one right twice is no different from once; of
// those that have slots the image remembers which are right. Call with the GIL held, after take();
// runs no Python code.
class Relocator {
  public:
    explicit Relocator(MappedImage& image);
    Relocator(const Relocator&) = delete;
    Relocator& operator=(const Relocator&) = delete;
    ~Relocator();

    // The object at `offset` and all below it, but for what is copied, what is in frozensets, and
    // strings that the image has listed as to be interned. False: out of memory, or the image is not what
    // it seems.
    bool object(uint64_t offset);

    // What is in a frozenset, and all below it.
    bool frozenset(const image::FrozensetRecord& record);

    // The type of a string.
    void string(uint64_t offset);

  private:
    void visit(uint64_t offset);
    void slot(uint64_t offset, bool copied = false);
    void array(uint64_t offset);
    void store(uint64_t offset, uint64_t value);
    void push(uint64_t offset);
    bool work_off();

    static constexpr size_t kFew = 512;

    MappedImage& image_;
    const Relocation& relocation_;
    const image::Header& header_;
    // Offsets of objects whose slots are still to be seen to.
    uint64_t few_[kFew];
    uint64_t* waiting_ = few_;
    size_t waiting_count_ = 0;
    size_t capacity_ = kFew;
    bool ok_ = true;
};

}  // namespace pycds::loader
