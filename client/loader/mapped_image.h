// An image in this process's memory. Mapped once, never unmapped: objects in it live as long as
// the interpreter. Freestanding.
#pragma once

#include <Python.h>

#include <cstddef>
#include <cstdint>

#include "client/loader/relocation.h"
#include "src/common/image/format.h"

namespace pycds::loader {

class MappedImage {
  public:
    // What this process is, to hold an image against.
    struct Expectation {
        uint8_t identity[16];
        uint64_t runtime_base;
        uid_t (*uid)();  // whose images it may map beside the system's; asked if there is one
        bool elsewhere;  // not at the requested base, to see what becomes of that
    };

    // Maps the image behind `fd` (which stays the caller's and may be closed after) at the address
    // it was laid out for, or anywhere if that is taken. Returns nullptr, or why not, as a short stable
    // name; then nothing is mapped. Nothing of the file is believed before seals, size and header are checked; its
    // contents were validated by the daemon before it sealed them.
    const char* map(int fd, const Expectation& expectation);

    uint64_t base() const { return base_; }
    uint64_t size() const { return size_; }
    bool contains(const void* address) const {
        return reinterpret_cast<uint64_t>(address) - base_ < size_;
    }
    uint64_t generation() const { return generation_; }
    uint32_t root_count() const { return root_count_; }
    image::DomainKind domain() const { return domain_; }
    // Have its strings their hashes from the builder?
    bool has_hashes() const { return has_hashes_; }

    // The root of a source path (no NUL needed), or nullptr.
    const image::RootRecord* find_root(const char* path, size_t size) const;

    // The entry of the pattern with this hash (image::PatternRecord), right for this process, or
    // nullptr.
    PyObject* find_pattern(uint64_t hash);

    // What is not where the builder had it. Objects are what they seem only after a Relocator has
    // been there.
    const Relocation& relocation() const { return relocation_; }

    const char* path_at(uint32_t offset) const { return paths_ + offset; }
    const uint32_t* intern_list(const image::RootRecord& root) const {
        return intern_lists_ + root.intern_first;
    }
    const image::FrozensetRecord* frozensets(const image::RootRecord& root) const {
        return frozensets_ + root.frozenset_first;
    }
    template <typename T>
    T* at_word(uint32_t word_offset) const {
        return reinterpret_cast<T*>(base_ + uint64_t{word_offset} * 8);
    }
    template <typename T>
    T* at(uint64_t offset) const {
        return reinterpret_cast<T*>(base_ + offset);
    }

    // Where the interpreter has the pointer to its dict of interned strings, as far as the image
    // tells, or nullptr. Not checked.
    const void* interned_dict_variable() const { return interned_dict_variable_; }

    // The strings that a process interns without us, most of them when it starts, one behind the
    // other.
    uint64_t startup_strings_begin() const { return startup_strings_begin_; }
    uint64_t startup_strings_end() const { return startup_strings_end_; }

    // Each code object is handed out once per process: a second import, reload or run of the same
    // module gets a fresh one from stock. False if this root was taken before. Call with the GIL.
    bool take(const image::RootRecord& root);
    bool taken(const image::RootRecord& root) const;

    // Interned strings of which this process is known to have no other copy. Which strings those
    // are is remembered here and not in the strings, whose pages stay clean. Call with the GIL,
    // after take().
    bool is_canonical(uint32_t word_offset) const {
        return test(canonical_, string_number(word_offset));
    }
    void note_canonical(uint32_t word_offset) { set(canonical_, string_number(word_offset)); }

    // For Relocator. Strings that a module being handed out is going to intern: only those that become
    // canonical are made right.
    bool is_listed(uint64_t offset) const {
        return offset - strings_offset_ < strings_size_ && test(listed_, string_number(offset));
    }
    void note_listed(uint32_t word_offset) { set(listed_, string_number(word_offset)); }

    // Of this the process makes objects of its own (run_once.h): what lies here stays as it is.
    bool is_copied(uint64_t offset) const {
        return relocation_.moved() && offset - run_once_offset_ < run_once_size_;
    }

