#include "client/loader/relocation.h"

#include <cstdlib>
#include <cstring>

#include "client/interp/common_layout.h"
#include "client/interp/identity.h"
#include "client/interp/internals.h"
#include "client/loader/mapped_image.h"

namespace pycds::loader {
namespace {

using image::ExternalKind;
using image::ExternalReference;
using image::TypeIndex;

constexpr size_t number_of(TypeIndex type) {
    return static_cast<size_t>(type);
}

// nullptr: only the builder knows what is there.
const void* address_of(const ExternalReference& reference) {
    switch (reference.kind) {
        case ExternalKind::kType:
            return interp::type_address(static_cast<image::TypeIndex>(reference.index));
        case ExternalKind::kSingleton:
            return interp::singleton_address(static_cast<image::SingletonIndex>(reference.index));
        case ExternalKind::kRuntime:
            return static_cast<const char*>(pycds_runtime_address()) + reference.index;
        case ExternalKind::kInternedDict:
        case ExternalKind::kStaticString:
        case ExternalKind::kHeapSingleton: break;
    }
    return nullptr;
}

}  // namespace

const char* Relocation::prepare(const image::Header& header, const ExternalReference* externals,
                                uint64_t count, uint64_t base, uint64_t runtime_base) {
    *this = {};
    internal_delta_ = base - header.requested_base;
    external_delta_ = runtime_base - header.runtime_base;
    for (uint64_t i = 0; i < count; ++i) {
        if (const char* failure = learn(externals[i])) return failure;
    }
    return ambiguous() ? "interpreter-moved" : nullptr;
}

// That everything is where it must be follows from the identity, and is cheap to see with one's own
// eyes.
const char* Relocation::learn(const ExternalReference& reference) {
    if (reference.kind == ExternalKind::kHeapSingleton) {
        // Found, or made, when something refers to it.
        on_heap_ = true;
        return interp::kHasHeapSingletons ? nullptr : "interpreter-moved";
    }
    if (!image::moves_with_interpreter(reference.kind)) return "interpreter-moved";
    const auto here = reinterpret_cast<uint64_t>(address_of(reference));
    const uint64_t address = reference.address + external_delta_;
    if (here != 0 && here != address) return "interpreter-moved";
    if (reference.kind == ExternalKind::kType && reference.index < kTypes) {
        types_[reference.index] = reference.address;
        types_here_[reference.index] = here;
    }
    // Where frozen modules were not imported, other strings are canonical.
    if (reference.kind == ExternalKind::kStaticString &&
        (!interp::in_interpreter_data(address, sizeof(PyASCIIObject)) ||
         !pycds_is_static_string(reinterpret_cast<PyObject*>(address)))) {
        return "no-frozen-modules";
    }
    if (reference.address < lowest_) lowest_ = reference.address;
    if (reference.address > highest_) highest_ = reference.address;
    return nullptr;
}

// Could a type that is right be taken for another that is not?
bool Relocation::ambiguous() const {
    for (size_t i = 0; i < kTypes; ++i) {
        for (size_t j = 0; j < kTypes; ++j) {
            if (i != j && types_[i] != 0 && types_[i] == types_here_[j]) return true;
        }
    }
    return false;
}

uint64_t Relocation::on_heap(uint64_t address) {
    return reinterpret_cast<uint64_t>(interp::heap_singleton(image::heap_singleton_number(address)));
}

Relocator::Relocator(MappedImage& image)
    : image_(image), relocation_(image.relocation()), header_(*image.at<const image::Header>(0)) {}

Relocator::~Relocator() {
    if (waiting_ != few_) std::free(waiting_);
}

bool Relocator::object(uint64_t offset) {
    visit(offset);
    return work_off();
}

bool Relocator::frozenset(const image::FrozensetRecord& record) {
    const uint64_t begin = uint64_t{record.elements} * sizeof(uint64_t);
    if (record.table_size == 0) {
        for (uint64_t i = 0; i < record.count; ++i) slot(begin + i * sizeof(PyObject*));
        return work_off();
    }
    array(uint64_t{record.object} * sizeof(uint64_t) + offsetof(PySetObject, table));
    for (uint64_t i = 0; i < record.table_size; ++i) {
        const uint64_t key = begin + i * sizeof(setentry);
        if (*image_.at<uint64_t>(key) != 0) slot(key);
    }
    return work_off();
}

void Relocator::string(uint64_t offset) {
    const uint64_t type = offset + offsetof(PyObject, ob_type);
    store(type, relocation_.type_here(number_of(TypeIndex::kStr)));
}

bool Relocator::work_off() {
    while (ok_ && waiting_count_ != 0) {
        const uint64_t offset = waiting_[--waiting_count_];
        auto* object = image_.at<PyObject>(offset);
        const bool copied = image_.is_copied(offset);
        const auto type = reinterpret_cast<uint64_t>(Py_TYPE(object));
        const uint64_t here =
            copied ? relocation_.type_here(relocation_.type_number(type)) : type;
        if (here == relocation_.type_here(number_of(TypeIndex::kTuple))) {
            const auto count = static_cast<uint64_t>(PyTuple_GET_SIZE(object));
            const uint64_t items = offset + interp::kTupleItems;
            ok_ = count <= (header_.objects_end - items) / sizeof(PyObject*);
            for (uint64_t i = 0; ok_ && i < count; ++i) slot(items + i * sizeof(PyObject*), copied);
        } else if (here == relocation_.type_here(number_of(TypeIndex::kSlice))) {
            const uint64_t items = offset + interp::kSliceItems;
            for (size_t i = 0; i < interp::kSliceItemCount; ++i) {
                slot(items + i * sizeof(PyObject*), copied);
            }
        } else {
            for (const size_t pointer : interp::kCodePointers) slot(offset + pointer, copied);
            if (interp::kCodeArray != interp::kNoField && !copied) array(offset + interp::kCodeArray);
        }
    }
    return ok_;
}

void Relocator::visit(uint64_t offset) {
    const uint64_t type = offset + offsetof(PyObject, ob_type);
    const size_t number = relocation_.type_number(*image_.at<uint64_t>(type));
    if (number == Relocation::kTypes) return;
    if (number == number_of(TypeIndex::kStr) && image_.is_listed(offset)) return;
    const bool copied = image_.is_copied(offset);
    if (number == number_of(TypeIndex::kTuple) || number == number_of(TypeIndex::kSlice) ||
        number == number_of(TypeIndex::kCode)) {
        if ((copied || !relocation_.types_moved()) && !image_.note_right(offset)) return;
        push(offset);
    }
    if (copied) return;
    store(type, relocation_.type_here(number));
}

void Relocator::slot(uint64_t offset, bool copied) {
    const uint64_t value = *image_.at<uint64_t>(offset);
    const uint64_t target = value - header_.requested_base;
    if (target < header_.objects_end) {
        if (!copied) store(offset, value + relocation_.internal_delta());
        visit(target);
    } else if (!copied) {
        const uint64_t here = relocation_.here(value);
        if (interp::kHasHeapSingletons && here == 0) {
            ok_ = false;
            return;
        }
        store(offset, here);
    }
}

// A pointer to what is no object, or null.
void Relocator::array(uint64_t offset) {
    const uint64_t value = *image_.at<uint64_t>(offset);
    if (value != 0) store(offset, value + relocation_.internal_delta());
}

// What is right already is not written: its page stays clean.
void Relocator::store(uint64_t offset, uint64_t value) {
    auto* word = image_.at<uint64_t>(offset);
    if (*word == value) return;
    *word = value;
    image_.pin(offset);
}

void Relocator::push(uint64_t offset) {
    if (waiting_count_ == capacity_) {
        const size_t size = capacity_ * sizeof *waiting_;
        auto* more = static_cast<uint64_t*>(std::malloc(2 * size));
        if (more == nullptr) {
            ok_ = false;
            return;
        }
        std::memcpy(more, waiting_, size);
        if (waiting_ != few_) std::free(waiting_);
        waiting_ = more;
        capacity_ *= 2;
    }
    waiting_[waiting_count_++] = offset;
}

}  // namespace pycds::loader