    // Is it a bytes object, be it one that stays as it is?
    bool is_bytes(const PyObject* object) const {
        const uint64_t offset = reinterpret_cast<uint64_t>(object) - base_;
        if (!is_copied(offset)) return PyBytes_CheckExact(object);
        return relocation_.type_number(reinterpret_cast<uint64_t>(Py_TYPE(object))) ==
               static_cast<size_t>(image::TypeIndex::kBytes);
    }

    // For Relocator: the object is being made right. False if it was before.
    bool note_right(uint64_t offset) {
        const uint64_t number = (offset - objects_begin_) / kObjectSpacing;
        if (right_ == nullptr || test(right_, number)) return false;
        set(right_, number);
        return true;
    }

    // Pages that hold something of this process's own that must stay: never given back. Likewise.
    bool is_pinned(uint64_t offset) const { return test(pinned_, offset / image::kPageSize); }
    void pin(uint64_t offset) { set(pinned_, offset / image::kPageSize); }

    // Pages that have been given back.
    bool is_given_back(uint64_t offset) const {
        return test(given_back_, offset / image::kPageSize);
    }
    void note_given_back(uint64_t offset) { set(given_back_, offset / image::kPageSize); }

  private:
    static bool test(const unsigned char* bitmap, uint64_t bit) {
        return bitmap != nullptr && (bitmap[bit / 8] >> (bit % 8) & 1) != 0;
    }
    static void set(unsigned char* bitmap, uint64_t bit) {
        if (bitmap != nullptr) bitmap[bit / 8] |= static_cast<unsigned char>(1U << (bit % 8));
    }
    bool allocate_bitmaps();
    void* map_somewhere(int fd, void* wanted, size_t size, bool elsewhere, const char** failure);
    const char* prepare_objects(const image::Header& header, uint64_t runtime_base);
    void locate_tables(const image::Header& header);
    uint64_t root_number(const image::RootRecord& root) const {
        return static_cast<uint64_t>(&root - roots_);
    }

    // No two objects begin in the same 16 bytes, no two strings in the same 32: a header alone is larger.
    static constexpr uint64_t kObjectSpacing = 16;
    static constexpr uint64_t kStringSpacing = 32;
    uint64_t string_number(uint32_t word_offset) const {
        return string_number(uint64_t{word_offset} * 8);
    }
    uint64_t string_number(uint64_t offset) const {
        return (offset - strings_offset_) / kStringSpacing;
    }

    uint64_t base_ = 0;
    uint64_t size_ = 0;
    uint64_t generation_ = 0;
    image::DomainKind domain_{};
    bool has_hashes_ = false;
    uint32_t root_count_ = 0;
    uint32_t index_mask_ = 0;
    const image::RootRecord* roots_ = nullptr;
    const uint32_t* index_ = nullptr;
    const char* paths_ = nullptr;
    const uint32_t* intern_lists_ = nullptr;
    const image::FrozensetRecord* frozensets_ = nullptr;
    const image::PatternRecord* patterns_ = nullptr;
    uint32_t pattern_count_ = 0;
    uint64_t startup_strings_begin_ = 0;  // addresses
    uint64_t startup_strings_end_ = 0;
    void* const* interned_dict_variable_ = nullptr;
    uint64_t strings_offset_ = 0;  // the region of interned strings
    uint64_t strings_size_ = 0;
    uint64_t run_once_offset_ = 0;
    uint64_t run_once_size_ = 0;
    uint64_t objects_begin_ = 0;
    uint64_t objects_size_ = 0;
    Relocation relocation_;
    // Bitmaps, allocated with the first hand-out, the last two only where they are needed.
    unsigned char* taken_ = nullptr;
    unsigned char* canonical_ = nullptr;
    unsigned char* pinned_ = nullptr;
    unsigned char* given_back_ = nullptr;
    unsigned char* listed_ = nullptr;
    unsigned char* right_ = nullptr;
};

}  // namespace pycds::loader
